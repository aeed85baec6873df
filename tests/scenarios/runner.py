"""Plays a script: one engine, the script's actors over one transport, step after step.

"Nothing is on its way" is proved without sleeping: every actor asks the server something and waits for the answer,
twice. The first round shows that all that was sent has been dealt with, the second that its consequences have arrived.
Stanza counts of XEP-0198 are left alone by that: a managed stream asks with `<r/>`.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from tests.durability.reader import BIND, CLIENT, SASL, SM, STREAM, STREAM_ERRORS, name
from tests.patience import in_time
from tests.scenarios.capable import DISCO, capabilities
from tests.scenarios.matcher import Variables, elements, fill, mismatch, pieces, show
from tests.scenarios.script import Script, Step
from tests.scenarios.server import DOMAIN, PASSWORD, Server
from tests.scenarios.wires import Wire

STEP_SECONDS = 5.0
SASL2 = "urn:xmpp:sasl:2"
_BARRIER = "urn:example:barrier"
_MUC = "http://jabber.org/protocol/muc"
_USER = f"{_MUC}#user"
_OWNER = f"{_MUC}#owner"
_CONFIG = f"{_MUC}#roomconfig"
_PUBSUB = "http://jabber.org/protocol/pubsub"
_SERVICE = f"pubsub.{DOMAIN}"


class Failure(AssertionError):
    """A step did not go as the script says."""


class Actor:
    """Somebody in a script, with one connection at a time."""

    def __init__(self, full: str, server: Server, transport: str) -> None:
        self.bare, _, self.resource = full.partition("/")
        self._server, self._transport = server, transport
        self._wire: Wire | None = None
        self._barriers = 0
        self._early: list[Element | None] = []
        self.bound = False
        self.managed = False

    @property
    def wire(self) -> Wire:
        """The connection there is now."""
        if self._wire is None:
            raise Failure("there is no connection")
        return self._wire

    async def open(self, domain: str = DOMAIN) -> None:
        """A new connection with an open stream."""
        if self._wire is not None:
            await self._wire.abort()
        self._wire = self._server.wire(self._transport)
        self._early.clear()
        self.bound = self.managed = False
        await self._wire.open(domain)

    async def next(self) -> Element | None:
        """What comes next; None is the end of the stream. Raises Failure when nothing comes."""
        if self._early:
            return self._early.pop(0)
        try:
            element = await in_time(self.wire.inbox.get(), STEP_SECONDS)
        except TimeoutError:
            raise Failure("nothing came") from None
        if element is None:
            self.bound = self.managed = False
        elif element.tag == name(SM, "enabled") or element.tag == name(SM, "resumed"):
            self.managed = self.bound = True
        elif element.tag == name(SASL2, "success"):
            self.bound = "/" in (element.findtext(name(SASL2, "authorization-identifier")) or "")
            self.managed = any(element.find(f".//{name(SM, tag)}") is not None for tag in ("enabled", "resumed"))
        return element

    async def expect(self, tag: str) -> Element:
        """The next element, which must have this tag."""
        element = await self.next()
        if element is None or element.tag != tag:
            raise Failure(f"{tag} was due, {'the end of the stream' if element is None else show(element)} came")
        return element

    async def sign_in(self) -> None:
        """Open a stream and authenticate; the features that follow are taken."""
        await self.open()
        features = await self.expect(name(STREAM, "features"))
        offered = [mechanism.text for mechanism in features.iter(name(SASL, "mechanism"))]
        if "PLAIN" not in offered:
            raise Failure(f"PLAIN is not offered, only {offered}")
        secret = base64.b64encode(f"\0{self.bare.partition('@')[0]}\0{PASSWORD}".encode()).decode()
        await self.wire.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{secret}</auth>")
        await self.expect(name(SASL, "success"))
        await self.wire.restart(DOMAIN)
        await self.expect(name(STREAM, "features"))

    async def connect(self) -> None:
        """Sign in and bind."""
        await self.sign_in()
        await self.wire.send(
            f"<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{self.resource}</resource></bind></iq>"
        )
        answer = await self.expect(name(CLIENT, "iq"))
        jid = answer.findtext(f"{{{BIND}}}bind/{{{BIND}}}jid")
        if jid != f"{self.bare}/{self.resource}":
            raise Failure(f"bound as {jid}: {show(answer)}")
        self.bound = True

    async def barrier(self) -> None:
        """Ask the server and wait for the answer; what came before it is kept for the script."""
        if self._wire is None or not self.bound:
            return
        self._barriers += 1
        id = f"barrier-{self._barriers}"
        if self.managed:
            await self.wire.send(f"<r xmlns='{SM}'/>")
        else:
            await self.wire.send(f"<iq type='get' id='{id}' to='{DOMAIN}'><query xmlns='{_BARRIER}'/></iq>")
        kept: list[Element | None] = []
        while True:
            element = await self.next() if not self._early else self._early.pop(0)
            if element is None:
                kept.append(None)
                break
            if element.tag == name(SM, "a") if self.managed else element.get("id") == id:
                break
            kept.append(element)
        self._early = kept

    async def request(self, payload: str) -> None:
        """Ask the publish-subscribe service; it must grant it. What comes before the answer is kept for the script."""
        self._barriers += 1
        id = f"request-{self._barriers}"
        await self.wire.send(
            f"<iq type='set' id='{id}' to='{_SERVICE}'><pubsub xmlns='{_PUBSUB}'>{payload}</pubsub></iq>"
        )
        kept = self._early
        self._early = []
        while True:
            element = await self.next()
            if element is None:
                raise Failure("the stream ended")
            if element.get("id") == id:
                break
            kept.append(element)
        self._early = kept
        if element.get("type") != "result":
            raise Failure(f"refused: {show(element)}")

    async def explain(self, query: str) -> None:
        """Answer the server's question about the client's capabilities, and take the echo of the presence; what comes
        beside is kept for the script."""
        kept: list[Element | None] = []
        asked = echo = None
        while asked is None or echo is None:
            element = await self.next()
            if element is None:
                raise Failure("the stream ended")
            if asked is None and element.find(name(DISCO, "query")) is not None:
                asked = element
            elif echo is None and element.get("from") == f"{self.bare}/{self.resource}":
                echo = element
            else:
                kept.append(element)
        self._early = kept
        id, to = quoteattr(asked.get("id", "")), quoteattr(asked.get("from", ""))
        await self.wire.send(f"<iq type='result' id={id} to={to}>{query}</iq>")

    def forget(self) -> None:
        """Whatever has come so far is of no interest."""
        if any(element is None for element in self.waiting):
            raise Failure("the stream has ended")
        self._early.clear()

    @property
    def waiting(self) -> list[Element | None]:
        """What has come and was not mentioned yet."""
        while self._wire is not None and not self._wire.inbox.empty():
            self._early.append(self._wire.inbox.get_nowait())
        return list(self._early)

    async def leave(self) -> None:
        """Cut the connection that is left over."""
        if self._wire is not None:
            await self._wire.abort()


def _form(kind: str, values: str) -> str:
    """A form of publish-subscribe with the values of a step: `a=b, c=d`."""
    fields: dict[str, str] = {}
    for part in values.split(","):
        field, _, value = part.strip().partition("=")
        fields[field] = fields.get(field, "") + f"<value>{escape(value)}</value>"
    inner = "".join(f"<field var='pubsub#{field}'>{found}</field>" for field, found in fields.items())
    typed = f"<field var='FORM_TYPE' type='hidden'><value>{_PUBSUB}#{kind}</value></field>"
    return f"<x xmlns='jabber:x:data' type='submit'>{typed}{inner}</x>"


class Run:
    """One script over one transport."""

    def __init__(self, script: Script, transport: str) -> None:
        self._script, self._transport = script, transport
        self._variables: Variables = {}
        self._actors: dict[str, Actor] = {}

    async def play(self) -> None:
        """Play all steps; raises Failure with file, line and what was wrong."""
        server = Server(self._script.options)
        for topic in self._script.topics:
            server.add_topic(*topic)
        await server.start(http=self._transport in ("websocket", "bosh"))
        try:
            for who, full in self._script.actors.items():
                self._actors[who] = Actor(full, server, self._transport)
                await server.add_account(self._actors[who].bare)
            for who in self._script.administrators:
                server.stores.memory_accounts.change(self._actors[who].bare, is_admin=True)
            for one, other in self._script.friends:
                await server.befriend(self._actors[one].bare, self._actors[other].bare)
            for step in self._script.steps:
                await self._step(step)
            await self._nobody_waits()
        finally:
            for actor in self._actors.values():
                await actor.leave()
            await server.stop()

    async def _step(self, step: Step) -> None:
        try:
            await getattr(self, f"_{step.kind.replace(' ', '_')}")(self._actors[step.who], step)
        except (Failure, KeyError) as error:
            where = f"{self._script.path.name}:{step.line} over {self._transport}: {step.who} {step.kind}"
            raise Failure(f"{where}: {error}") from error

    async def _nobody_waits(self) -> None:
        await self._settle()
        for who, actor in self._actors.items():
            left = [show(element) for element in actor.waiting if element is not None]
            if left:
                raise Failure(f"{self._script.path.name} over {self._transport}: {who} also received {' '.join(left)}")

    async def _settle(self) -> None:
        for _ in range(2):
            for actor in self._actors.values():
                await actor.barrier()

    # The steps, by the names that script.py gives them

    async def _connects(self, actor: Actor, _step: Step) -> None:
        await actor.connect()

    async def _online(self, actor: Actor, step: Step) -> None:
        await actor.connect()
        priority = f"<priority>{step.argument}</priority>" if step.argument else ""
        await actor.wire.send(f"<presence>{priority}</presence>")
        own = await actor.expect(name(CLIENT, "presence"))
        if own.get("from") != f"{actor.bare}/{actor.resource}":
            raise Failure(f"the echo of the presence was due, {show(own)} came")

    async def _wants(self, actor: Actor, step: Step) -> None:
        await actor.connect()
        caps, query = capabilities(step.who, step.argument.split(", "))
        await actor.wire.send(f"<presence>{caps}</presence>")
        await actor.explain(query)
        await actor.barrier()

    async def _makes(self, actor: Actor, step: Step) -> None:
        place, _, values = step.argument.partition(" with ")
        await self._enters(actor, replace(step, argument=place), opened=False)
        fields = "".join(
            f"<field var='muc#roomconfig_{field}'><value>{value}</value></field>"
            for field, _, value in (part.strip().partition("=") for part in values.split(",") if part.strip())
        )
        await actor.wire.send(
            f"<iq type='set' id='make' to='{place.partition(' as ')[0]}'><query xmlns='{_OWNER}'>"
            "<x xmlns='jabber:x:data' type='submit'>"
            f"<field var='FORM_TYPE'><value>{_CONFIG}</value></field>{fields}</x></query></iq>"
        )
        await self._forgets(actor, step)

    async def _enters(self, actor: Actor, step: Step, opened: bool = True) -> None:
        room, _, nick = step.argument.partition(" as ")
        await actor.wire.send(f"<presence to='{room}/{nick}'><x xmlns='{_MUC}'/></presence>")
        while True:
            element = await actor.next()
            if element is None or element.get("type") == "error":
                raise Failure(f"could not enter: {'the stream ended' if element is None else show(element)}")
            if element.find(name(CLIENT, "subject")) is not None or not (
                opened or element.find(f"{{{_USER}}}x/{{{_USER}}}status[@code='110']") is None
            ):
                return

    async def _makes_the_node(self, actor: Actor, step: Step) -> None:
        node, _, values = step.argument.partition(" with ")
        configuration = f"<configure>{_form('node_config', values)}</configure>" if values else ""
        await actor.request(f"<create node={quoteattr(node)}/>{configuration}")

    async def _subscribes(self, actor: Actor, step: Step) -> None:
        place, _, values = step.argument.partition(" with ")
        node, _, jid = place.partition(" as ")
        options = f"<options>{_form('subscribe_options', values)}</options>" if values else ""
        await actor.request(f"<subscribe node={quoteattr(node)} jid={quoteattr(jid or actor.bare)}/>{options}")

    async def _publishes(self, actor: Actor, step: Step) -> None:
        item, _, node = step.argument.partition(" to ")
        entry = f"<entry xmlns='urn:example:poem'>{item}</entry>"
        await actor.request(f"<publish node={quoteattr(node)}><item id={quoteattr(item)}>{entry}</item></publish>")

    async def _forgets(self, actor: Actor, _step: Step) -> None:
        await self._settle()
        actor.forget()

    async def _signs_in(self, actor: Actor, _step: Step) -> None:
        await actor.sign_in()

    async def _opens(self, actor: Actor, step: Step) -> None:
        await actor.open(step.argument or DOMAIN)

    async def _reopens(self, actor: Actor, _step: Step) -> None:
        await actor.wire.restart(DOMAIN)

    async def _starts_tls(self, actor: Actor, _step: Step) -> None:
        await actor.wire.starttls(DOMAIN)
        await actor.wire.restart(DOMAIN)

    async def _sends(self, actor: Actor, step: Step) -> None:
        for piece in pieces(fill(step.text, self._variables)):
            await actor.wire.send(piece)

    async def _raw(self, actor: Actor, step: Step) -> None:
        await actor.wire.raw(step.text.encode())

    async def _receives(self, actor: Actor, step: Step, exact: bool = False) -> None:
        for wanted in elements(step.text):
            actual = await actor.next()
            if actual is None:
                raise Failure(f"the stream ended, {show(wanted)} was due")
            reason = mismatch(wanted, actual, self._variables, exact)
            if reason:
                raise Failure(f"{reason}\n  expected {show(wanted)}\n  received {show(actual)}")
            if actual.find(name(BIND, "bind")) is not None:
                actor.bound = True

    async def _exactly(self, actor: Actor, step: Step) -> None:
        await self._receives(actor, step, exact=True)

    async def _any_order(self, actor: Actor, step: Step) -> None:
        wanted = elements(step.text)
        while wanted:
            try:
                actual = await actor.next()
            except Failure as error:
                raise Failure(f"{error}, due was\n  " + "\n  ".join(show(one) for one in wanted)) from None
            if actual is None:
                raise Failure(f"the stream ended, {show(wanted[0])} was due")
            index = next((i for i, one in enumerate(wanted) if not mismatch(one, actual, self._variables)), -1)
            if index < 0:
                raise Failure(f"{show(actual)} is none of\n  " + "\n  ".join(show(one) for one in wanted))
            wanted.pop(index)

    async def _nothing(self, actor: Actor, _step: Step) -> None:
        await self._settle()
        left = [show(element) if element is not None else "the end of the stream" for element in actor.waiting]
        if left:
            raise Failure(f"received {' '.join(left)}")

    async def _error(self, actor: Actor, step: Step) -> None:
        element = await actor.next()
        if element is None or element.tag != name(STREAM, "error"):
            raise Failure(f"{'the end of the stream' if element is None else show(element)} came")
        if element.find(name(STREAM_ERRORS, step.argument)) is None:
            raise Failure(f"{show(element)} came")
        await self._disconnected(actor, step)

    async def _disconnected(self, actor: Actor, _step: Step) -> None:
        element = await actor.next()
        if element is not None:
            raise Failure(f"{show(element)} came")

    async def _closes(self, actor: Actor, step: Step) -> None:
        await actor.wire.close()
        await self._disconnected(actor, step)

    async def _loses(self, actor: Actor, _step: Step) -> None:
        await actor.wire.abort()
        while await actor.next() is not None:
            pass
