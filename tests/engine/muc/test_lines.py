"""Changes of one address that were made apart come to the same on every node, in whatever order they are heard."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xmpp_engine.muc.lines import Lines
from xmpp_engine.storage.rooms import RoomAffiliation

WHO = "one@story.example"


def change(lines: Lines, affiliation: Any, stamp: int) -> list[list[Any]]:
    """Change the address; what others are told."""
    lines.changed(RoomAffiliation(WHO, affiliation), stamp)
    return lines.of(WHO)


def outcome(lines: Lines) -> list[Any]:
    """The affiliation that counts first, then those it was made apart from."""
    return [version[2] for version in lines.of(WHO)]


def test_removal_wins() -> None:
    here, there = Lines(), Lines()
    removed, granted = change(here, "none", 1), change(there, "admin", 2)
    for lines, told in ((here, granted), (there, removed)):
        assert lines.merge(WHO, told) is not None
        assert outcome(lines) == ["none", "admin"]
        assert lines.merge(WHO, told) is None


def test_a_ban_wins_over_everything_and_of_equals_the_last() -> None:
    for told in permutations(([5, [], "outcast", "", "a"], [6, [], "none", "", ""], [7, [], "outcast", "", "b"])):
        lines = Lines()
        for version in told:
            lines.merge(WHO, [version])
        assert lines.of(WHO)[0][4] == "b"


def test_who_knew_of_a_change_may_change_it_again() -> None:
    here, there = Lines(), Lines()
    there.merge(WHO, change(here, "outcast", 1))
    here.merge(WHO, change(there, "owner", 2))
    assert outcome(here) == outcome(there) == ["owner"]


def test_what_was_replaced_long_ago_is_replaced() -> None:
    """Somebody who was away knows only the first of three changes; they knew of each other, so the last one counts."""
    here, there, away = Lines(), Lines(), Lines()
    banned = change(here, "outcast", 0x101)
    for lines in (there, away):
        lines.merge(WHO, banned)
    there.merge(WHO, change(here, "none", 0x201))
    here.merge(WHO, change(there, "member", 0x302))
    for lines, told in ((here, away.of(WHO)), (there, away.of(WHO)), (away, here.of(WHO))):
        lines.merge(WHO, told)
        assert outcome(lines) == ["member"]


def test_a_chain_of_changes_names_each_node_once() -> None:
    here, there = Lines(), Lines()
    for round in range(1, 100):
        there.merge(WHO, change(here, "member", round << 9 | 1))
        here.merge(WHO, change(there, "none", round << 9 | 0x102))
    ((_stamp, replaced, *_),) = here.of(WHO)
    assert len(replaced) == 2


def test_lines_that_a_room_has_no_more_have_no_versions() -> None:
    lines = Lines()
    change(lines, "member", 1)
    lines.changed(RoomAffiliation("two@story.example", "member"), 2)
    lines.keep({WHO: None})
    assert lines.changed_here(WHO)
    assert not lines.changed_here("two@story.example")


@given(st.data())
def test_all_orders_end_the_same(data: st.DataObject) -> None:
    """Nodes change and hear at random; each hears what one node told in the order in which it was told."""
    nodes = [Lines() for _ in range(3)]
    told: list[list[list[list[Any]]]] = [[], [], []]
    heard = [[0, 0, 0] for _ in nodes]
    for stamp in range(1, data.draw(st.integers(1, 12)) + 1):
        node = data.draw(st.integers(0, 2))
        if data.draw(st.booleans()):
            affiliation = data.draw(st.sampled_from(["outcast", "none", "member", "admin", "owner"]))
            told[node].append(change(nodes[node], affiliation, stamp * 256 + node))
        else:
            source = data.draw(st.integers(0, 2))
            if heard[node][source] < len(told[source]) and source != node:
                nodes[node].merge(WHO, told[source][heard[node][source]])
                heard[node][source] += 1
    for node, lines in enumerate(nodes):
        for source in data.draw(st.permutations(range(3))):
            for versions in told[source][heard[node][source] :] if source != node else []:
                lines.merge(WHO, versions)
    assert nodes[0].of(WHO) == nodes[1].of(WHO) == nodes[2].of(WHO)
