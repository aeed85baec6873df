"""Whatever is claimed and answered in whatever order: nobody sees the user for whom the old address does not speak, and
each old address speaks for one (XEP-0283, 8.2)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.modules.moved_stage import REFUSAL, SEES, Stage, gone, notification, statement
from tests.story import World
from xmpp_engine.storage.types import RosterItem

NAMES = ("a@capulet.example", "b@capulet.example", "c@evil.example")
OLDS = ("o1@im.example", "o2@im.example")
claim = st.tuples(st.just("claim"), st.sampled_from(NAMES), st.sampled_from(OLDS))
moves = st.one_of(
    claim,
    claim,
    st.tuples(st.just("says"), st.sampled_from(("result", "gone")), st.just("as claimed")),
    st.tuples(st.just("says"), st.sampled_from(("result", "gone", "error", "spoofed")), st.sampled_from(NAMES)),
    st.tuples(
        st.sampled_from(("relogin", "wait", "withdraw", "revoke")), st.sampled_from(NAMES), st.sampled_from(OLDS)
    ),
)


async def play(steps: list[tuple[str, str, str]]) -> None:
    world = World(options={"moved": {"seconds": 5.0}})
    await world.engine.start()
    world.elsewhere.domains |= {"im.example", "capulet.example", "evil.example"}
    romeo = await world.login("romeo", "r")
    roster = world.module("roster")
    await roster.change(romeo.account, [RosterItem(old, subscription="both") for old in OLDS])
    await romeo.comes_online()
    stage = Stage(world, romeo)
    claims: dict[tuple[str, str], bool] = {}
    #: Whose claim a question is about, by its id.
    claimants: dict[str | None, str] = {}
    #: New address to the old one that has named it when it was asked.
    named: dict[str, set[str]] = {}
    for step, one, two in steps:
        await world.settle()
        open_questions = stage.questions()
        if step == "claim":
            claims[one, two] = True
            stage.comes(notification(two, one, romeo.bare))
            claimants |= {asked.id: one for asked in stage.questions() if asked.id not in claimants}
        elif step == "says" and open_questions:
            asked = open_questions[0]
            two = claimants[asked.id] if two == "as claimed" else two
            if one == "spoofed":
                await stage.answers(statement(two), sender=two)
            else:
                if one != "error":
                    named.setdefault(two, set()).add(str(asked.to))
                await stage.answers({"result": statement(two), "gone": gone(f"xmpp:{two}"), "error": REFUSAL}[one])
        elif step == "relogin":
            await romeo.leaves()
            world.services.accounts.forget(romeo.bare)
            romeo = stage.romeo = await world.login("romeo", "r")
            await romeo.comes_online()
        elif step == "wait":
            world.clock.advance(6.0)
            world.elsewhere.sent.clear()
        elif step == "withdraw":
            stage.comes(f"<presence type='unsubscribe' from='{one}' to='{romeo.bare}'/>")
        elif step == "revoke":
            romeo.send(f"<presence type='unsubscribed' to='{two}'/>")
    await world.settle()
    stored = await stage.stored()
    assert stored == romeo.account.roster
    for new in NAMES:
        item = stored.get(new)
        if item is not None and item.subscription != "none":
            confirmed = [old for old in named.get(new, ()) if (new, old) in claims]
            assert confirmed, f"{new} may see the user"
            # The old address is followed once.
            assert any(stored[old].subscription not in SEES for old in confirmed)
        approved = [s for s in world.elsewhere.sent if s.type == "subscribed" and str(s.to) == new]
        assert not approved or named.get(new)
    followers = [jid for jid in NAMES if jid in stored and stored[jid].subscription in SEES]
    assert len(followers) <= sum(stored[old].subscription not in SEES for old in OLDS)
    await world.engine.stop()


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(moves, min_size=4, max_size=30))
def test_nobody_sees_the_user_whom_the_old_address_did_not_name(steps: list[tuple[str, str, str]]) -> None:
    asyncio.run(play(steps))
