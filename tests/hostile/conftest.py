"""Fixtures: one node for all bad input, with a few accounts; what it logs can be looked at piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.live import LiveNode, User

PASSWORD = "patience"


@pytest.fixture(scope="module")
def node() -> Iterator[LiveNode]:
    """A node of this file's own."""
    node = LiveNode()
    try:
        node.start()
        accounts = node.home / "accounts.csv"
        accounts.write_text("".join(f"user{number}@{node.domain},{PASSWORD}\n" for number in range(12)))
        node.ctl("user", "import", str(accounts))
        yield node
    finally:
        node.remove()


@pytest.fixture
def users(node: LiveNode) -> list[User]:
    """The accounts."""
    return [User(f"user{number}@{node.domain}", PASSWORD) for number in range(12)]


@pytest.fixture
def logged(node: LiveNode) -> Callable[[], list[str]]:
    """A function that gives the lines logged since the test began."""
    begin = node.log.stat().st_size

    def lines() -> list[str]:
        with node.log.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace").splitlines()

    return lines


@pytest.fixture(autouse=True)
def no_errors(logged: Callable[[], list[str]]) -> Iterator[None]:
    """Whatever comes from outside is no error of ours: no traceback, no line of level ERROR."""
    yield
    bad = [line for line in logged() if "Traceback" in line or " ERROR " in line or " CRITICAL " in line]
    assert not bad, "\n".join(bad[:10])
