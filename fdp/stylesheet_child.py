"""Applies one stylesheet to one document; the program that `stylesheets.py` starts for each. Never imported.

Reads `{"xslt": ..., "xml": ... or null, "max_output": ...}` from its input and writes `{"html": ...}` or
`{"reason": ..., "line": ...}`. Before it looks at what it was given it gives up what it does not need: it can open
nothing (a limit of three open files, which are its input and outputs), write no file, make no socket, start no program,
and has bounded processor time and memory. What then still holds is only the second fence:

* no DTD and so no entity in either document, no network in the parser;
* no `document()`, no inclusion, no extension elements or functions: refused with their line before all else;
* libxslt's own rules deny every read and write, and bound how deeply templates call each other.

A null document compiles the stylesheet only.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from html import escape
from typing import Any, Final

from lxml import etree

CPU_SECONDS: Final = 3
MEMORY: Final = 512 * 1024 * 1024
#: Resident bytes from which a failure is one of memory; a form of the largest size takes a tenth of it.
MUCH: Final = 96 * 1024 * 1024
MAX_TEMPLATE_DEPTH: Final = 400
XSL: Final = "http://www.w3.org/1999/XSL/Transform"
_STRINGS: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_DOCUMENT: Final = re.compile(r"(?<![\w.\-:])document\s*\(")
_EXTENSION: Final = re.compile(r"(?<![\w.\-])([\w.\-]+:[\w.\-]+)\s*\(")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
#: Elements of XSLT that read another document.
_READING: Final = frozenset({"import", "include"})
#: What libxslt itself makes available beside XSLT 1.0: elements that write files and run code.
_EXPRESSIONS: Final = frozenset({"select", "test", "match", "use", "count", "from", "value", "expression"})


#: What the kernel says of this process, opened while that can be done. (`getrusage` counts what the parent had before.)
_status: Final = open("/proc/self/status", "rb", buffering=0)  # noqa: SIM115


def peak() -> int:
    """The most bytes that this process ever held in memory."""
    _status.seek(0)
    found = re.search(rb"VmHWM:\s+(\d+) kB", _status.read(8192))
    return int(found[1]) * 1024 if found else 0


class Refused(Exception):
    """The stylesheet or the document cannot be used."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def confine() -> None:
    """Give up what is not needed. A limit that cannot be set ends the program: it fails closed."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def parsed(text: str, what: str) -> Any:
    """The document; raises Refused for one that is not well-formed, or that has a DTD."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        # As bytes: a declaration of another encoding would otherwise be an error of its own.
        tree = etree.fromstring(_without_declaration(text).encode(), parser).getroottree()
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        raise Refused(f"The {what} is not well-formed XML: {_sentence(error.msg)}", line) from None
    if tree.docinfo.internalDTD is not None or tree.docinfo.doctype:
        raise Refused(f"The {what} may have no document type and define no entities.", 1)
    return tree


def _without_declaration(text: str) -> str:
    """The text without the encoding that it claims: it came as characters. Lines keep their numbers."""
    return re.sub(r"\A\s*<\?xml\b[^>]*\?>", lambda match: "\n" * match[0].count("\n"), text)


def inspect(stylesheet: Any) -> None:
    """Raise Refused for what no stylesheet here may use."""
    root = stylesheet.getroot()
    if etree.QName(root).namespace != XSL or etree.QName(root).localname not in ("stylesheet", "transform"):
        raise Refused("The outermost element must be xsl:stylesheet of XSLT 1.0.", root.sourceline)
    for element in root.iter():
        line = element.sourceline or 0
        if isinstance(element, etree._ProcessingInstruction | etree._Entity):
            raise Refused("Processing instructions and entities cannot be used here.", line)
        if not isinstance(element.tag, str):
            continue
        name = etree.QName(element)
        if name.namespace == XSL and name.localname in _READING:
            raise Refused(f"xsl:{name.localname} cannot be used: a stylesheet reads no other document.", line)
        for attribute, value in element.attrib.items():
            known = etree.QName(attribute)
            if known.localname == "extension-element-prefixes":
                raise Refused("Extension elements cannot be used.", line)
            expressions = (
                [value]
                if name.namespace == XSL and known.localname in _EXPRESSIONS
                else [match[1] for match in _BRACES.finditer(value)]
            )
            for expression in expressions:
                _inspect_expression(expression, line)


