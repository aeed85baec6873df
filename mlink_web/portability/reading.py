"""Reading XEP-0227: a tree of files as a stream of what stands in it, one thing at a time.

    Host, User, Part ..., Entry ..., UserEnd, User ...

A Part is a child of `<user/>` as a whole. What may be long comes as entries: offline messages, messages of the archive,
items of nodes, what nodes are configured to. Elements of other namespaces come as parts too, for the caller to know or
not; what makes no sense where it stands comes as Trouble, and reading goes on where that is possible.

XInclude is followed where the specification wants it, as a child of `<server-data/>`, `<host/>` and `<user/>`, inside
the tree and each file once; deeper down it is somebody's data. Document type declarations, and with them entities, are
refused. One thing has at most UNIT_BYTES, one attribute ATTRIBUTE_CHARACTERS.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final
from xml.parsers import expat

from mlink_web.portability import names
from mlink_web.portability.names import BadReference, resolve, shown
from mlink_web.portability.sources import BadSource, Source
from xmpp_engine.api import Element, ns

CHUNK: Final = 65_536
UNIT_BYTES: Final = 16 * 1024 * 1024
ATTRIBUTE_CHARACTERS: Final = 262_144
MAX_DEPTH: Final = 200
MAX_ATTRIBUTES: Final = 500
MAX_USERS: Final = 5_000_000
_XML: Final = "http://www.w3.org/XML/1998/namespace "

#: What comes as entries, by the kind that an Entry says.
OFFLINE, ARCHIVE, ITEM, OWNER = "offline", "archive", "item", "owner"
ENTRIES: Final = frozenset({OFFLINE, ARCHIVE, ITEM, OWNER})
PARTS: Final = "parts"


@dataclass(frozen=True, slots=True)
class Host:
    """A host begins. `jid` as it stands there."""

    jid: str
    where: str


@dataclass(frozen=True, slots=True)
class User:
    """A user of that host begins; `password` None where none stands there."""

    host: str
    name: str
    password: str | None
    where: str


@dataclass(frozen=True, slots=True)
class UserEnd:
    """That user has ended. `whole` is False where something of it could not be read."""

    whole: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A child of the user."""

    element: Element
    where: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One of many: `kind` is OFFLINE, ARCHIVE, ITEM (of `node`) or OWNER."""

    kind: str
    element: Element
    node: str
    where: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is passed over, and why: a sentence."""

    sentence: str
    where: str


@dataclass(frozen=True, slots=True)
class _Include:
    href: str
    level: str
    where: str


Event = Host | User | UserEnd | Part | Entry | Trouble


class Reader:
    """Reads the documents of a source. `wanted` says which kinds of entries, and PARTS, come; the rest is passed
    over."""

    def __init__(self, source: Source, wanted: Collection[str] = ENTRIES | {PARTS}) -> None:
        self._source = source
        self._wanted = frozenset(wanted)
        self._seen: set[str] = set()
        self._users = 0

    def read(self, mains: list[str]) -> Iterator[Event]:
        """Everything in these documents and what they include. Raises BadSource where a main file cannot be read."""
        for name in mains:
            self._seen.add(name)
            for event in self._file(name, "top"):
                if isinstance(event, User):
                    self._users += 1
                    if self._users > MAX_USERS:
                        raise BadSource(f"There are more than {MAX_USERS:,} users.")
                yield event

    def _file(self, name: str, level: str, host: str = "") -> Iterator[Event]:
        with self._source.open(name) as stream:
            parser = _Parser(name, level, host, self._wanted)
            for event in parser.events(stream):
                if isinstance(event, _Include):
                    yield from self._included(event, parser)
                elif isinstance(event, UserEnd):
                    yield UserEnd(parser.whole)
                    parser.whole = True
                else:
                    yield event

    def _included(self, include: _Include, parser: _Parser) -> Iterator[Event]:
        """An included file. One that cannot be read is a trouble, and its user or host is not whole."""
        in_user = False
        try:
            name = resolve(parser.name, include.href)
            if name in self._seen:
                raise BadReference(f"The file {shown(name)} is included twice.")
            self._seen.add(name)
            for event in self._file(name, include.level, parser.host):
                in_user = isinstance(event, User) or (in_user and not isinstance(event, UserEnd))
                yield event
        except (BadReference, BadSource) as error:
            yield Trouble(str(error), include.where)
            if in_user:
                yield UserEnd(whole=False)
            if include.level == "user":
                parser.whole = False


