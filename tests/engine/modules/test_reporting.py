"""XEP-0377: reports that come with a block."""

from __future__ import annotations

from typing import Any

import pytest

from tests.story import MODULES, Client, Story
from xmpp_engine.storage.reports import Report
from xmpp_engine.xml import ns

REPORTING = "xmpp_engine.modules.reporting.Reporting"
WITH = (*(name for name in MODULES if name != REPORTING), REPORTING)
REPORT = "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:{}'>{}</report>"


async def begin(story: Story, **options: Any) -> Client:
    """A world with Alice."""
    await story.begin(modules=WITH, options={"reporting": options})
    client: Client = await story("alice")
    return client


async def block(client: Client, *items: str) -> str:
    """Block these; "result" or the error's condition."""
    text = "".join(items)
    answer = await client.asks(f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>{text}</block></iq>")
    if answer.get("type") == "result":
        return "result"
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    return next(child.name for child in error.elements())


def item(jid: str, inside: str = "") -> str:
    """An entry."""
    return f"<item jid='{jid}'>{inside}</item>"


async def reports(story: Story) -> list[Report]:
    """All that are stored, oldest first."""
    return (await story.world.stores.reports.listed(opened=None, limit=1_000))[::-1]


async def test_a_report_is_kept_with_everything_in_it(story: Story) -> None:
    alice = await begin(story)
    inside = (
        "<stanza-id xmlns='urn:xmpp:sid:0' by='alice@story.example' id='1'/>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='alice@story.example' id='2'/>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='alice@story.example' id='1'/>"
        "<text xml:lang='en'> Never came trouble to my house like this. </text><report-origin/><third-party/>"
    )
    assert await block(alice, item("spam@evil.example", REPORT.format("spam", inside)), item("quiet@x")) == "result"
    assert alice.account.data.blocked == {"spam@evil.example", "quiet@x"}
    (report,) = await reports(story)
    assert report == Report(
        "story.example",
        "alice@story.example",
        "spam@evil.example",
        "spam",
        "Never came trouble to my house like this.",
        (("1", "alice@story.example"), ("2", "alice@story.example")),
        origin=True,
        third_party=True,
        created=story.world.clock.time(),
        id=report.id,
    )


async def test_each_address_has_its_own_report(story: Story) -> None:
    alice = await begin(story)
    await block(alice, item("a@x", REPORT.format("abuse", "")), item("b@x"), item("c@x", REPORT.format("spam", "")))
    assert [(row.reported, row.reason) for row in await reports(story)] == [("a@x", "abuse"), ("c@x", "spam")]


@pytest.mark.parametrize(
    ("report", "condition"),
    [
        ("<report xmlns='urn:xmpp:reporting:1'/>", "bad-request"),
        (f"<report xmlns='urn:xmpp:reporting:1' reason='{'x' * 300}'/>", "bad-request"),
        (REPORT.format("spam", "<stanza-id xmlns='urn:xmpp:sid:0' by='a@@b' id='1'/>"), "jid-malformed"),
        (
            REPORT.format("spam", "".join(f"<stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='{n}'/>" for n in range(51))),
            "not-acceptable",
        ),
    ],
)
async def test_what_is_wrong_blocks_nobody(story: Story, report: str, condition: str) -> None:
    alice = await begin(story)
    assert await block(alice, item("fine@x", REPORT.format("spam", "")), item("evil@x", report)) == condition
    assert alice.account.data.blocked == set()
    assert await reports(story) == []


async def test_a_text_is_cut_and_a_day_has_an_end(story: Story) -> None:
    alice = await begin(story, per_day=2)
    await block(alice, item("a@x", REPORT.format("spam", f"<text>{'y' * 9_000}</text>")))
    assert len((await reports(story))[0].text) == 4_000
    many = [item(f"u{n}@x", REPORT.format("spam", "")) for n in range(5)]
    assert await block(alice, *many) == "result", "who reports too much still blocks"
    assert len(alice.account.data.blocked) == 6
    assert len(await reports(story)) == 2
    story.world.clock.advance(86_401)
    await block(alice, item("later@x", REPORT.format("spam", "")))
    assert len(await reports(story)) == 3


async def test_a_database_that_is_away_is_an_error_and_blocks_nobody(story: Story) -> None:
    alice = await begin(story)
    story.world.stores.memory.fail_with = "away"
    assert await block(alice, item("a@x", REPORT.format("spam", ""))) == "internal-server-error"
    story.world.stores.memory.fail_with = None
    assert alice.account.data.blocked == set()


async def test_those_who_want_to_know_are_told(story: Story) -> None:
    alice = await begin(story, notify=["admin@story.example"])
    admin = await story("admin")
    await admin.comes_online()
    await block(alice, item("a@x", REPORT.format("abuse", "<text>rude</text>")))
    note = await admin.receives("<message from='story.example'><body/></message>")
    assert note.child_text(ns.CLIENT, "body") == "Report 1: alice@story.example reported a@x (abuse). rude"


async def test_it_is_discovered(story: Story) -> None:
    alice = await begin(story)
    await alice.asks(f"<iq type='get' id='d' to='story.example'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    answer = await alice.asks(f"<iq type='get' id='d' to='story.example'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    query = answer.find(ns.DISCO_INFO, "query")
    assert query is not None
    assert any(feature.get("var") == "urn:xmpp:reporting:1" for feature in query.elements())
