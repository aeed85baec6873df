"""Reads a scenario script. Whoever knows XMPP can write one:

    A message to the bare address reaches every resource      the title
    RFC 6121, 8.5.2.1.1                                        what it is about, up to the first blank line

    Romeo is romeo@example.org/orchard                         who takes part; accounts are made
    Romeo and Juliet are friends                               both subscribed to each other, before the first step
    Romeo is an administrator                                  of the server
    Only over tcp, tls                                         where the script runs; `Not over bosh` is the opposite
    Option offline.messages is 2                               an option of a module; also JSON without blanks
    Topic example.org/fall is read by local, filled in by jid:romeo@example.org
                                                               a topic of forms.example.org with the form of XEP-0346;
                                                               who is said as for `xmppctl topic rules`

    Romeo comes online                                         steps, in order; lines with # are comments
    Romeo sends:
        <message to='juliet@example.org' type='chat'><body>Hello</body></message>
    Juliet receives:
        <message from='romeo@example.org/orchard'><body>Hello</body></message>

The steps:

    X connects                       sign in and bind the resource
    X makes the room R as N [with A=B, C=D]  enter a new room and set fields of its configuration, by their names
                                     after muc#roomconfig_; what comes back is taken
    X enters R as N                  enter a room; what comes up to the subject is taken
    X makes the node N [with A=B, C=D]   create a node of pubsub.example.org and set fields of its configuration, by
                                     their names after pubsub#; a field named twice has two values; it must succeed
    X subscribes to N [as JID] [with A=B]   with the bare address unless another is named, and options by their names
                                     after pubsub#; it must succeed
    X publishes I to N               an item with the id I and an <entry xmlns='urn:example:poem'/> with the text I; it
                                     must succeed
    X forgets what came              whatever it was
    X comes online [with priority N] connect, send initial presence, and take its echo
    X comes online and wants N[, M]  the same with the capabilities of a client that wants the events of these nodes of
                                     accounts; the server's question about them is answered
    X signs in                       authenticate only; what comes next is the script's matter
    X opens a stream [to DOMAIN]     only the stream header; the answer is to be received
    X reopens the stream             a new header on the same connection
    X starts TLS                     the handshake after <proceed/>, and a new header
    X sends:                         stanzas
    X sends raw:                     bytes as they stand, for what is no XML
    X receives:                      the next stanzas, each with at least what is named
    X receives exactly:              the same, with nothing beside what is named
    X receives in any order:         the next stanzas, in whatever order
    X receives nothing               nothing has come and nothing is on its way
    X receives the stream error C    a stream error with this condition, and the end of the stream
    X is disconnected                the end of the stream without an error
    X closes the stream              a proper end
    X loses the connection           the network fails

In what is received, `{word}` as the whole value of an attribute or text stands for any value: the first time it is
remembered, afterwards it must be the same again. In what is sent, it is replaced by the value. `{any}` is never
remembered. At the end nobody may have received anything that the script did not mention.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TRANSPORTS = ("memory", "tcp", "tls", "websocket", "bosh")

_STEPS: dict[str, str] = {
    "makes": r"(?P<who>\w+) makes the room (?P<argument>\S+ as \S+(?: with .+)?)",
    "enters": r"(?P<who>\w+) enters (?P<argument>\S+ as \S+)",
    "makes the node": r"(?P<who>\w+) makes the node (?P<argument>\S+(?: with .+)?)",
    "subscribes": r"(?P<who>\w+) subscribes to (?P<argument>\S+(?: as \S+)?(?: with .+)?)",
    "publishes": r"(?P<who>\w+) publishes (?P<argument>\S+ to \S+)",
    "forgets": r"(?P<who>\w+) forgets what came",
    "connects": r"(?P<who>\w+) connects",
    "wants": r"(?P<who>\w+) comes online and wants (?P<argument>\S+(?:, \S+)*)",
    "online": r"(?P<who>\w+) comes online(?: with priority (?P<argument>-?\d+))?",
    "signs in": r"(?P<who>\w+) signs in",
    "opens": r"(?P<who>\w+) opens a stream(?: to (?P<argument>\S+))?",
    "reopens": r"(?P<who>\w+) reopens the stream",
    "starts tls": r"(?P<who>\w+) starts TLS",
    "sends": r"(?P<who>\w+) sends:",
    "raw": r"(?P<who>\w+) sends raw:",
    "receives": r"(?P<who>\w+) receives:",
    "exactly": r"(?P<who>\w+) receives exactly:",
    "any order": r"(?P<who>\w+) receives in any order:",
    "nothing": r"(?P<who>\w+) receives nothing",
    "error": r"(?P<who>\w+) receives the stream error (?P<argument>[a-z-]+)",
    "disconnected": r"(?P<who>\w+) is disconnected",
    "closes": r"(?P<who>\w+) closes the stream",
    "loses": r"(?P<who>\w+) loses the connection",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _STEPS.items()}
_WITH_TEXT = {"sends", "raw", "receives", "exactly", "any order"}


class ScriptError(Exception):
    """A script cannot be understood; the text names the file, the line and what is wrong."""


@dataclass(slots=True)
class Step:
    """One step: what, by whom, with which argument and which indented text."""

    kind: str
    who: str
    line: int
    argument: str = ""
    text: str = ""


@dataclass(slots=True)
class Script:
    """A parsed script."""

    path: Path
    title: str = ""
    actors: dict[str, str] = field(default_factory=dict)
    friends: list[tuple[str, str]] = field(default_factory=list)
    administrators: list[str] = field(default_factory=list)
    transports: tuple[str, ...] = TRANSPORTS
    options: dict[str, dict[str, object]] = field(default_factory=dict)
    topics: list[tuple[str, str, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def read(path: Path) -> Script:
    """Parse a file; raises ScriptError."""
    script = Script(path)
    lines = path.read_text().splitlines()
    start = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    if start == 0:
        raise ScriptError(f"{path.name}: the first line must be a title")
    script.title = lines[0].strip()
    number = start
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.startswith("#"):
            continue
        first = number
        indented = []
        while number < len(lines) and (lines[number][:1].isspace() or not lines[number].strip()):
            indented.append(lines[number])
            number += 1
        text = textwrap.dedent("\n".join(indented)).strip()
        try:
            _take(script, line.strip(), text, first)
        except ScriptError as error:
            raise ScriptError(f"{path.name}:{first}: {error}") from None
    if not script.steps:
        raise ScriptError(f"{path.name}: there is no step")
    return script


def _take(script: Script, line: str, text: str, number: int) -> None:
    for kind, pattern in _PATTERNS.items():
        found = pattern.fullmatch(line)
        if found is None:
            continue
        if found["who"] not in script.actors:
            raise ScriptError(f"nobody said who {found['who']} is")
        if bool(text) != (kind in _WITH_TEXT):
            raise ScriptError("this step needs indented text" if not text else "this step takes no text")
        argument = found.groupdict().get("argument") or ""
        script.steps.append(Step(kind, found["who"], number, argument, text))
        return
    for pattern_text, take in _DECLARATIONS.items():
        found = re.fullmatch(pattern_text, line)
        if found is not None:
            if script.steps:
                raise ScriptError("declarations come before the first step")
            take(script, found)
            return
    raise ScriptError(f"what does {line!r} mean?")


def _actor(script: Script, found: re.Match[str]) -> None:
    script.actors[found[1]] = found[2]


def _friends(script: Script, found: re.Match[str]) -> None:
    for who in (found[1], found[2]):
        if who not in script.actors:
            raise ScriptError(f"nobody said who {who} is")
    script.friends.append((found[1], found[2]))


def _administrator(script: Script, found: re.Match[str]) -> None:
    if found[1] not in script.actors:
        raise ScriptError(f"nobody said who {found[1]} is")
    script.administrators.append(found[1])


def _where(script: Script, found: re.Match[str]) -> None:
    named = {name.strip() for name in found[2].split(",")}
    if named - set(TRANSPORTS):
        raise ScriptError(f"there is no transport {', '.join(sorted(named - set(TRANSPORTS)))}")
    wanted = named if found[1] == "Only" else set(TRANSPORTS) - named
    script.transports = tuple(name for name in TRANSPORTS if name in wanted)


def _option(script: Script, found: re.Match[str]) -> None:
    value = found[3]
    parsed: object = int(value) if value.isdigit() else {"on": True, "off": False}.get(value, value)
    if value.startswith("{"):
        parsed = json.loads(value)
    script.options.setdefault(found[1], {})[found[2]] = parsed


def _topic(script: Script, found: re.Match[str]) -> None:
    script.topics.append((found[1], found[2], found[3]))


_DECLARATIONS: dict[str, Callable[[Script, re.Match[str]], None]] = {
    r"(\w+) is (\S+@\S+)": _actor,
    r"(\w+) and (\w+) are friends": _friends,
    r"(\w+) is an administrator": _administrator,
    r"(Only|Not) over (.+)": _where,
    r"Option (\w+)\.(\w+) is (\S+)": _option,
    r"Topic (\S+) is read by (.+), filled in by (.+)": _topic,
}
