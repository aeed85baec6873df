"""What the console makes of the nodes' reports and rows: states, links, splits, the drawing."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.template.loader import render_to_string

from mlink_web.clusters.models import Node
from mlink_web.clusters.picture import picture, splits

pytestmark = pytest.mark.django_db
LONG_AGO = time.time() - 3600


def node(name: str, number: int, hears: tuple[str, ...] = (), **fields: Any) -> Node:
    fields = {"seen": time.time(), "started": LONG_AGO, **fields}
    return Node.objects.create(name=name, number=number, hears=list(hears), **fields)


def peer(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "node": name,
        "state": "here",
        "why": "",
        "protocol": 1,
        "started": int(LONG_AGO * 1000) << 20,
        "heard": 0.2,
        "rtt": 0.0012,
        "ahead": 0.001,
        "facts": {"version": "0.1.0", "sessions": 3, "cpu": 0.25, "late": 1.0, "rate": 2.0},
        "queued": 0,
        "records_out": 7,
        "resent": 0,
        **changes,
    }


def report(name: str, peers: list[dict[str, Any]], leader: str = "n1", **changes: Any) -> dict[str, Any]:
    own = peer(name)
    return {
        "node": name,
        "protocol": 1,
        "started": own["started"],
        "leader": leader,
        "facts": own["facts"],
        "peers": peers,
        "told": [{"time": LONG_AGO, "node": "n9", "sentence": "it was stopped"}],
        "drain": {"state": ""},
        **changes,
    }


def test_three_nodes_that_are_well() -> None:
    names = ("n1", "n2", "n3")
    for number, name in enumerate(names):
        node(name, number, tuple(one for one in names if one != name))
    state = picture([report(name, [peer(other) for other in names if other != name]) for name in names])
    assert [(one["name"], one["label"], one["leads"], one["sessions"]) for one in state["nodes"]] == [
        ("n1", "in service", True, 3),
        ("n2", "in service", False, 3),
        ("n3", "in service", False, 3),
    ]
    assert [(link["one"], link["other"], link["state"], link["delay"], link["records"]) for link in state["links"]] == [
        ("n1", "n2", "up", "1.2", 14),
        ("n1", "n3", "up", "1.2", 14),
        ("n2", "n3", "up", "1.2", 14),
    ]
    assert (state["sessions"], state["alarms"], state["labelled"]) == (9, [], True)
    html = render_to_string("clusters/_state.html", {"state": state})
    assert html.count('class="box"') == 3
    assert "1.2 ms" in html
    assert html.count("Send its clients elsewhere") == 3


def test_a_killed_node_is_gone_and_no_split() -> None:
    node("n1", 1, ())
    node("n2", 2, ("n1",))
    state = picture([report("n1", [])])
    assert [(one["name"], one["state"]) for one in state["nodes"]] == [("n1", "here"), ("n2", "gone")]
    assert state["alarms"] == []
    assert [(link["state"], link["colour"]) for link in state["links"]] == [("down", "bad")]


def test_a_split_is_told_where_both_sides_know_of_it() -> None:
    first, second = node("n1", 1, ()), node("n2", 2, ())
    (sentence,) = splits([first, second])
    assert sentence == "n1 and n2 run but do not hear each other: people on the two sides do not reach each other."
    state = picture([report("n1", [])])
    assert state["alarms"] == [sentence]
    assert state["nodes"][1]["state"] == "apart"
    # One that starts at this moment is not told of.
    Node.objects.filter(name="n2").update(started=time.time())
    assert picture([report("n1", [])])["alarms"] == []


def test_drains_slow_links_and_nodes_of_yesterday() -> None:
    node("n1", 1, ("n2",))
    node("n2", 2, ("n1",), address="xmpp2.example:5222")
    node("n3", 3, (), seen=0.0)
    node("n4", 4, (), seen=time.time() - 7 * 86_400)
    drained = report("n2", [peer("n1", rtt=0.8)], drain={"state": "draining", "moved": 3, "ended": 1, "connected": 4})
    drained["facts"] = {**drained["facts"], "draining": "draining"}
    state = picture([report("n1", [peer("n2", rtt=0.6)]), drained], ["n5 did not answer."])
    assert [(one["name"], one["state"], one["drawn"]) for one in state["nodes"]] == [
        ("n1", "here", True),
        ("n2", "draining", True),
        ("n3", "stopped", False),
        ("n4", "gone", False),
    ]
    assert state["nodes"][1]["drain"]["done"] == 50
    assert [(link["one"], link["other"], link["state"]) for link in state["links"]] == [("n1", "n2", "slow")]
    assert state["alarms"] == ["n5 did not answer."]
    assert "Put into service" in render_to_string("clusters/_state.html", {"state": state})


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 16])
def test_boxes_lie_inside_the_drawing_and_apart(count: int) -> None:
    names = [f"n{number:02}" for number in range(count)]
    for number, name in enumerate(names):
        node(name, number, tuple(names))
    state = picture([report(name, [peer(other) for other in names if other != name]) for name in names])
    boxes = [(one["x"], one["y"]) for one in state["nodes"]]
    assert all(0 <= x <= 800 - 190 and 0 <= y <= state["height"] - 84 for x, y in boxes)
    if count <= 5:
        pairs = [(one, two) for one in boxes for two in boxes if one < two]
        assert all(abs(one[0] - two[0]) >= 190 or abs(one[1] - two[1]) >= 84 for one, two in pairs)


def test_what_a_node_calls_itself_is_text() -> None:
    node("<b>n1</b>", 1)
    html = render_to_string("clusters/_state.html", {"state": picture([])})
    assert "<b>n1</b>" not in html
    assert "&lt;b&gt;n1&lt;/b&gt;" in html
