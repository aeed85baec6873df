"""Reading items, and the archive of a node (XEP-0060, 6.5; XEP-0059; XEP-0442)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.pubsub.nodes import (
    SERVICE,
    asks,
    cast,
    gets,
    item_ids,
    node,
    publish,
    refused,
    subscribe,
)
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element


def rsm(inner: str) -> str:
    """A `<set/>`."""
    return f"<set xmlns='{ns.RSM}'>{inner}</set>"


async def paged(client: Any, inner: str, attrs: str = "") -> tuple[list[str], Element]:
    """The ids of a page and its `<set/>`."""
    answer = await asks(client, "get", f"<items node='news'{attrs}/>{rsm(inner)}")
    assert answer.get("type") == "result", [repr(child) for child in answer.children]
    payload = answer.first()
    listed = payload.find(ns.PUBSUB, "items")  # type: ignore[union-attr]
    page = payload.find(ns.RSM, "set")  # type: ignore[union-attr]
    assert listed is not None
    assert page is not None
    return [item.attrs["id"] for item in listed.elements()], page


async def ten(story: Any, **options: Any) -> Any:
    """Alice with a node of ten items."""
    (alice,) = await cast(story, "alice", options=options)
    await node(alice)
    for number in range(10):
        await publish(alice, f"i{number}")
        story.world.clock.advance(10)
    return alice


async def test_all_the_newest_and_some_by_id(story: Any) -> None:
    alice = await ten(story)
    assert await item_ids(alice) == [f"i{n}" for n in range(10)]
    assert await item_ids(alice, attrs=" max_items='3'") == ["i7", "i8", "i9"]
    assert await item_ids(alice, attrs=" max_items='30'") == [f"i{n}" for n in range(10)]
    assert await item_ids(alice, inner="<item id='i4'/><item id='none'/><item id='i2'/>") == ["i4", "i2"]
    assert await item_ids(alice, inner="<item id='i9'/>") == ["i9"]
    assert await item_ids(alice, inner="<item id='none'/>") == []
    await refused(alice, "get", "<items node='news' max_items='-1'/>", "bad-request")
    await refused(alice, "get", "<items/>", "bad-request", "nodeid-required")
    await refused(alice, "get", "<items node='none'/>", "item-not-found")


async def test_pages(story: Any) -> None:
    alice = await ten(story)
    ids, page = await paged(alice, "<max>3</max>")
    assert ids == ["i0", "i1", "i2"]
    assert page.child_text(ns.RSM, "count") == "10"
    first = page.find(ns.RSM, "first")
    assert (first.text, first.get("index")) == ("i0", "0")  # type: ignore[union-attr]
    assert (await paged(alice, "<max>3</max><after>i2</after>"))[0] == ["i3", "i4", "i5"]
    assert (await paged(alice, "<max>3</max><before/>"))[0] == ["i7", "i8", "i9"]
    assert (await paged(alice, "<max>3</max><before>i7</before>"))[0] == ["i4", "i5", "i6"]
    assert (await paged(alice, "<max>3</max><index>5</index>"))[0] == ["i5", "i6", "i7"]
    ids, page = await paged(alice, "<max>0</max>")
    assert (ids, page.child_text(ns.RSM, "count")) == ([], "10")
    await refused(alice, "get", f"<items node='news'/>{rsm('<max>3</max><after>x</after>')}", "item-not-found")
    await refused(alice, "get", f"<items node='news'/>{rsm('<max>many</max>')}", "bad-request")


async def test_a_long_answer_is_cut_and_says_so(story: Any) -> None:
    alice = await ten(story, page_items=4)
    found = await gets(alice, "<items node='news'/>")
    listed, page = list(found.elements())
    assert [item.get("id") for item in listed.elements()] == ["i0", "i1", "i2", "i3"]
    assert page.child_text(ns.RSM, "count") == "10"
    assert page.child_text(ns.RSM, "last") == "i3"


async def test_an_answer_has_so_many_bytes(story: Any) -> None:
    (alice,) = await cast(story, "alice", options={"page_bytes": 3_000})
    await node(alice)
    for number in range(5):
        await publish(alice, f"i{number}", "x" * 1_000)
    found = await gets(alice, "<items node='news'/>")
    listed = found.find(ns.PUBSUB, "items")
    assert [item.get("id") for item in listed.elements()] == ["i0", "i1"]  # type: ignore[union-attr]
    ids, page = await paged(alice, "<before/>")
    assert ids == ["i3", "i4"]
    assert page.find(ns.RSM, "first").get("index") == "3"  # type: ignore[union-attr]


async def test_who_published_stands_with_the_item(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, itemreply="publisher", publish_model="open")
    await subscribe(alice)
    await publish(bob, "one")
    message = (await alice.receives_all())[-1]
    assert message.first().first().first().get("publisher") == bob.bare  # type: ignore[union-attr]
    listed = (await gets(alice, "<items node='news'/>")).first()
    assert listed.first().get("publisher") == bob.bare  # type: ignore[union-attr]


async def test_subids_are_named_where_there_are_several(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    first = await subscribe(bob)
    await subscribe(bob, include_body=True)
    await refused(bob, "get", "<items node='news'/>", "bad-request", "subid-required")
    await refused(bob, "get", "<items node='news' subid='x'/>", "not-acceptable", "invalid-subid")
    assert await item_ids(bob, attrs=f" subid='{first.get('subid')}'") == []


# The archive of a node


async def archive(
    client: Any, fields: dict[str, str] | None = None, set_: str = "", extra: str = ""
) -> tuple[list[str], Element]:
    """The ids of the results of a query, and its `<fin/>`."""
    rows = "".join(f"<field var='{name}'><value>{value}</value></field>" for name, value in (fields or {}).items())
    kind = f"<field var='FORM_TYPE'><value>{ns.MAM}</value></field>"
    form = f"<x xmlns='jabber:x:data' type='submit'>{kind}{rows}</x>"
    query = f"<query xmlns='{ns.MAM}' queryid='q' node='news'>{form}{set_}{extra}</query>"
    client.send(f"<iq type='set' id='m' to='{SERVICE}'>{query}</iq>")
    *messages, answer = await client.receives_all()
    assert answer.get("type") == "result", [repr(child) for child in answer.children]
    ids = []
    for message in messages:
        result = message.find(ns.MAM, "result")
        assert result is not None
        assert result.get("queryid") == "q"
        forwarded = result.find(ns.FORWARD, "forwarded")
        assert forwarded.find(ns.DELAY, "delay") is not None  # type: ignore[union-attr]
        inner = forwarded.find(ns.CLIENT, "message")  # type: ignore[union-attr]
        item = inner.first().first().first()  # type: ignore[union-attr]
        assert item.first().text == item.get("id")  # type: ignore[union-attr]
        ids.append(result.attrs["id"])
    fin = answer.first()
    assert fin is not None
    return ids, fin


async def test_the_items_of_a_node_are_an_archive(story: Any) -> None:
    alice = await ten(story)
    ids, fin = await archive(alice)
    assert ids == [f"i{n}" for n in range(10)]
    assert fin.get("complete") == "true"
    ids, fin = await archive(alice, set_=rsm("<max>4</max>"))
    assert ids == ["i0", "i1", "i2", "i3"]
    assert fin.get("complete") is None
    assert fin.find(ns.RSM, "set").child_text(ns.RSM, "last") == "i3"  # type: ignore[union-attr]
    assert (await archive(alice, set_=rsm("<max>4</max><after>i3</after>")))[0] == ["i4", "i5", "i6", "i7"]
    assert (await archive(alice, set_=rsm("<max>2</max><before/>")))[0] == ["i8", "i9"]
    ids, fin = await archive(alice, set_=rsm("<max>4</max><before>i2</before>"))
    assert (ids, fin.get("complete")) == (["i0", "i1"], "true")
    assert (await archive(alice, set_=rsm("<max>3</max>"), extra="<flip-page/>"))[0] == ["i2", "i1", "i0"]
    ids, fin = await archive(alice, set_=rsm("<max>0</max>"))
    assert (ids, fin.find(ns.RSM, "set").child_text(ns.RSM, "count")) == ([], "10")  # type: ignore[union-attr]


async def test_an_archive_by_dates_ids_and_publishers(story: Any) -> None:
    alice = await ten(story)
    now = story.world.clock.time()
    start, end = timestamp(now - 75), timestamp(now - 35)
    inside = ["i3", "i4", "i5", "i6"]
    assert (await archive(alice, {"start": start, "end": end}))[0] == inside
    assert (await archive(alice, {"start": start, "end": end}, rsm("<max>2</max><before/>")))[0] == inside[2:]
    assert (await archive(alice, {"start": start, "end": end}, rsm("<max>9</max><before/>")))[0] == inside
    assert (await archive(alice, {"after-id": "i6", "before-id": "i9"}))[0] == ["i7", "i8"]
    assert (await archive(alice, {"ids": "i5"}))[0] == ["i5"]
    assert (await archive(alice, {"with": "bob@story.example"}))[0] == []
    assert (await archive(alice, {"with": alice.bare}))[0] == [f"i{n}" for n in range(10)]


async def test_what_an_archive_refuses(story: Any) -> None:
    alice = await ten(story)
    bob = await story("bob")
    await node(alice, "closed", access_model="whitelist")
    kind = f"<field var='FORM_TYPE'><value>{ns.MAM}</value></field>"

    async def refusal(client: Any, attrs: str, inner: str, condition: str) -> None:
        client.send(f"<iq type='set' id='m' to='{SERVICE}'><query xmlns='{ns.MAM}'{attrs}>{inner}</query></iq>")
        answer = (await client.receives_all())[-1]
        error = answer.find(ns.CLIENT, "error")
        assert error is not None
        assert error.find(ns.STANZA_ERRORS, condition) is not None, [repr(child) for child in error.children]

    await refusal(alice, "", "", "bad-request")
    await refusal(alice, " node='none'", "", "item-not-found")
    await refusal(bob, " node='closed'", "", "not-allowed")
    await refusal(alice, " node='news'", rsm("<after>x</after>"), "item-not-found")
    form = f"<x xmlns='jabber:x:data' type='submit'>{kind}<field var='start'><value>soon</value></field></x>"
    await refusal(alice, " node='news'", form, "bad-request")
    await refusal(alice, " node='news'", rsm("<index>3</index>"), "feature-not-implemented")


async def test_where_an_archive_begins_and_ends(story: Any) -> None:
    alice = await ten(story)
    alice.send(f"<iq type='get' id='m' to='{SERVICE}'><metadata xmlns='{ns.MAM}' node='news'/></iq>")
    answer = await alice.receives("<iq type='result' id='m'/>")
    ends = {child.name: child.get("id") for child in answer.first().elements()}  # type: ignore[union-attr]
    assert ends == {"start": "i0", "end": "i9"}
    alice.send(f"<iq type='get' id='f' to='{SERVICE}'><query xmlns='{ns.MAM}' node='news'/></iq>")
    answer = await alice.receives("<iq type='result' id='f'/>")
    assert answer.first().find(ns.DATA_FORMS, "x") is not None  # type: ignore[union-attr]


async def test_many_long_items_are_read_some_at_a_time(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.pubsub.items._STEP", 3)
    alice = await ten(story)
    assert await item_ids(alice) == [f"i{n}" for n in range(10)]
    assert await item_ids(alice, attrs=" max_items='7'") == [f"i{n}" for n in range(3, 10)]
    assert (await paged(alice, "<max>7</max><before>i9</before>"))[0] == [f"i{n}" for n in range(2, 9)]
    ids, page = await paged(alice, "<max>7</max><before/>")
    assert ids == [f"i{n}" for n in range(3, 10)]
    assert page.find(ns.RSM, "first").get("index") == "3"  # type: ignore[union-attr]
    assert (await paged(alice, "<max>7</max><index>1</index>"))[0] == [f"i{n}" for n in range(1, 8)]
    wanted = "".join(f"<item id='i{n}'/>" for n in range(9, -1, -1))
    assert await item_ids(alice, inner=wanted) == [f"i{n}" for n in range(9, -1, -1)]
