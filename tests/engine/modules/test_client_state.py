"""Client states (XEP-0352): what is held back, what is not, and in which order it goes out."""

from __future__ import annotations

import pytest

from tests.engine.modules.test_push import managed, resume
from tests.story import Client, Story
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.modules.client_state import ClientStateOptions
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stream.feature_csi import HeldBack, key_of
from xmpp_engine.xml import ns
from xmpp_engine.xml.parser import parse_document

ROOM = "hall@rooms.example"


def stanza(xml: str) -> Stanza:
    """A stanza for Juliet."""
    element = next(parse_document(f"<all xmlns='{ns.CLIENT}'>{xml}</all>".encode()).elements())
    element.attrs["to"] = "juliet@story.example/r1"
    return Stanza.parse(element)


def event(node: str, *ids: str) -> str:
    """An event of somebody's node."""
    items = "".join(f"<item id='{id}'/>" for id in ids)
    return (
        f"<message from='romeo@x.example' type='headline'><event xmlns='{ns.PUBSUB_EVENT}'>"
        f"<items node='{node}'>{items}</items></event></message>"
    )


@pytest.mark.parametrize(
    "xml",
    [
        "<presence from='romeo@x.example/a'/>",
        "<presence from='romeo@x.example/a' type='unavailable'/>",
        f"<presence from='{ROOM}/nick'><x xmlns='{ns.MUC_USER}'><status code='307'/></x></presence>",
        f"<message from='romeo@x.example/a' type='chat'><composing xmlns='{ns.CHAT_STATES}'/></message>",
        f"<message from='{ROOM}/nick' type='groupchat'><composing xmlns='{ns.CHAT_STATES}'/></message>",
        event("mood", "1"),
        f"<message from='juliet@story.example' type='chat'><received xmlns='{ns.CARBONS}'>"
        f"<forwarded xmlns='{ns.FORWARD}'>"
        f"<message xmlns='{ns.CLIENT}' from='romeo@x.example/a'><paused xmlns='{ns.CHAT_STATES}'/></message>"
        "</forwarded></received></message>",
    ],
)
def test_what_can_wait(xml: str) -> None:
    assert key_of(stanza(xml)) is not None


@pytest.mark.parametrize(
    "xml",
    [
        "<presence from='romeo@x.example' type='subscribe'/>",
        "<presence from='romeo@x.example/a' type='error'/>",
        f"<presence from='{ROOM}/me'><x xmlns='{ns.MUC_USER}'><status code='110'/></x></presence>",
        "<message from='romeo@x.example/a' type='chat'><body>hi</body></message>",
        f"<message from='romeo@x.example/a' type='chat'><body>hi</body><active xmlns='{ns.CHAT_STATES}'/></message>",
        f"<message from='romeo@x.example/a' type='error'><composing xmlns='{ns.CHAT_STATES}'/></message>",
        f"<message from='romeo@x.example/a'><received xmlns='{ns.RECEIPTS}' id='1'/></message>",
        "<message from='x.example' type='headline'><body>news</body></message>",
        f"<message from='{ROOM}' type='groupchat'><subject>Now</subject></message>",
        "<iq from='romeo@x.example/a' type='get' id='1'/>",
    ],
)
def test_what_cannot(xml: str) -> None:
    assert key_of(stanza(xml)) is None


def test_events_replace_those_of_the_same_item_only() -> None:
    keys = [key_of(stanza(event(*parts))) for parts in (("a", "1"), ("a", "1"), ("a", "2"), ("b", "1"))]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_the_queue_is_bounded() -> None:
    held = HeldBack()
    kept = [held.keep(("presence", f"{n}@x.example"), stanza(f"<presence from='{n}@x.example'/>")) for n in range(600)]
    assert kept.count(True) == 500
    assert len(held.flush()) == 500
    assert len(held) == 0


async def inactive(client: Client) -> None:
    """Nobody looks at this client any more."""
    client.send(f"<inactive xmlns='{ns.CSI}'/>")
    await client.receives_nothing()


def deliver(client: Client, *stanzas: str) -> None:
    """As if it came from elsewhere."""
    for xml in stanzas:
        client.session.deliver(stanza(xml))


