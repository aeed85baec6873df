"""Judges a storm by the books of its clients (`books.py`): each message by itself, nothing on average.

A message that came more than once is a fault but for four excuses. Each is good for one copy, and where several copies
came each needs one of its own:

    sent again    its sender lost a session before the message was acknowledged, and sent it again in the next one: one
                  excuse for each further session. It alone excuses a copy that the archive has under another id
    unconfirmed   it came in a session of its recipient that was lost, and the server is not known to have had the
                  acknowledgement (XEP-0198, 4): what that session left may come to a later one
    in doubt      it was on its way between two nodes when one of them was struck, and nobody could say whether it had
                  arrived (`routing/doubts.py`): one of them may bring it, marked as late, until they have met again,
                  which a killed one never does; what the other one has of it may come whenever that gives it up
    not deleted   it was replayed from offline storage by a node that was struck before it had deleted it there

To one session nothing comes twice, unless it was sent twice: `h` of a resumption is exact, and a session remembers what
came late.

A message that was acknowledged and has not come is a fault unless a killed node took it along, which it may only with
what it had in memory: what its clients had sent to it just before, or what it had for a recipient whose session it had.
That is in the archive. No other blow excuses a loss.

Messages that come at once come in the order in which they were sent, in one session and from one to the next. What is
late keeps its order where it took the same way; what was sent while nodes did not hear each other may have waited in
several places, and says since when.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from tests.cluster.books import Copy, Passage, Stay

#: How long a node may have something without having told, and clients be late to see what has happened.
SLACK_SECONDS: Final = 1.0
SENT_AGAIN, UNCONFIRMED, IN_DOUBT, NOT_DELETED = "sent again", "unconfirmed", "in doubt", "not deleted"
KILL, FREEZE, CUT = "kill", "freeze", "cut"
#: Blows after which a node and the others do not hear each other.
LINKS: Final = (KILL, FREEZE, CUT)

#: What excuses one copy: why, and which of several of the kind.
Excuse = tuple[str, int]


class Blow(NamedTuple):
    """Something that happened: to which node ("" for all), when it began and had happened, and when all was well."""

    name: str
    node: str
    begun: float
    struck: float
    over: float

    def near(self, when: float) -> bool:
        """Whether something was just about to happen when the blow fell."""
        return self.begun - SLACK_SECONDS <= when <= self.struck + SLACK_SECONDS


def reasons(
    passages: Sequence[Passage], copies: Sequence[Copy], stays: Sequence[Stay], blows: Sequence[Blow]
) -> list[str]:
    """Why each copy after the first has come, "" where nothing excuses it. `stays` are the connections of the
    recipient."""
    possible = [_excuses(number, passages, copies, stays, blows) for number in range(1, len(copies))]
    used: dict[Excuse, int] = {}
    for number in range(len(possible)):
        _assign(number, possible, used, set())
    found = [""] * len(possible)
    for excuse, number in used.items():
        found[number] = excuse[0]
    return found


def _assign(number: int, possible: list[list[Excuse]], used: dict[Excuse, int], looked: set[Excuse]) -> bool:
    """Give a copy an excuse of its own, if another one can do with another."""
    for excuse in possible[number]:
        if excuse not in looked:
            looked.add(excuse)
            if excuse not in used or _assign(used[excuse], possible, used, looked):
                used[excuse] = number
                return True
    return False


def _excuses(
    number: int, passages: Sequence[Passage], copies: Sequence[Copy], stays: Sequence[Stay], blows: Sequence[Blow]
) -> list[Excuse]:
    """Everything that one copy may be excused by."""
    copy = copies[number]
    sessions = {passage.session for passage in passages if passage.when <= copy.when}
    again: list[Excuse] = [(SENT_AGAIN, count) for count in range(1, len(sessions))]
    same = [place for place in range(number) if copies[place].key == copy.key]
    if not same or any(copies[place].session == copy.session for place in same):
        return again
    found: list[Excuse] = [(UNCONFIRMED, place) for place in same if copies[place].confirmed is None]
    for index, blow in enumerate(blows):
        if blow.name not in LINKS:
            continue
        if blow.name != CUT:
            found += [(NOT_DELETED, place) for place in same if _kept(copies[place], blow)]
        tried = any(one.late and (blow.name == KILL or one.when <= blow.over) for one in copies[: number + 1])
        if copy.late and tried and _was_under_way(passages, copies[:number], stays, blow):
            found.append((IN_DOUBT, index))
    return found + again


def _kept(copy: Copy, blow: Blow) -> bool:
    """Whether the row of a replayed message may have outlived the acknowledgement."""
    return copy.replayed and copy.node == blow.node and copy.confirmed is not None and blow.near(copy.confirmed)


def _was_under_way(passages: Sequence[Passage], copies: Sequence[Copy], stays: Sequence[Stay], blow: Blow) -> bool:
    """Whether a message was between two nodes, one of them that of the blow, when the blow fell. What a killed node had
    is not in doubt but gone."""
    for when in [one.when for one in (*passages, *copies)]:
        if not blow.near(when):
            continue
        came_from = {passage.node for passage in passages if passage.when <= when}
        went_to = {copy.node for copy in copies if copy.when <= when}
        there = [stay.node for stay in stays if stay.begun <= when + SLACK_SECONDS][-2:]
        if blow.node in (*went_to, *there) or (blow.name != KILL and blow.node in came_from):
            return True
    return False


def taken_along(
    passages: Sequence[Passage], stays: Sequence[Stay], tries: Sequence[tuple[float, str]], blows: Iterable[Blow]
) -> bool:
    """Whether a message that has not come was in the memory of a node that was killed; `stays` and `tries` are the
    connections of its recipient."""
    for blow in blows:
        if blow.name != KILL:
            continue
        if any(passage.node == blow.node and blow.near(passage.when) for passage in passages):
            return True
        since = _kept_since(blow, stays, tries)
        if since is not None and any(since <= p.when <= blow.struck + SLACK_SECONDS for p in passages):
            return True
    return False


def _kept_since(blow: Blow, stays: Sequence[Stay], tries: Sequence[tuple[float, str]]) -> float | None:
    """From when on what was sent to somebody was in the memory of a killed node alone; None where it was not."""
    begun = [stay for stay in stays if stay.begun <= blow.struck]
    if begun and begun[-1].node == blow.node:
        over = begun[-1].over
        # Without a connection it kept all that came.
        return min(blow.begun, blow.begun if over is None else over) - SLACK_SECONDS
    moving = any(node == blow.node and blow.near(when) for when, node in tries)
    return blow.begun - SLACK_SECONDS if moving else None


def disorders(
    made: Sequence[str],
    came: Mapping[str, Sequence[Copy]],
    passages: Mapping[str, Sequence[Passage]],
    blows: Sequence[Blow] = (),
) -> list[tuple[str, str]]:
    """Messages that came before others that were sent earlier: pairs in the order in which they came."""
    place = {id: number for number, id in enumerate(made)}
    first = sorted(((copies[0], id) for id, copies in came.items()), key=lambda one: one[0].when)
    ways: dict[object, list[str]] = defaultdict(list)
    for copy, id in first:
        sent = [passage for passage in passages[id] if passage.when <= copy.when]
        if not copy.late:
            ways["at once"].append(id)
        elif not any(_is_apart(passage.when, blow) for passage in sent for blow in blows):
            ways[(copy.session, copy.replayed, *((one.node, one.session) for one in sent))].append(id)
    return [(one, other) for ids in ways.values() for one, other in pairwise(ids) if place[one] > place[other]]


def _is_apart(when: float, blow: Blow) -> bool:
    """Whether nodes did not hear each other at that time."""
    return blow.name in LINKS and blow.begun - SLACK_SECONDS <= when <= blow.over
