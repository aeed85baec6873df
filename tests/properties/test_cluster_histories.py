"""A fixed budget of random histories of a cluster (tests/simulate.py): with thousands of seeds run it by hand."""

from __future__ import annotations

import pytest

from tests.simulate import fails, shortest
from tests.simulate_contacts import Contacts

SEEDS = 50
GROUPS = 5
#: Each has found something: what a lost session leaves came behind younger messages without saying so; a session that
#: had gone on elsewhere was mourned when its old node died.
KNOWN = (7071, 9242)
#: The same of people and their contacts: a retraction for a resource elsewhere, a roster changed on two sides of a cut,
#: a removal that crossed with a change, a client that asked while a contact was changed elsewhere.
CONTACTS = (39, 51, 1364, 1022)


@pytest.mark.parametrize("group", range(GROUPS))
def test_whatever_happens_to_nodes_nothing_is_lost(group: int) -> None:
    for seed in range(group, SEEDS, GROUPS):
        problems = fails(seed)
        if problems:
            steps = shortest(seed)
            pytest.fail(f"seed {seed} fails with {steps} steps (python -m tests.simulate --start {seed}): {problems}")


@pytest.mark.parametrize("seed", KNOWN)
def test_what_was_found_once_stays_away(seed: int) -> None:
    assert fails(seed) == []


@pytest.mark.parametrize("seed", [*range(12), *CONTACTS])
def test_people_see_whom_they_may_and_rosters_are_one(seed: int) -> None:
    assert fails(seed, kind=Contacts, lossy=0.8) == []
