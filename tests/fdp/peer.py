"""A scripted server for tests of the forms page: it speaks XMPP by WebSocket with the browser and does on demand what
no proper server does often: loses an answer, refuses a field, forgets a topic.

    peer = Peer("localhost")
    peer.topic("example.org/report", "Report", FORM)
    peer.serve(page)                    # before the page is opened
    peer.lose_answer = True             # the next form is stored, and the connection breaks
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from playwright.sync_api import Page, WebSocketRoute

PUBSUB = "http://jabber.org/protocol/pubsub"
DATA = "jabber:x:data"
RSM = "http://jabber.org/protocol/rsm"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


@dataclass
class Topic:
    """What the peer knows of a topic; `versions` and `items` are lists of (id, payload, publisher)."""

    title: str
    description: str
    versions: list[tuple[str, str]]
    items: list[tuple[str, str, str]] = field(default_factory=list)
    subscribers: set[str] = field(default_factory=set)
    may_read: bool = True
    may_publish: bool = True


class Refusal(Exception):
    """An error to be sent: condition, type, pubsub condition, text."""

    def __init__(self, condition: str, kind: str = "cancel", pubsub: str = "", text: str = "") -> None:
        super().__init__(condition)
        self.xml = (
            f"<error type='{kind}'><{condition} xmlns='{STANZAS}'/>"
            + (f"<text xmlns='{STANZAS}'>{escape(text)}</text>" if text else "")
            + (f"<{pubsub} xmlns='{PUBSUB}#errors'/>" if pubsub else "")
            + "</error>"
        )


class Connection:
    """One WebSocket of a page."""

    def __init__(self, peer: Peer, socket: WebSocketRoute, bare: str) -> None:
        self.peer = peer
        self.socket = socket
        self.full = f"{bare}/forms"
        self.bare = bare
        self.signed_in = False
        self.is_open = True
        socket.on_message(self.received)
        socket.on_close(lambda _code, _reason: self.closed())

    def closed(self) -> None:
        """The page has gone away."""
        self.is_open = False
        if self in self.peer.connections:
            self.peer.connections.remove(self)

    def drop(self) -> None:
        """Break the connection."""
        self.closed()
        self.socket.close(code=1011)

    def send(self, xml: str) -> None:
        """Send, unless it is broken."""
        if self.is_open:
            self.socket.send(xml)

    def received(self, message: str | bytes) -> None:
        """One stanza or frame of the page."""
        element = ET.fromstring(message)
        name = element.tag.rpartition("}")[2]
        if name == "open":
            self.send(
                f"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='{self.peer.domain}' id='s' version='1.0'/>"
            )
            offered = (
                "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
                if self.signed_in
                else "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
            )
            self.send(
                f"<stream:features xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>{offered}"
                "</stream:features>"
            )
        elif name == "auth":
            self.signed_in = True
            self.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        elif name == "iq":
            self.iq(element)

    def iq(self, element: ET.Element) -> None:
        """Answer an iq."""
        id, to = element.get("id"), element.get("to")
        child = element[0] if len(element) else None
        source = f" from={quoteattr(to)}" if to else ""
        if child is None or element.get("type") in ("result", "error"):
            return
        if child.tag == "{urn:ietf:params:xml:ns:xmpp-bind}bind":
            body = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{self.full}</jid></bind>"
            self.send(f"<iq xmlns='jabber:client' type='result' id='{id}'>{body}</iq>")
            self.peer.connections.append(self)
            return
        try:
            body, kind = self.peer.answer(self, to or "", child), "result"
        except Refusal as refusal:
            body, kind = refusal.xml, "error"
        self.send(f"<iq xmlns='jabber:client' type='{kind}' id='{id}' to='{self.full}'{source}>{body}</iq>")


class Peer:
    """The server; pages of several people may talk with it."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.service = f"forms.{domain}"
        self.topics: dict[str, Topic] = {}
        self.connections: list[Connection] = []
        self.refuse: Refusal | None = None
        self.lose_answer = False
        #: Answers that say that the topics are not known yet.
        self.not_ready = 0
        self.published: list[str] = []
        self.page_size = 20

    def topic(self, suffix: str, title: str, form: str, description: str = "", **more: Any) -> Topic:
        """Offer a topic."""
        self.topics[suffix] = Topic(title, description, [("version01", form)], **more)
        return self.topics[suffix]

    def serve(self, page: Page, bare: str) -> None:
        """Take the WebSocket of this page, whose person is `bare`."""
        page.context.route_web_socket(re.compile("/xmpp-websocket$"), lambda socket: Connection(self, socket, bare))

    def forget(self, suffix: str) -> None:
        """Delete a topic; subscribers are told."""
        topic = self.topics.pop(suffix)
        for connection in self.connections:
            if connection.bare in topic.subscribers:
                body = f"<delete node='fdp/submitted/{suffix}'/>"
                connection.send(self.event(connection, body))

    def event(self, to: Connection, body: str) -> str:
        """A notification."""
        return (
            f"<message xmlns='jabber:client' from='{self.service}' to='{to.full}' type='headline'>"
            f"<event xmlns='{PUBSUB}#event'>{body}</event></message>"
        )

    def answer(self, who: Connection, to: str, child: ET.Element) -> str:
        """The payload of a result; raises Refusal."""
        space, _, name = child.tag[1:].partition("}")
        if space.endswith("disco#items"):
            return self.disco_items(to)
        if space.endswith("disco#info"):
            return self.disco_info(to, child.get("node", ""))
        if space == PUBSUB and to == self.service:
            return self.pubsub(who, child)
        if name == "ping":
            return ""
        raise Refusal("service-unavailable")

    def disco_items(self, to: str) -> str:
        """Services of the domain, nodes of the service."""
        if to == self.service and self.not_ready:
            self.not_ready -= 1
            raise Refusal("resource-constraint", "wait", "", "the topics are not read yet")
        if to == self.domain:
            rows = f"<item jid='conference.{self.domain}'/><item jid='{self.service}'/>"
        else:
            rows = "".join(
                f"<item jid='{to}' node={quoteattr(f'fdp/{kind}/{suffix}')} name={quoteattr(topic.title)}/>"
                for suffix, topic in self.topics.items()
                for kind in ("template", "submitted")
            )
        return f"<query xmlns='http://jabber.org/protocol/disco#items'>{rows}</query>"

    def disco_info(self, to: str, node: str) -> str:
        """Identities; for a node its meta-data."""
        if to != self.service:
            raise Refusal("service-unavailable")
        body = "<identity category='pubsub' type='service'/><identity category='pubsub' type='urn:xmpp:fdp:0'/>"
        if node:
            topic = self.of(node)
            body = (
                f"<identity category='pubsub' type='leaf'/><x xmlns='{DATA}' type='result'>"
                "<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#meta-data</value></field>"
                f"<field var='pubsub#title'><value>{escape(topic.title)}</value></field>"
                f"<field var='pubsub#description'><value>{escape(topic.description)}</value></field></x>"
            )
        return f"<query xmlns='http://jabber.org/protocol/disco#info'>{body}</query>"

    def of(self, node: str) -> Topic:
        """The topic of a node; refuses what is not there."""
        suffix = node.split("/", 2)[2]
        if suffix not in self.topics:
            raise Refusal("item-not-found")
        return self.topics[suffix]

    def pubsub(self, who: Connection, box: ET.Element) -> str:
        """Requests of XEP-0060."""
        part = box[0]
        what = part.tag.rpartition("}")[2]
        node = part.get("node", "")
        if what == "subscriptions":
            rows = "".join(
                f"<subscription node='fdp/submitted/{suffix}' jid='{who.bare}' subscription='subscribed' subid='s1'/>"
                for suffix, topic in self.topics.items()
                if who.bare in topic.subscribers
            )
            return f"<pubsub xmlns='{PUBSUB}'><subscriptions>{rows}</subscriptions></pubsub>"
        topic = self.of(node)
        if what == "items":
            return self.items(topic, node, part, box.find(f"{{{RSM}}}set"))
        if what == "publish":
            return self.publish(who, topic, node, part[0])
        if not topic.may_read:
            raise Refusal("forbidden", "auth")
        (topic.subscribers.add if what == "subscribe" else topic.subscribers.discard)(who.bare)
        if what == "unsubscribe":
            return ""
        state = f"node='{node}' jid='{who.bare}' subscription='subscribed' subid='s1'"
        return f"<pubsub xmlns='{PUBSUB}'><subscription {state}/></pubsub>"

    def items(self, topic: Topic, node: str, part: ET.Element, rsm: ET.Element | None) -> str:
        """Versions or submissions; pages from the end."""
        if node.startswith("fdp/template/"):
            entries = [(id, xml, "") for id, xml in topic.versions]
        elif not topic.may_read:
            raise Refusal("forbidden", "auth")
        else:
            entries = topic.items
        wanted = [item.get("id") for item in part]
        paging = ""
        if wanted:
            page = [entry for entry in entries if entry[0] in wanted]
        elif rsm is not None:
            before = rsm.findtext(f"{{{RSM}}}before") or ""
            ids = [entry[0] for entry in entries]
            end = ids.index(before) if before else len(entries)
            start = max(0, end - self.page_size)
            page = entries[start:end]
            edge = f"<first index='{start}'>{page[0][0]}</first><last>{page[-1][0]}</last>" if page else ""
            paging = f"<set xmlns='{RSM}'>{edge}<count>{len(entries)}</count></set>"
        else:
            page = entries[-1:] if part.get("max_items") else entries
        rows = "".join(f"<item id={quoteattr(id)} publisher='{by}'>{xml}</item>" for id, xml, by in page)
        return f"<pubsub xmlns='{PUBSUB}'><items node={quoteattr(node)}>{rows}</items>{paging}</pubsub>"

    def publish(self, who: Connection, topic: Topic, node: str, item: ET.Element) -> str:
        """Store, number, tell the subscribers."""
        self.published.append(item.get("id", ""))
        if self.refuse:
            refusal, self.refuse = self.refuse, None
            raise refusal
        if not topic.may_publish:
            raise Refusal("forbidden", "auth")
        entry = self.store(topic, item.get("id", ""), item[0], who.bare)
        for connection in list(self.connections):
            if connection.bare in topic.subscribers:
                body = f"<items node='{node}'><item id='{entry[0]}' publisher='{who.bare}'>{entry[1]}</item></items>"
                connection.send(self.event(connection, body))
        if self.lose_answer:
            self.lose_answer = False
            who.drop()
        return f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='{entry[0]}'/></publish></pubsub>"

    def store(self, topic: Topic, id: str, form: ET.Element, by: str) -> tuple[str, str, str]:
        """A submission with its serial number; one that is there already stays as it is."""
        for entry in topic.items:
            if entry[0] == id:
                return entry
        serial = ET.SubElement(form, f"{{{DATA}}}field", {"var": "fdp#serial", "type": "hidden"})
        ET.SubElement(serial, f"{{{DATA}}}value").text = str(len(topic.items) + 1)
        entry = (id, ET.tostring(form, encoding="unicode"), by)
        topic.items.append(entry)
        return entry
