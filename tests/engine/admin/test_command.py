"""The registry of commands and how results look in a terminal."""

from __future__ import annotations

import pytest

from xmpp_engine.admin.command import Argument, CommandError, Registry, render

JID = Argument("jid", "full or bare address")


def registry() -> Registry:
    made = Registry()

    @made.command("kick", "End sessions.", JID, Argument("why", "a word", default="none"), where="node")
    def kick(engine: object, jid: str, why: str) -> str:
        return f"{jid} {why}"

    return made


def test_arguments_are_completed_and_checked() -> None:
    command = registry().get("kick")
    assert command.bind({"jid": "a@b"}) == {"jid": "a@b", "why": "none"}
    assert command.function(None, **command.bind({"jid": "a@b", "why": "x"})) == "a@b x"
    for given, text in (({}, "needs jid"), ({"jid": "a", "x": "1"}, "no argument 'x'"), ({"jid": 1}, "must be text")):
        with pytest.raises(CommandError, match=text):
            command.bind(given)


def test_names_are_unique() -> None:
    made = registry()
    with pytest.raises(ValueError, match="kick"):
        made.command("kick", "Again.")(print)
    with pytest.raises(ValueError, match="kick"):
        made.include(registry())
    with pytest.raises(CommandError, match="no command 'fly'"):
        made.get("fly")
    other = Registry()
    other.include(made)
    assert [command.name for command in other] == ["kick"]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, ""),
        ("done", "done"),
        ([], "none"),
        (["a", 1], "a\n1"),
        ({"a": True, "long": None, "l": ["x", "y"], "f": 1.25}, "a     yes\nlong  -\nl     x, y\nf     1.2"),
        ([{"jid": "a@b", "n": 1}, {"jid": "c", "x": ""}], "jid  n  x\na@b  1  -\nc    -  -"),
    ],
)
def test_results_as_text(result: object, text: str) -> None:
    assert render(result) == text


def test_what_a_peer_chose_cannot_move_the_cursor() -> None:
    assert render([{"status": "\x1b[2Jgone\n"}]) == "status\n\N{REPLACEMENT CHARACTER}[2Jgone\N{REPLACEMENT CHARACTER}"
