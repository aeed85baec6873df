"""The judge of storms must be strict: what nothing explains is a fault, and each excuse is good for one thing only."""

from __future__ import annotations

from tests.cluster.books import Copy, Passage, Stay
from tests.cluster.verdict import (
    CUT,
    FREEZE,
    IN_DOUBT,
    KILL,
    NOT_DELETED,
    SENT_AGAIN,
    UNCONFIRMED,
    Blow,
    disorders,
    reasons,
    taken_along,
)

FROZEN = Blow(FREEZE, "node3", 100.0, 100.1, 120.0)
KILLED = Blow(KILL, "node2", 50.0, 50.1, 60.0)
SENT = [Passage(10.0, "node1", 1)]


#: The recipient was on node3 until the blow, and then on node1.
STAYS = [Stay("node3", 1, 1.0, 105.0), Stay("node1", 2, 106.0, None)]


def judged(sent: list[Passage], copies: list[Copy], blows: list[Blow], stays: list[Stay] = STAYS) -> list[str]:
    """What the judge says of the further copies."""
    return reasons(sent, copies, stays, blows)


def copy(when: float, session: int = 1, node: str = "node3", confirmed: float | None = None, **more: object) -> Copy:
    """A copy that came."""
    return Copy(when, node, session, 1, key="7", confirmed=confirmed, **more)  # type: ignore[arg-type]


def test_a_confirmed_message_that_comes_again_is_a_fault() -> None:
    assert judged(SENT, [copy(10.1, confirmed=10.2), copy(11.0, 2)], [FROZEN, KILLED]) == [""]


def test_to_one_session_nothing_comes_twice() -> None:
    assert judged(SENT, [copy(10.1), copy(10.5)], []) == [""]
    near = [Passage(99.7, "node1", 1)]
    assert judged(near, [copy(99.8, late=True), copy(110.0, late=True)], [FROZEN]) == [""]


def test_what_was_not_confirmed_may_come_again_in_a_later_session() -> None:
    assert judged(SENT, [copy(10.1), copy(10.5, 2, confirmed=10.6)], []) == [UNCONFIRMED]
    assert judged(SENT, [copy(10.1), copy(10.5, 2, confirmed=10.6), copy(11.0, 3)], []) == [UNCONFIRMED, ""]
    assert judged(SENT, [copy(10.1), copy(10.5, 2), copy(11.0, 3)], []) == [UNCONFIRMED, UNCONFIRMED]


def test_each_further_session_of_the_sender_excuses_one_copy() -> None:
    twice = [*SENT, Passage(10.5, "node1", 1), Passage(20.0, "node2", 2)]
    first = copy(10.1, confirmed=10.2)
    assert judged(twice, [first, copy(20.1, confirmed=20.2), copy(20.3)], []) == [SENT_AGAIN, ""]
    assert judged(twice, [first, copy(19.0)], []) == [""], "before it was sent again"
    resumed = [*SENT, Passage(10.5, "node1", 1)]
    assert judged(resumed, [first, copy(10.6)], []) == [""], "a resumed session counts exactly"


def test_another_id_of_the_archive_is_the_sender_s() -> None:
    other = Copy(10.5, "node3", 2, 1, key="8")
    assert judged(SENT, [copy(10.1), other], []) == [""]
    assert judged([*SENT, Passage(10.4, "node1", 2)], [copy(10.1), other], []) == [SENT_AGAIN]


def test_several_copies_need_several_excuses() -> None:
    sent = [Passage(99.7, "node1", 1)]
    first, second = copy(99.8), copy(110.0, 2, "node1", late=True, confirmed=110.1)
    third, fourth = (copy(when, session, "node2", late=True) for when, session in ((112.0, 3), (113.0, 4)))
    assert sorted(judged(sent, [first, second, third], [FROZEN])) == sorted([IN_DOUBT, UNCONFIRMED])
    third.confirmed = 112.1
    assert judged(sent, [first, second, third, fourth], [FROZEN]).count("") == 1


