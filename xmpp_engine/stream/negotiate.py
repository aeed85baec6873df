"""Negotiation: the ordered stream features of RFC 6120, 4.3, shared by all roles.

A role lists its features in order. Each says whether it is to be offered now and whether anything may stand beside it;
the driver builds `<stream:features/>` from that and hands an element to the feature that knows its name. What a host
offers in a given state is always the same, so the encoded features are kept.

While a feature waits for the database it calls `hold`: reading stops, and what the same read still brought waits in a
short backlog. Order holds, and nobody can pile up work.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.stream.role import Binder
    from xmpp_engine.stream.stream import Stream

_BACKLOG: Final = 32
_STANZAS: Final = frozenset({"message", "presence", "iq"})
_LONGEST_LANG: Final = 35
_CACHED: Final = 512


class Feature:
    """One step of negotiation."""

    __slots__ = ()
    #: (namespace, name) of the elements that belong to it.
    names: frozenset[tuple[str, str]] = frozenset()

    def wanted(self) -> bool:
        """Whether it is to be offered now."""
        raise NotImplementedError

    def alone(self) -> bool:
        """Whether nothing that comes later in the order may be offered beside it."""
        return False

    def key(self) -> Hashable:
        """What the offer depends on beside the host and its table."""
        return None

    def offer(self) -> Iterable[Element]:
        """The children of `<stream:features/>`."""
        raise NotImplementedError

    def handle(self, element: Element) -> None:
        """One of its elements, offered or not; raises StreamError."""
        raise NotImplementedError


class FeatureCache:
    """Encoded features by host and state; dropped when the host's configuration or table is another."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Any, Any, bytes]] = {}

    def get(self, stream: Stream, state: Hashable, make: Callable[[], Element]) -> bytes:
        """The features for this state, made where they are not known yet."""
        host = stream.host
        assert host is not None
        config, table = host.config, host.table
        key = (host.domain, stream.flavour, state)
        entry = self._entries.get(key)
        if entry is not None and entry[0] is config and entry[1] is table:
            return entry[2]
        if len(self._entries) >= _CACHED:
            self._entries.clear()
        data = stream.framing.encode(make())
        self._entries[key] = (config, table, data)
        return data


class Negotiation:
    """The state of one stream until it is bound."""

    __slots__ = ("_backlog", "_cache", "_held", "exchanging", "features", "stream")

    def __init__(self, stream: Stream, cache: FeatureCache) -> None:
        self.stream = stream
        #: In the order of the offer; set by the role that made the negotiation.
        self.features: tuple[Feature, ...] = ()
        self._cache = cache
        self._held = False
        #: Whether a SASL2 exchange waits for the client's response: nothing else may come then (XEP-0388, 2.4).
        self.exchanging = False
        self._backlog: list[Element] = []

    def offer(self) -> None:
        """Send the features of this moment."""
        shown: list[Feature] = []
        for feature in self.features:
            if feature.wanted():
                shown.append(feature)
                if feature.alone():
                    break
        state = tuple((type(feature), feature.key()) for feature in shown)
        self.stream.write(self._cache.get(self.stream, state, lambda: _features(shown)))

    def handle(self, element: Element) -> None:
        """An element: to the feature it belongs to, or the stream error for one that has no place here."""
        key = (element.ns, element.name)
        for feature in self.features:
            if key in feature.names:
                feature.handle(element)
                return
        if element.ns == ns.CLIENT and element.name in _STANZAS:
            raise StreamError("not-authorized", "stanzas may come once a resource is bound")
        raise StreamError("unsupported-stanza-type", f"{element.name[:64]} is not understood here")

    # Waiting

    def hold(self) -> None:
        """Take no further element until `release`."""
        self._held = True
        self.stream.transport.pause()
        self.stream.on_element = self._keep

    def release(self, handler: Callable[[Element], Any]) -> None:
        """Go on with `handler`, or with whoever took the stream over meanwhile; what waited comes first."""
        stream = self.stream
        self._held = False
        if stream.closed:
            self._backlog.clear()
            stream.ended("the connection was lost before the session began")
            return
        if stream.on_element == self._keep:
            stream.on_element = handler
        try:
            while self._backlog and not self._held and not stream.closed:
                stream.on_element(self._backlog.pop(0))
        except StreamError as error:
            stream.close(error)
        except Exception:
            stream.failed()
        if not self._held and not stream.closed:
            stream.transport.resume()

    def go_on(self, handler: Callable[[Element], Any]) -> None:
        """`release` where the stream is held, nothing where it is not."""
        if self._held:
            self.release(handler)

    def restart(self) -> None:
        """The peer opens its stream anew: what it sent before it could know is dropped."""
        self._backlog.clear()
        self.stream.restart()

    def _keep(self, element: Element) -> None:
        if len(self._backlog) >= _BACKLOG:
            raise StreamError("policy-violation", "too much was sent before an answer came")
        self._backlog.append(element)

    def run(self, binder: Binder, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Hold the stream and go on in a task, which calls `release`; a defect there ends the stream, not the node."""
        self.hold()
        binder.spawn(name, self._guarded(coroutine))

    async def _guarded(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            await coroutine
        except StreamError as error:
            self.stream.close(error)
        except Exception:
            self.stream.close(StreamError("internal-server-error"))
            raise


def _features(shown: list[Feature]) -> Element:
    element = Element(ns.STREAM, "features")
    for feature in shown:
        for child in feature.offer():
            element.append(child)
    return element


def check_header(stream: Stream, root: Element, binder: Binder) -> None:
    """Take addresses, version and language of a client's header (RFC 6120, 4.7); raises StreamError.

    Sets `stream.host`, `peer_id` and `lang`.
    """
    attrs = root.attrs
    stream.peer_id = ""
    source = attrs.get("from")
    if source is not None:
        try:
            stream.peer_id = Jid.parse(source).full
        except ValueError:
            raise StreamError("invalid-from", "the address in the stream header is none") from None
    check_version(attrs.get("version"))
    stream.lang = attrs.get(XML_LANG, "")[:_LONGEST_LANG]
    wanted = attrs.get("to")
    if wanted is None:
        host = stream.host or binder.default_host()
    else:
        try:
            host = binder.host(domainpart(wanted))
        except ValueError:
            host = None
    if host is None:
        raise StreamError("host-unknown", "this server does not serve the domain")
    stream.host = host


def check_version(version: str | None) -> None:
    """RFC 6120, 4.7.5: the major number counts, and a higher one than ours is answered with ours; raises StreamError
    for one below 1.0."""
    major, dot, minor = (version or "0.9").partition(".")
    if not dot or not (major + minor).isascii() or not major.isdigit() or not minor.isdigit() or not major.strip("0"):
        raise StreamError("unsupported-version", "this server speaks XMPP 1.0")
