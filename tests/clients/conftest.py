"""Fixtures of the client tests: accounts made in one go, and slixmpp clients that leave by themselves."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.clients.slix import Slix
from tests.live import LiveNode, User

ACCOUNTS = 192
NAMES = ("romeo", "juliet", "nurse", "mercutio")


@pytest.fixture(scope="session")
def crowd(live_node: LiveNode) -> Iterator[User]:
    """Accounts nobody has used, made by one command."""
    users = [
        User(f"{NAMES[number % 4]}-{secrets.token_hex(3)}@{live_node.domain}", secrets.token_hex(6))
        for number in range(ACCOUNTS)
    ]
    accounts = live_node.home / "crowd.csv"
    accounts.write_text("".join(f"{user.jid},{user.password}\n" for user in users))
    live_node.ctl("user", "import", str(accounts))
    return iter(users)


@pytest.fixture
def user(crowd: Iterator[User]) -> Callable[[], User]:
    """A function that gives a fresh account."""
    return lambda: next(crowd)


Login = Callable[..., Awaitable[Slix]]


@pytest.fixture
async def login(live_node: LiveNode) -> AsyncIterator[Login]:
    """A function that signs in: `await login(user, "phone", direct_tls=True)`."""
    clients: list[Slix] = []

    async def come(who: User, resource: str = "desk", *, mechanism: str = "", **how: bool) -> Slix:
        client = Slix(who, resource, mechanism=mechanism)
        clients.append(client)
        return await client.come(live_node, **how)

    yield come
    for client in clients:
        if client.is_connected():
            await client.go()
