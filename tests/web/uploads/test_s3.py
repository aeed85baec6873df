"""Files in a real object storage: moto's S3 server, reached through django-storages as the settings would."""

from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.utils.module_loading import import_string
from moto.server import ThreadedMotoServer

from mlink_web.endpoints.upload import UploadEndpoint
from mlink_web.uploads.files import Files
from tests.web.http_node import HttpNode
from tests.web.test_endpoints_upload import PNG, Bench

pytestmark = [pytest.mark.net, pytest.mark.slow]
KEYS = {"access_key": "test", "secret_key": "test", "region_name": "eu-west-1"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of the server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def bench(s3: str, tmp_path: Path) -> Bench:
    """An endpoint over a new bucket."""
    bucket = f"files-{secrets.token_hex(4)}"
    client: Any = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1"
    )
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    options = {"bucket_name": bucket, "endpoint_url": s3, "addressing_style": "path", **KEYS}
    made = Bench(tmp_path, import_string("storages.backends.s3.S3Storage")(**options))
    made.endpoint = UploadEndpoint(made.engine, made.files)
    return made


async def test_a_picture_goes_through_the_node(bench: Bench) -> None:
    async with HttpNode(bench.endpoint) as node:
        bench.port = node.port
        slot = await bench.slot()
        assert (await slot.put()).status == 201
        answer = await slot.get()
        assert (answer.status, answer.body) == (200, PNG)
        assert answer.headers["content-type"] == "image/png"
        assert "sandbox" in answer.headers["content-security-policy"]
        part = await slot.get(range="bytes=100-199")
        assert (part.status, part.body) == (206, PNG[100:200])
    assert bench.left() == []
    assert list(bench.files.tokens(slot.row.token[:2])) == [slot.row.token]
    bench.files.remove(slot.row.token)
    bench.files.remove(slot.row.token)
    assert list(bench.files.tokens(slot.row.token[:2])) == []


async def test_readers_are_sent_to_the_storage(bench: Bench, settings: Any) -> None:
    settings.MLINK_UPLOADS_SERVE = "redirect"
    async with HttpNode(bench.endpoint) as node:
        bench.port = node.port
        slot = await bench.slot(b"<html><script>alert(1)</script></html>", "text/html", "page.html")
        assert (await slot.put(b"<html><script>alert(1)</script></html>")).status == 201
        answer = await slot.get()
        assert (answer.status, answer.headers["cache-control"]) == (302, "no-store")
        assert (await slot.get("HEAD")).status == 200
    with urllib.request.urlopen(answer.headers["location"], timeout=10) as reply:  # noqa: ASYNC210  (nothing else runs)
        assert reply.read() == b"<html><script>alert(1)</script></html>"
        assert reply.headers["content-type"] == "application/octet-stream"
        assert reply.headers["content-disposition"] == 'attachment; filename="page.html"'


async def test_a_storage_that_is_away(bench: Bench) -> None:
    bench.files._given.endpoint_url = "http://127.0.0.1:9"  # type: ignore[union-attr]
    bench.files._given.client_config = bench.files._given.client_config.merge(  # type: ignore[union-attr]
        __import__("botocore.config", fromlist=["Config"]).Config(connect_timeout=1, retries={"max_attempts": 0})
    )
    async with HttpNode(bench.endpoint) as node:
        bench.port = node.port
        slot = await bench.slot()
        assert (await slot.put()).status == 500
        assert await slot.state() == "slot"
    assert bench.left() == []


def test_the_settings_choose_the_storage(settings: Any, s3: str) -> None:
    options = {"bucket_name": "b", "endpoint_url": s3, **KEYS}
    settings.STORAGES = {
        **settings.STORAGES,
        "uploads": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options},
    }
    assert not Files().is_local
    assert Files().drafts == Path(settings.MLINK_HOME) / "uploads-drafts"
