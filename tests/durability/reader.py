"""Reads an XML stream as a client does: bytes in, finished children of the root out.

It stands on the parser of Python's standard library, not on the server's own, so a mistake there cannot hide itself.
Used by the raw client here, by the scenarios and by the tests with bad input.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, XMLPullParser

CLIENT = "jabber:client"
STREAM = "http://etherx.jabber.org/streams"
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SM = "urn:xmpp:sm:3"


def name(space: str, local: str) -> str:
    """A tag as ElementTree writes it."""
    return f"{{{space}}}{local}"


class StreamReader:
    """One stream; `header` is its root once that was read, `ended` whether the root was closed."""

    def __init__(self) -> None:
        self._parser = XMLPullParser(("start", "end"))
        self._depth = 0
        self._rest = b""
        self.header: Element | None = None
        self.ended = False

    def feed(self, data: bytes) -> list[Element]:
        """The elements that these bytes complete; raises xml.etree.ElementTree.ParseError for what is no XML."""
        data = self._rest + data
        # Newer expat builds keep a token that came in pieces until more follows, so only whole tags are fed.
        cut = data.rfind(b">") + 1
        self._rest = data[cut:]
        self._parser.feed(data[:cut])
        done = []
        for event, element in self._parser.read_events():
            if event == "start":
                self._depth += 1
                if self._depth == 1:
                    self.header = element
            else:
                self._depth -= 1
                if self._depth == 1:
                    done.append(element)
                    assert self.header is not None
                    del self.header[:]
                elif self._depth == 0:
                    self.ended = True
        return done


def stream_condition(element: Element) -> str | None:
    """The condition of a `<stream:error/>`, None for any other element."""
    if element.tag != name(STREAM, "error"):
        return None
    for child in element:
        space, _, local = child.tag[1:].partition("}")
        if space == STREAM_ERRORS and local != "text":
            return local
    return ""


def stanza_condition(element: Element) -> str | None:
    """The condition of an error stanza, None where it is none."""
    error = element.find(name(CLIENT, "error"))
    if error is None:
        return None
    for child in error:
        space, _, local = child.tag[1:].partition("}")
        if space == STANZA_ERRORS and local != "text":
            return local
    return ""
