"""Stylesheets of topics: XSLT 1.0 that makes HTML of a submitted form, and CSS for how it looks. Both are written by
administrators, and neither is trusted.

A stylesheet is applied by `stylesheet_child.py` in a process of its own, which has no file, no socket and little of
everything else. What comes out is sanitised: no script, nothing that loads. Pages show it in a sandboxed frame whose
policy loads nothing either (`framed`). A stylesheet that fails says where and why by StylesheetError; whoever only
reads a form gets its plain rendering then (`render.py`).
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Final

from mlink_web import confined

CHILD: Final = Path(__file__).with_name("stylesheet_child.py")
#: Characters of a stylesheet, of the CSS of a topic, and of what a stylesheet may make of a form.
MAX_XSLT: Final = 200_000
MAX_CSS: Final = 100_000
MAX_OUTPUT: Final = 2_000_000
#: The child counts processor seconds itself (CPU_SECONDS); this is for a machine that is too busy to give it any.
WALL_SECONDS: Final = 30.0
#: Stylesheets at work at once, in this process; more wait for their turn.
_turns = threading.BoundedSemaphore(2)

_TAG_NAMES: Final = """
a abbr address article aside b bdi bdo blockquote br caption center cite code col colgroup dd del
details dfn div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main
mark nav ol p pre q s samp section small span strong sub summary sup table tbody td tfoot th thead
time tr tt u ul var wbr
"""
TAGS: Final = frozenset(_TAG_NAMES.split())
ATTRIBUTES: Final = {
    "*": {"class", "id", "lang", "dir", "title", "style", "align", "valign", "width", "height"},
    "a": {"href"},
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan", "headers"},
    "th": {"colspan", "rowspan", "scope", "headers"},
    "col": {"span"},
    "colgroup": {"span"},
    "ol": {"start", "type", "reversed"},
    "li": {"value"},
    "time": {"datetime"},
    "table": {"border", "cellpadding", "cellspacing"},
}
_PICTURES: Final = ("data:image/png;", "data:image/jpeg;", "data:image/gif;", "data:image/webp;")
#: Rules of CSS that can be allowed; all others load something or reach beyond the form.
_AT_RULES: Final = frozenset({"media", "page", "supports", "top-left", "top-center", "top-right"}) | frozenset(
    {"bottom-left", "bottom-center", "bottom-right"}
)
#: Functions of CSS whose argument is an address, under every name that browsers know.
_LOADING: Final = frozenset(
    {"url", "src", "image", "image-set", "-webkit-image-set", "cross-fade", "-webkit-cross-fade", "element"}
    | {"-moz-element", "expression", "paint", "url-prefix", "domain", "document", "attr"}
)
#: Properties by which old browsers ran code.
_RUNNING: Final = frozenset({"behavior", "-moz-binding"})
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-modals"
)


class StylesheetError(ValueError):
    """A stylesheet cannot be used: `line` says where (0: not known), `reason` why, in a sentence for people."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(f"Line {line}: {reason}" if line else reason)
        self.line = line
        self.reason = reason


def check_xslt(xslt: str) -> None:
    """Raise StylesheetError unless this is a stylesheet that may be applied; it is compiled for that, not applied."""
    _run(xslt, None)


def transform(xslt: str, xml: str) -> str:
    """What the stylesheet makes of this XML, as HTML that can be shown in a frame. Raises StylesheetError."""
    return sanitised(_run(xslt, xml))


def _run(xslt: str, xml: str | None) -> str:
    if len(xslt) > MAX_XSLT:
        raise StylesheetError(f"A stylesheet has at most {MAX_XSLT} characters.")
    wish = json.dumps({"xslt": xslt, "xml": xml, "max_output": MAX_OUTPUT}).encode()
    if not _turns.acquire(timeout=WALL_SECONDS):
        raise StylesheetError("The server is busy with other stylesheets; try again.")
    try:
        out, code = confined.answer_of(CHILD, wish, WALL_SECONDS)
    except confined.TooLong:
        raise StylesheetError("The stylesheet takes too long.") from None
    finally:
        _turns.release()
    return _answer(out, code)


def _answer(out: bytes, code: int) -> str:
    """The HTML in the child's answer; raises StylesheetError for every other answer, and for none."""
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        # The kernel ended it, by SIGXCPU where it was the time, otherwise because memory was refused to it.
        out_of_time = code in (-24, -9)
        raise StylesheetError(
            "The stylesheet takes too long." if out_of_time else "The stylesheet needs too much memory."
        ) from None
    if "reason" in answer:
        raise StylesheetError(str(answer["reason"]), int(answer["line"]))
    return str(answer["html"])


def sanitised(html: str) -> str:
    """HTML without anything that runs or loads."""
    import nh3

    return nh3.clean(
        html,
        tags=set(TAGS),
        clean_content_tags={"script", "style", "template", "noscript", "iframe", "object", "svg", "math", "title"},
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "xmpp", "tel", "geo", "data"},
        url_relative="deny",
        link_rel="noopener noreferrer",
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The attribute's value, None to leave the attribute out."""
    if name == "src":
        return value if value.lower().startswith(_PICTURES) else None
    if name == "href":
        return None if value.strip().lower().startswith("data:") else value
    if name == "style":
        try:
            check_css(f"x{{{value}}}")
        except StylesheetError:
            return None
    return value


def check_css(css: str) -> None:
    """Raise StylesheetError where the CSS would load something, or reach out of the element that holds it."""
    import tinycss2

    if len(css) > MAX_CSS:
        raise StylesheetError(f"The CSS has at most {MAX_CSS} characters.")
    place = css.find("<")
    if place >= 0:
        raise StylesheetError("There can be no “<” in CSS.", css.count("\n", 0, place) + 1)
    try:
        rules = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
        _check_nodes(rules, 0)
    except RecursionError:
        raise StylesheetError("The CSS is nested too deeply.") from None


#: Blocks inside blocks.
_MAX_DEPTH: Final = 50


def _check_nodes(nodes: list[Any], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise StylesheetError("The CSS is nested too deeply.", nodes[0].source_line if nodes else 0)
    before = ""
    for node in nodes:
        kind, line = node.type, node.source_line
        if kind == "error":
            raise StylesheetError(f"This is not CSS: {node.message}.", line)
        if kind in ("at-rule", "at-keyword"):
            name = str(getattr(node, "lower_at_keyword", "") or node.value).lower()
            if name not in _AT_RULES:
                raise StylesheetError(f"@{name} cannot be used here.", line)
        if kind == "url" or (kind == "function" and node.lower_name in _LOADING):
            raise StylesheetError("Nothing can be loaded by an address here.", line)
        if kind == "ident":
            before = node.lower_value
            if before in _RUNNING:
                raise StylesheetError(f"{before} cannot be used here.", line)
        for inner in ("prelude", "content", "arguments"):
            children = getattr(node, inner, None)
            if children and not isinstance(children, str):
                _check_nodes(list(children), depth + 1)


def framed(html: str, css: str, title: str) -> str:
    """The document of the frame in which a page shows what a stylesheet made; its answer must carry POLICY. CSS that
    cannot be used is left out: what is stored was checked, but perhaps by older rules."""
    from django.utils.html import escape

    try:
        check_css(css)
    except StylesheetError:
        css = ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{BASE_CSS}\n{css}</style></head><body>{html}</body></html>"
    )


#: What a form looks like before the topic's CSS has its say.
BASE_CSS: Final = """
body { margin: 1rem; font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #17212b; background: #fff;
  overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; } td, th { padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }
img { max-width: 100%; }
"""