def test_doubt_is_of_one_node_and_of_the_moment_of_the_blow() -> None:
    sent = [Passage(99.7, "node1", 1)]

    def one(before: Copy, after: Copy, blow: Blow = FROZEN, stays: list[Stay] = STAYS) -> list[str]:
        return judged(sent, [before, after], [blow], stays)

    here, after = copy(99.8, confirmed=99.9), copy(110.0, 2, "node1", late=True)
    assert one(here, after) == [IN_DOUBT]
    assert one(here, copy(110.0, 2, "node1")) == [""], "nothing says that it is late"
    assert one(here, copy(121.0, 2, "node1", late=True)) == [""], "they have met again"
    brought = copy(110.0, 2, "node1", late=True, confirmed=110.1)
    assert one(brought, copy(121.0, 3, "node2", late=True)) == [IN_DOUBT], "and the other one had it still"
    elsewhere = copy(99.8, node="node2", confirmed=99.9)
    assert one(elsewhere, after, stays=[Stay("node2", 1, 1.0, 105.0)]) == [""], "node3 has nothing to do with it"
    assert judged(SENT, [copy(10.2, confirmed=10.3), after], [FROZEN]) == [""], "it had the time to tell"
    still = FROZEN._replace(name="redis", node="")
    assert one(here, after, still) == [""]


def test_the_sender_s_node_may_be_the_one_that_is_cut_off_but_not_the_one_that_is_dead() -> None:
    sent, stays = [Passage(99.7, "node3", 1)], [Stay("node1", 1, 1.0, None)]
    copies = [copy(99.8, node="node1", confirmed=99.9), copy(110.0, 2, "node3", late=True)]
    assert judged(sent, copies, [FROZEN._replace(name=CUT)], stays) == [IN_DOUBT]
    assert judged(sent, copies, [FROZEN._replace(name=KILL)], stays) == [""]


def test_what_was_replayed_just_before_its_node_died_may_be_replayed_again() -> None:
    after = copy(52.0, 2, "node1", late=True, replayed=True)
    before = copy(49.0, node="node2", late=True, replayed=True, confirmed=49.8)
    assert judged(SENT, [before, after], [KILLED]) == [NOT_DELETED]
    before = copy(45.0, node="node2", late=True, replayed=True, confirmed=45.2)
    assert judged(SENT, [before, after], [KILLED]) == [""]


def test_only_what_a_killed_node_had_in_memory_may_be_lost() -> None:
    here, there = [Stay("node2", 1, 1.0, 50.2)], [Stay("node3", 1, 1.0, None)]
    assert taken_along([Passage(49.9, "node1", 1)], here, [], [KILLED])
    assert not taken_along([Passage(48.0, "node1", 1)], here, [], [KILLED]), "it had been written to him"
    assert not taken_along([Passage(52.0, "node1", 1)], here, [], [KILLED]), "the node was dead"
    assert not taken_along([Passage(49.9, "node1", 1)], here, [], [KILLED._replace(name=FREEZE)])
    assert not taken_along([Passage(49.9, "node1", 1)], there, [], [KILLED])
    assert taken_along([Passage(49.9, "node2", 1)], there, [], [KILLED]), "its sender's node died"
    assert taken_along([Passage(49.9, "node1", 1)], there, [(49.8, "node2")], [KILLED]), "he was going there"


def test_what_waited_for_somebody_who_was_away_may_be_lost_with_the_node() -> None:
    away = [Stay("node2", 1, 1.0, 40.0)]
    assert taken_along([Passage(41.0, "node1", 1)], away, [], [KILLED])
    assert not taken_along([Passage(38.0, "node1", 1)], away, [], [KILLED])


def test_order() -> None:
    made = ["a", "b", "c", "d"]
    sent = {id: [Passage(-1.0, "node1" if id != "d" else "node2", 1)] for id in made}

    def came(*ids: str, late: str = "") -> list[tuple[str, str]]:
        found = {id: [copy(float(number), late=id in late)] for number, id in enumerate(ids)}
        return disorders(made, found, sent)

    assert came("a", "b", "c", "d") == []
    assert came("a", "c", "b", "d") == [("c", "b")]
    assert came("a", "c", "b", "d", late="b") == []
    assert came("d", "b", "a", late="ab") == [("b", "a")]
    assert came("d", "a", "b", "c", late="abcd") == [], "it waited elsewhere"
    split = [FROZEN._replace(begun=-2.0, over=5.0)]
    late = {id: [copy(float(number), late=True)] for number, id in enumerate("ba")}
    assert disorders(made, late, sent) == [("b", "a")]
    assert disorders(made, late, sent, split) == [], "nodes did not hear each other"
    prompt = {id: [copy(float(number))] for number, id in enumerate("ba")}
    assert disorders(made, prompt, sent, split) == [("b", "a")], "that excuses nothing that comes at once"