class _Parser:
    """One file. `level` says below what it stands: "top" for a document, "server", "host" or "user" for what is
    included there."""

    def __init__(self, name: str, level: str, host: str, wanted: frozenset[str]) -> None:
        self.name = name
        #: The host that users stand in.
        self.host = host
        self.whole = True
        self._wanted = wanted
        self._events: list[Event | _Include] = []
        #: What the open elements are, outermost first.
        self._modes: list[str] = [level]
        self._root = True
        self._node = ""
        self._unit: list[Element] = []
        self._kind = ""
        self._unit_start = 0
        self._last = 0
        self._texts: list[str] = []
        self._parser: Any = None

    def events(self, stream: IO[bytes]) -> Iterator[Event | _Include]:
        """All of the file. Raises BadSource with its place where it is no XML that is taken."""
        parser = self._parser = expat.ParserCreate(None, " ", {})
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        fed = 0
        try:
            while chunk := stream.read(CHUNK):
                fed += len(chunk)
                parser.Parse(chunk, False)
                if fed - (self._unit_start if self._unit else self._last) > UNIT_BYTES + CHUNK:
                    raise BadSource(f"{self._here()}: something is longer than {UNIT_BYTES // 1024**2} MiB.")
                yield from self._taken()
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            yield from self._taken()
            what = expat.ErrorString(error.code) or "not well-formed"
            raise BadSource(f"{shown(self.name)}, line {error.lineno}: this is no XML: {what}.") from None
        except (UnicodeError, LookupError) as error:
            raise BadSource(f"{shown(self.name)}: the encoding is not understood: {error}.") from None
        finally:
            parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
            parser.StartDoctypeDeclHandler = None
        yield from self._taken()

    def _taken(self) -> Iterator[Event | _Include]:
        events, self._events = self._events, []
        return iter(events)

    def _here(self) -> str:
        return f"{shown(self.name)}, line {self._parser.CurrentLineNumber}"

    def _refuse_doctype(self, *_arguments: object) -> None:
        raise BadSource(f"{shown(self.name)} has a document type declaration, which is not taken.")

    # Elements

    def _start(self, tag: str, attrs: dict[str, str]) -> None:
        space, _, name = tag.rpartition(" ")
        self._last = self._parser.CurrentByteIndex
        if len(self._modes) + len(self._unit) > MAX_DEPTH:
            raise BadSource(f"{self._here()}: elements are nested too deeply.")
        if attrs:
            self._check(attrs)
        if self._unit:
            self._flush()
            child = Element(space, name, _named(attrs))
            self._unit[-1].children.append(child)
            self._unit.append(child)
            return
        if space == names.OLD_PIE:
            space = names.PIE
        mode = self._modes[-1]
        if mode == "skip":
            self._modes.append("skip")
            return
        _STARTS[mode](self, space, name, attrs)
        self._root = False

    def _check(self, attrs: dict[str, str]) -> None:
        if len(attrs) > MAX_ATTRIBUTES:
            raise BadSource(f"{self._here()}: an element has more than {MAX_ATTRIBUTES} attributes.")
        for value in attrs.values():
            if len(value) > ATTRIBUTE_CHARACTERS:
                raise BadSource(f"{self._here()}: an attribute is longer than {ATTRIBUTE_CHARACTERS:,} characters.")

    def _end(self, _tag: str) -> None:
        self._last = self._parser.CurrentByteIndex
        if not self._unit:
            mode = self._modes.pop()
            if mode == "user":
                self._events.append(UserEnd(whole=True))
            return
        self._flush()
        element = self._unit.pop()
        if self._unit:
            if self._last - self._unit_start > UNIT_BYTES:
                raise BadSource(f"{self._here()}: something is longer than {UNIT_BYTES // 1024**2} MiB.")
            return
        self._modes.pop()
        where = f"{self.name}:{self._parser.CurrentLineNumber}"
        if self._kind == PARTS:
            self._events.append(Part(element, where))
        else:
            self._events.append(Entry(self._kind, element, self._node, where))

    def _data(self, text: str) -> None:
        if self._unit:
            self._texts.append(text)
        else:
            self._last = self._parser.CurrentByteIndex

    def _flush(self) -> None:
        if self._texts:
            self._unit[-1].children.append("".join(self._texts))
            self._texts.clear()

    def _begin(self, kind: str, space: str, name: str, attrs: dict[str, str]) -> None:
        """A thing that is collected as a whole begins, unless nobody wants it."""
        if kind not in self._wanted:
            self._modes.append("skip")
            return
        self._modes.append("unit")
        self._kind = kind
        self._unit_start = self._parser.CurrentByteIndex
        self._unit.append(Element(space, name, _named(attrs)))

    def _pass_over(self, sentence: str) -> None:
        self._modes.append("skip")
        self._events.append(Trouble(sentence, f"{self.name}:{self._parser.CurrentLineNumber}"))

    def _include(self, level: str, attrs: dict[str, str]) -> None:
        where = f"{self.name}:{self._parser.CurrentLineNumber}"
        if "parse" in attrs and attrs["parse"] != "xml":
            self._pass_over("An include of something else than XML is passed over.")
        elif "xpointer" in attrs or "href" not in attrs:
            self._pass_over("An include of a part of a file is passed over.")
        else:
            self._modes.append("skip")
            self._events.append(_Include(attrs["href"], level, where))

    # What stands where

    def _in_top(self, space: str, name: str, _attrs: dict[str, str]) -> None:
        if (space, name) != (names.PIE, "server-data"):
            raise BadSource(f"{shown(self.name)} begins with <{shown(name)[1:-1]}/> in the namespace {shown(space)}.")
        self._modes.append("server")

    def _in_server(self, space: str, name: str, attrs: dict[str, str]) -> None:
        if (space, name) == (names.PIE, "host"):
            self.host = attrs.get("jid", "")
            self._modes.append("host")
            self._events.append(Host(self.host, f"{self.name}:{self._parser.CurrentLineNumber}"))
        elif (space, name) == (names.XINCLUDE, "include") and not self._root:
            self._include("server", attrs)
        else:
            self._strange(space, name)

    def _in_host(self, space: str, name: str, attrs: dict[str, str]) -> None:
        if (space, name) == (names.PIE, "user"):
            self._modes.append("user")
            where = f"{self.name}:{self._parser.CurrentLineNumber}"
            self._events.append(User(self.host, attrs.get("name", ""), attrs.get("password"), where))
        elif (space, name) == (names.XINCLUDE, "include") and not self._root:
            self._include("host", attrs)
        else:
            self._strange(space, name)

    def _in_user(self, space: str, name: str, attrs: dict[str, str]) -> None:
        if (space, name) == (names.XINCLUDE, "include"):
            if self._root:
                self._strange(space, name)
            else:
                self._include("user", attrs)
            return
        mode = _LISTS.get((space, name))
        if mode is not None:
            self._modes.append(mode)
        else:
            self._begin(PARTS, space, name, attrs)

    def _in_pubsub(self, space: str, name: str, attrs: dict[str, str]) -> None:
        if (space, name) == (ns.PUBSUB, "items"):
            self._node = attrs.get("node", "")
            self._modes.append("items")
        else:
            self._modes.append("skip")

    def _in_list(self, space: str, name: str, attrs: dict[str, str]) -> None:
        self._begin(_KINDS[self._modes[-1]], space, name, attrs)

    def _in_unit(self, *_arguments: object) -> None:
        raise AssertionError("a unit has a stack of its own")

    def _strange(self, space: str, name: str) -> None:
        sentence = f"<{shown(name)[1:-1]}/> in the namespace {shown(space)} is not known at this place."
        if self._root:
            raise BadSource(f"{shown(self.name)}: {sentence}")
        self._pass_over(sentence)


#: What the children of these are is known; they come as entries.
_LISTS: Final = {
    (names.PIE, "offline-messages"): "offline",
    (names.ARCHIVE, "archive"): "archive",
    (ns.PUBSUB, "pubsub"): "pubsub",
    (ns.PUBSUB_OWNER, "pubsub"): "owner",
}
_KINDS: Final = {"offline": OFFLINE, "archive": ARCHIVE, "items": ITEM, "owner": OWNER}
_STARTS: Final[dict[str, Callable[[_Parser, str, str, dict[str, str]], None]]] = {
    "top": _Parser._in_top,
    "server": _Parser._in_server,
    "host": _Parser._in_host,
    "user": _Parser._in_user,
    "pubsub": _Parser._in_pubsub,
    "items": _Parser._in_list,
    "offline": _Parser._in_list,
    "archive": _Parser._in_list,
    "owner": _Parser._in_list,
    "unit": _Parser._in_unit,
}


def _named(attrs: dict[str, str]) -> dict[str, str]:
    """Attributes as elements of the engine have them."""
    return {f"xml:{key[len(_XML) :]}" if key.startswith(_XML) else key: value for key, value in attrs.items()}