async def test_all_comes_in_the_order_of_its_last_change(story: Story) -> None:
    juliet = await story("juliet")
    await inactive(juliet)
    deliver(
        juliet,
        f"<presence from='{ROOM}/a'/>",
        "<presence from='romeo@x.example/a'><show>away</show></presence>",
        f"<presence from='{ROOM}/b'/>",
        "<presence from='romeo@x.example/a'><show>dnd</show></presence>",
        f"<presence from='{ROOM}/a' type='unavailable'/>",
    )
    await juliet.receives_nothing()
    juliet.send(f"<active xmlns='{ns.CSI}'/>")
    await juliet.receives(
        f"<presence from='{ROOM}/b'/>",
        "<presence from='romeo@x.example/a'><show>dnd</show></presence>",
        f"<presence from='{ROOM}/a' type='unavailable'/>",
    )
    deliver(juliet, "<presence from='romeo@x.example/a'/>")
    await juliet.receives("<presence from='romeo@x.example/a'/>")


async def test_an_important_stanza_comes_after_what_was_held(story: Story) -> None:
    juliet = await story("juliet")
    await inactive(juliet)
    deliver(juliet, "<presence from='romeo@x.example/a'/>", "<iq from='nurse@x.example/a' type='get' id='7'/>")
    await juliet.receives("<presence from='romeo@x.example/a'/>", "<iq id='7'/>")


async def test_only_what_is_sent_is_counted(story: Story) -> None:
    juliet = await story("juliet")
    await managed(juliet)
    await inactive(juliet)
    deliver(juliet, "<presence from='romeo@x.example/a'/>", "<presence from='romeo@x.example/a'/>")
    sm = juliet.session.sm
    assert sm is not None
    assert (sm.sent, len(sm.queue)) == (0, 0)
    juliet.send(f"<active xmlns='{ns.CSI}'/><a xmlns='{ns.SM}' h='1'/>")
    await juliet.receives("<presence from='romeo@x.example/a'/>")
    assert (sm.sent, len(sm.queue)) == (1, 0)


async def test_a_sleeping_session_keeps_the_last_presence_only(story: Story) -> None:
    juliet = await story("juliet")
    await managed(juliet)
    await juliet.leaves(clean=False)
    for show in ("away", "xa", "dnd"):
        deliver(juliet, f"<presence from='romeo@x.example/a'><show>{show}</show></presence>")
    deliver(juliet, "<presence from='nurse@x.example/a'/>")
    deliver(juliet, "<message from='romeo@x.example/a' type='chat'><body>hi</body></message>")
    sm = juliet.session.sm
    assert sm is not None
    # The sender's presence went before his message; the nurse's waits still.
    assert len(sm.queue) == 2
    await resume(story, juliet, 0)
    await juliet.receives(
        "<presence from='romeo@x.example/a'><show>dnd</show></presence>",
        "<message><body>hi</body></message>",
        f"<r xmlns='{ns.SM}'/>",
        "<presence from='nurse@x.example/a'/>",
    )
    assert not juliet.session.inactive


async def test_a_resumed_session_begins_active(story: Story) -> None:
    juliet = await story("juliet")
    await managed(juliet)
    await inactive(juliet)
    deliver(juliet, "<presence from='romeo@x.example/a'/>")
    await juliet.leaves(clean=False)
    await resume(story, juliet, 0)
    await juliet.receives("<presence from='romeo@x.example/a'/>")
    deliver(juliet, "<presence from='romeo@x.example/b'/>")
    await juliet.receives("<presence from='romeo@x.example/b'/>")


async def test_rooms_that_do_not_speak_to_the_user_can_wait(story: Story) -> None:
    await story.begin(options={"client_state": {"rooms": "mentions"}})
    juliet = await story("juliet")
    juliet.session.directed = {f"{ROOM}/Jule": Jid.parse(f"{ROOM}/Jule")}
    await inactive(juliet)
    for body in ("one", "two"):
        deliver(juliet, f"<message from='{ROOM}/a' type='groupchat'><body>{body}</body></message>")
    await juliet.receives_nothing()
    deliver(juliet, f"<message from='{ROOM}/b' type='groupchat'><body>jule: three</body></message>")
    await juliet.receives(
        *(f"<message type='groupchat'><body>{body}</body></message>" for body in ("one", "two", "jule: three"))
    )


async def test_rooms_pass_by_default(story: Story) -> None:
    juliet = await story("juliet")
    await inactive(juliet)
    deliver(juliet, f"<message from='{ROOM}/a' type='groupchat'><body>one</body></message>")
    await juliet.receives("<message><body>one</body></message>")


def test_an_unknown_rule_for_rooms_is_refused() -> None:
    with pytest.raises(ValueError, match="all or mentions"):
        ClientStateOptions(rooms="none")  # type: ignore[arg-type]
