"""Every script over every transport that it may run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.runner import Run
from tests.scenarios.script import ScriptError, read

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.scn"))
CASES = [(path, transport) for path in SCRIPTS for transport in read(path).transports]


@pytest.mark.net
@pytest.mark.parametrize(("path", "transport"), CASES, ids=[f"{path.stem}-{transport}" for path, transport in CASES])
async def test_scenario(path: Path, transport: str) -> None:
    await Run(read(path), transport).play()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("T\n\nRomeo connects\n", "who Romeo is"),
        ("T\n\nRomeo is r@example.org/a\nRomeo dances\n", "what does"),
        ("T\n\nRomeo is r@example.org/a\nRomeo sends:\nRomeo connects\n", "needs indented text"),
        ("T\n\nRomeo is r@example.org/a\nRomeo connects\nOnly over tcp\n", "before the first step"),
        ("T\n\nOnly over pigeon\nRomeo connects\n", "no transport pigeon"),
        ("T\n\nRomeo is r@example.org/a\n", "no step"),
    ],
)
def test_a_script_that_cannot_be_understood_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "wrong.scn"
    path.write_text(text)
    with pytest.raises(ScriptError, match=complaint):
        read(path)
