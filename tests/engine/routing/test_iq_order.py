"""What a client says without waiting for answers is dealt with in the order in which it was said (RFC 6120, 10.1)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.story import Story
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.writer import write

BLOCK = f"<block xmlns='{ns.BLOCKING}'><item jid='paris@prosody.example'/></block>"
UNBLOCK = f"<unblock xmlns='{ns.BLOCKING}'><item jid='paris@prosody.example'/></unblock>"
NOTES = "<query xmlns='jabber:iq:private'><storage xmlns='storage:rosternotes'>{}</storage></query>"


class Held:
    """A method of a store whose first call waits until `go`; the others are as quick as ever."""

    def __init__(self, store: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = asyncio.Event()
        self.calls = 0
        self._method: Callable[..., Awaitable[Any]] = getattr(store, name)
        monkeypatch.setattr(store, name, self, raising=False)

    async def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            await self.go.wait()
        return await self._method(*arguments)


def results(stanzas: list[Element]) -> list[str | None]:
    """The ids of the answers, in their order."""
    return [stanza.get("id") for stanza in stanzas if stanza.name == "iq" and stanza.get("type") != "set"]


async def test_who_is_blocked_and_freed_is_free(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gajim, where somebody clicks twice: the second request was stored before the first, and the contact blocked."""
    gina = await story("gina")
    await gina.asks(f"<iq type='get' id='l'><blocklist xmlns='{ns.BLOCKING}'/></iq>")
    held = Held(story.world.stores.blocks, "add", monkeypatch)
    gina.send(f"<iq type='set' id='1'>{BLOCK}</iq>")
    gina.send(f"<iq type='set' id='2'>{UNBLOCK}</iq>")
    gina.send(f"<iq type='get' id='3'><blocklist xmlns='{ns.BLOCKING}'/></iq>")
    await gina.receives_nothing()
    held.go.set()
    said = await gina.receives_all()
    assert results(said) == ["1", "2", "3"]
    pushes = [stanza.first() for stanza in said if stanza.get("type") == "set"]
    assert [push.name for push in pushes if push is not None] == ["block", "unblock"]
    answer = said[-1].first()
    assert answer is not None
    assert list(answer.elements()) == []
    assert gina.account.data.blocked == set()


async def test_what_is_written_last_stays(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private XML and the vCard, each in its own order: neither waits for the other."""
    gina = await story("gina")
    held = Held(story.world.stores.private, "put", monkeypatch)
    for number in (1, 2):
        gina.send(f"<iq type='set' id='p{number}'>{NOTES.format(f'<note>{number}</note>')}</iq>")
    gina.send(f"<iq type='get' id='p3'>{NOTES.format('')}</iq>")
    card = "<vCard xmlns='vcard-temp'><FN>Gina</FN></vCard>"
    assert (await gina.asks(f"<iq type='set' id='v'>{card}</iq>")).get("type") == "result"
    held.go.set()
    said = await gina.receives_all()
    assert results(said) == ["p1", "p2", "p3"]
    assert "<note>2</note>" in write(said[-1])
    assert story.world.services.iq._sets == {}, "nothing is left of it"


async def test_a_request_that_fails_lets_the_next_one_go_on(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    gina = await story("gina")
    monkeypatch.setattr(story.world.stores.blocks, "add", broken, raising=False)
    gina.send(f"<iq type='set' id='1'>{BLOCK}</iq>")
    gina.send(f"<iq type='set' id='2'>{UNBLOCK}</iq>")
    said = await gina.receives_all()
    assert [(stanza.get("id"), stanza.get("type")) for stanza in said] == [("1", "error"), ("2", "result")]


async def broken(*_arguments: Any) -> None:
    """A store that fails."""
    raise RuntimeError("no")


async def test_others_do_not_wait(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is that of one stream: another device goes on."""
    desk, phone = await story("gina:2")
    held = Held(story.world.stores.blocks, "add", monkeypatch)
    desk.send(f"<iq type='set' id='1'>{BLOCK}</iq>")
    await desk.receives_nothing()
    answer = await phone.asks(f"<iq type='set' id='2'>{UNBLOCK}</iq>")
    assert answer.get("type") == "result"
    held.go.set()
    assert results(await desk.receives_all()) == ["1"]


CONTACT = "<query xmlns='jabber:iq:roster'><item jid='paris@prosody.example'/></query>"


@pytest.mark.parametrize("asked", [BLOCK, CONTACT])
async def test_what_is_cancelled_before_it_has_begun_leaves_nothing(
    story: Story, recwarn: pytest.WarningsRecorder, asked: str
) -> None:
    """As when the engine stops: a handler that is called in its task, and one that has been called and waits."""
    gina = await story("gina")
    tasks = story.world.engine.tasks
    before = set(tasks._running)
    gina.send(f"<iq type='set' id='1'>{asked}</iq>")
    begun = tasks._running - before
    assert "iq" in {task.get_name().split()[0] for task in begun}
    for task in begun:
        task.cancel()
    await asyncio.wait(begun)
    del begun, task
    gc.collect()
    assert [str(warning.message) for warning in recwarn if "never awaited" in str(warning.message)] == []