def _inspect_expression(expression: str, line: int) -> None:
    bare = _STRINGS.sub("''", expression)
    if _DOCUMENT.search(bare):
        raise Refused("document() cannot be used: a stylesheet reads no other document.", line)
    extension = _EXTENSION.search(bare)
    if extension:
        raise Refused(f"The function {extension[1]}() is no function of XSLT 1.0.", line)


def compiled(stylesheet: Any) -> Any:
    """The stylesheet ready to be applied."""
    etree.XSLT.set_global_max_depth(MAX_TEMPLATE_DEPTH)
    try:
        return etree.XSLT(stylesheet, access_control=etree.XSLTAccessControl.DENY_ALL)
    except etree.XSLTParseError as error:
        raise _refusal(error, "The stylesheet cannot be used") from None


def output_method(stylesheet: Any) -> str:
    """Make the stylesheet write HTML whatever it says it writes, unless that is plain text; returns which."""
    elements = list(stylesheet.getroot().iter(f"{{{XSL}}}output"))
    method = "text" if any(element.get("method") == "text" for element in elements) else "html"
    for element in elements:
        element.attrib.clear()
        element.set("method", method)
    if not elements:
        etree.SubElement(stylesheet.getroot(), f"{{{XSL}}}output", method=method)
    return method


def applied(transform: Any, document: Any, method: str, most: int) -> str:
    """What the stylesheet makes of the document."""
    try:
        result = transform(document)
        made = str(result).strip()
    except etree.XSLTApplyError as error:
        raise _refusal(error, "The stylesheet failed") from None
    if not made:
        raise Refused("The stylesheet makes nothing of this form.")
    if len(made) > most:
        raise Refused("The stylesheet makes too much of this form.")
    return f"<pre>{escape(made)}</pre>" if method == "text" else made


def _refusal(error: Any, lead: str) -> Refused:
    """What libxslt has to say, as one sentence and a line: its messages come after entries that only name the place."""
    entries = [(entry.line, " ".join((entry.message or "").split())) for entry in error.error_log]
    line = next((line for line, _ in entries if line), 0)
    said = [text for _, text in entries if text and not text.startswith(("runtime error,", "compilation error,"))]
    whole = " ".join(said).lower()
    # libxslt goes on after an allocation that failed, and then complains about whatever is missing: the peak tells.
    if "memory" in whole or peak() > MUCH:
        return Refused("The stylesheet needs too much memory.", line)
    if "depth" in whole or "recursion" in whole:
        return Refused("Templates call each other without end.", line)
    # The first says what, the last what followed from it.
    words = said[0] if said and said[0] != "Invalid expression" else (said or [str(error)])[-1]
    return Refused(f"{lead}: {_sentence(words)}", line)


def _sentence(text: str | None) -> str:
    words = " ".join((text or "no reason was given").split())[:300].rstrip(".")
    return re.sub(r", line \d+, column \d+.*$", "", words) + "."


def answer(wish: dict[str, Any]) -> dict[str, Any]:
    """Serve one wish."""
    try:
        stylesheet = parsed(wish["xslt"], "stylesheet")
        inspect(stylesheet)
        method = output_method(stylesheet)
        transform = compiled(stylesheet)
        if wish["xml"] is None:
            return {"html": ""}
        document = parsed(wish["xml"], "form")
        return {"html": applied(transform, document, method, int(wish["max_output"]))}
    except Refused as refusal:
        return {"reason": refusal.reason, "line": refusal.line}
    except MemoryError:
        return {"reason": "The stylesheet needs too much memory.", "line": 0}
    except etree.LxmlError as error:
        return {"reason": _sentence(str(error)), "line": 0}


if __name__ == "__main__":
    # One small transformation first: what libxml2 opens or loads once is loaded before nothing can be opened any more.
    warm = f"<s:stylesheet version='1.0' xmlns:s='{XSL}'><s:template match='/'><p/></s:template></s:stylesheet>"
    etree.tostring(etree.XSLT(etree.fromstring(warm))(etree.fromstring("<x/>")), method="html", encoding="unicode")
    confine()
    sys.stdout.write(json.dumps(answer(json.loads(sys.stdin.buffer.read()))))
    sys.stdout.flush()
