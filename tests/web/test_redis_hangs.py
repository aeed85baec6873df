"""What becomes of pages and live views while Redis hangs, which is worse than away: it takes every question and answers
none. Nobody waits for it long, and it is used again as soon as it answers."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from kombu import Connection

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf import notify
from mlink_web.conf.models import Domain
from mlink_web.console import consumers
from mlink_web.federation.consumers import Probe
from mlink_web.jobs import kinds, services
from mlink_web.jobs.kinds import Kind
from mlink_web.jobs.models import Job
from mlink_web.jobs.tasks import run
from mlink_web.settings import shared_redis
from tests.services import RedisServer, redis_program

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

PASSWORD = "a long enough password"
#: For one question that is not answered, on a machine that has much else to do.
PATIENCE = shared_redis.SECONDS + 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis that nobody else uses."""
    made = RedisServer(redis_program())
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def redis(server: RedisServer, settings: Any) -> RedisServer:
    """The same as the product is configured for it."""
    settings.CHANNEL_LAYERS = shared_redis.channel_layers(server.url)
    settings.CACHES = shared_redis.caches(server.url)
    return server


@pytest.fixture
def admin() -> Account:
    """An administrator."""
    Domain.objects.get_or_create(name="localhost")
    return accounts.create_account("admin@localhost", PASSWORD, is_staff=True, is_superuser=True)


@contextmanager
def hanging(server: RedisServer) -> Iterator[None]:
    """It stands still."""
    assert server.service.process is not None
    server.service.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.service.process.send_signal(signal.SIGCONT)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What happens here takes no longer."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_nobody_signs_in_uncounted_and_a_page_says_so(
    redis: RedisServer, admin: Account, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"username": str(admin), "password": PASSWORD}
    with hanging(redis), within(PATIENCE):
        answer = client.post(reverse("login"), given)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert b"does not answer" in answer.content
    assert [one.levelname for one in caplog.records if one.name == "mlink.pages"] == ["WARNING"]
    assert client.post(reverse("login"), given).status_code == 302


def test_a_defect_is_still_one(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bool:
        raise RuntimeError("a defect")

    monkeypatch.setattr("mlink_web.pages.throttle.is_closed", broken)
    client.raise_request_exception = False
    assert client.post(reverse("login"), {"username": "x@localhost", "password": "y"}).status_code == 500


def test_a_change_does_not_wait_for_its_notice(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    notify.config_changed(1)
    assert caplog.text == ""
    with hanging(redis), within(notify.SECONDS + 2.0):
        notify.accounts_changed([f"u{number}@localhost" for number in range(notify.MAX_NOTICES)])
    assert "nodes were not told of a change" in caplog.text
    assert "Redis does not answer" in caplog.text
    caplog.clear()
    notify.config_changed(2)
    assert caplog.text == ""


@pytest.mark.parametrize("page", [consumers.Sessions, consumers.Overview, Probe])
async def test_live_views_do_without_it(redis: RedisServer, admin: Account, page: type) -> None:
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost")]
    live = WebsocketCommunicator(page.as_asgi(), "/ws", headers=headers)  # type: ignore[attr-defined]
    live.scope["user"] = admin
    with hanging(redis), within(PATIENCE):
        assert (await live.connect(timeout=2))[0]
        assert (await live.receive_json_from(timeout=2))["error"]
        await live.disconnect()


def test_a_job_that_cannot_be_handed_over_waits(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kinds, "_kinds", {})
    kinds.register(Kind("test", run="", title="Test"))
    broker = Connection(redis.url, transport_options=shared_redis.broker_options())
    policy = shared_redis.publish_retry_policy()

    def delay(pk: int) -> None:
        run.apply_async((pk,), connection=broker, retry_policy=policy)

    monkeypatch.setattr(run, "delay", delay)
    with broker, hanging(redis), within(5 * PATIENCE):
        job = services.order("test", "ada@localhost", "Something", {})
    assert job.state == Job.State.WAITING
    assert f"job {job.pk} waits" in caplog.text
    # As soon as the queue takes something, the sweep hands it over.
    handed: list[int] = []
    monkeypatch.setattr(run, "delay", handed.append)
    services.sweep(time.time() + services.WAITING_SECONDS + 1)
    assert handed == [job.pk]


def test_the_cache_is_used_again_as_soon_as_it_answers(redis: RedisServer) -> None:
    cache.set("here", 1)
    with hanging(redis), within(PATIENCE), pytest.raises(Exception, match="Timeout"):
        cache.get("here")
    assert cache.get("here") == 1
