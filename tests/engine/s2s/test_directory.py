"""Lists of revoked certificates from directories: slapd as the directory, and a server that says whatever it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.authority import Authority, Certified
from tests.kits.directory import Directory
from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.s2s import directory as module
from xmpp_engine.s2s.trust import Judgement, Trust

HARD = PeerConfig(revocation="hard")


@pytest.fixture(scope="module")
def directory() -> Iterator[Directory]:
    """Without a list yet."""
    with Directory() as directory:
        yield directory


@pytest.fixture
def root() -> Authority:
    return Authority("Root")


async def judge(root: Authority, server: Certified, folder: Path) -> Judgement:
    """Of a judge that knows nothing yet."""
    trust = Trust(FakeClock(root.now.timestamp()))
    trust.configure(S2sConfig(authorities=str(root.write(folder))))
    return await trust.judge(server.chain, "example.org", HARD, initiating=True)


async def test_good_and_revoked(directory: Directory, root: Authority, tmp_path: Path) -> None:
    root.publish(directory.url("Root"))
    good, bad = root.issue("example.org"), root.issue("example.org")
    root.revoke(bad)
    directory.put("Root", root.crl())
    assert (await judge(root, good, tmp_path)).accepted
    assert (await judge(root, bad, tmp_path)).code == "revoked"


@pytest.mark.parametrize(
    "rest",
    [
        "?certificateRevocationList;binary",
        "?certificateRevocationList",
        "",
        "?certificaterevocationlist;BINARY?base?(objectClass=*)",
        "?certificateRevocationList?base?objectClass=cRLDistributionPoint",
    ],
)
async def test_forms_of_addresses(directory: Directory, root: Authority, rest: str) -> None:
    directory.put("An authority", data := root.crl())
    assert await module.fetch(directory.url("An authority", rest), 100_000, 10.0) == data


async def test_of_several_lists_the_newest_counts(directory: Directory, root: Authority, tmp_path: Path) -> None:
    root.publish(directory.url("Many"))
    server = root.issue("example.org")
    old, older = root.crl(since=2), root.crl(since=3)
    root.revoke(server)
    directory.put("Many", older, root.crl(), old)
    assert (await judge(root, server, tmp_path)).code == "revoked"


async def test_no_list(directory: Directory, root: Authority, tmp_path: Path) -> None:
    directory.put("Empty")
    directory.put("Closed", root.crl())
    for name, text in (("Nobody", "no such entry"), ("Empty", "has no certificateRevocationList"), ("Closed", "gave")):
        root.publish(directory.url(name))
        judgement = await judge(root, root.issue("example.org"), tmp_path)
        assert (judgement.code, text in judgement.reason) == ("no-revocation-list", True), judgement.reason


async def test_large_lists(directory: Directory, root: Authority) -> None:
    directory.put("Large", data := root.crl(extra=20_000))
    assert len(data) > 500_000
    assert await module.fetch(directory.url("Large"), len(data), 20.0) == data
    for limit in (len(data) - 1, 100_000):
        with pytest.raises(ValueError, match="more than"):
            await module.fetch(directory.url("Large"), limit, 20.0)


async def test_nobody_there(root: Authority, tmp_path: Path) -> None:
    root.publish("ldap://127.0.0.1:9/cn=Root?certificateRevocationList")
    judgement = await judge(root, root.issue("example.org"), tmp_path)
    assert judgement.code == "no-revocation-list"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ldap:///cn=Root?certificateRevocationList", "names no directory"),
        ("ldap://h/o=Test?certificateRevocationList?sub", "more than one entry"),
        ("ldap://h/o=Test?certificateRevocationList?one", "more than one entry"),
        ("ldap://h/o=Test?certificateRevocationList?base?(a=b)?!bindname=cn=x", "extension"),
        ("ldap://h/o=Test?user Password", "no attribute"),
        ("ldap://h/o=%FF?certificateRevocationList", "decode"),
        ("ldap://h:99999/o=Test", "ort"),
    ],
)
async def test_addresses_that_are_refused(url: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        await module.fetch(url, 1_000, 1.0)


def test_what_an_address_says() -> None:
    for url, expected in {
        "ldap://h/cn=A%20b,o=Test?x;binary,y?base": ("h", 389, "cn=A b,o=Test", "x"),
        "ldap://[::1]:1389/": ("::1", 1389, "", module.LIST),
        "ldap://H.example/cn=A?certificateRevocationList": ("h.example", 389, "cn=A", module.LIST),
    }.items():
        assert module.parse(url) == expected


@asynccontextmanager
async def says(*parts: bytes, ends: bool = True) -> AsyncIterator[str]:
    """The address of a server that waits for a question, says this and ends the connection, or does not."""
    closed: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(20)
        for part in parts:
            writer.write(part)
            await writer.drain()
        closed.append(writer)
        if ends:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}/cn=Root"
    finally:
        server.close()
        for writer in closed:
            writer.close()
        await server.wait_closed()


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes([tag, len(content)]) + content


NUMBER = element(2, b"\1")
DONE = element(0x30, NUMBER, element(0x65, element(10, b"\0"), element(4), element(4)))
LISTS = element(0x30, element(4, module.LIST.encode()), element(0x31, element(4, b"abc")))
ENTRY = element(0x30, NUMBER, element(0x64, element(4, b"cn=Root"), element(0x30, LISTS)))


async def test_lengths_with_zeros_before_them() -> None:
    """As Active Directory writes them."""
    padded = b"\x30\x84\x00\x00\x00" + ENTRY[1:]
    async with says(padded, DONE) as url:
        assert await module.fetch(url, 100, 5.0) == b"abc"
    async with says(b"\x30\x05\x02\x01\x01\x73\x00", ENTRY, DONE) as url:
        assert await module.fetch(url, 100, 5.0) == b"abc"


@pytest.mark.parametrize(
    ("part", "kind", "text"),
    [
        (b"", OSError, "ended the connection"),
        (b"HTTP/1.1 200 OK", ValueError, "no LDAP"),
        (b"\x30\x80", ValueError, "no LDAP"),
        (b"\x30\x89" + b"\x00" * 9, ValueError, "no LDAP"),
        (b"\x30\x84\x7f\xff\xff\xff", ValueError, "more than"),
        (ENTRY[:-2], OSError, "ended the connection"),
        (b"\x30\x05\x02\x09\x01\x65\x00", ValueError, "cut off"),
        (b"\x30\x05\x02\x01\x00\x78\x00", OSError, "ended the connection"),
        (b"\x30\x05\x02\x01\x01\x61\x00", ValueError, "no LDAP"),
        (ENTRY * 30, ValueError, "too many parts"),
        (DONE.replace(b"\x0a\x01\x00", b"\x0a\x01\x0a"), ValueError, "another directory"),
        (DONE.replace(b"\x0a\x01\x00", b"\x0a\x01\x33"), ValueError, "result 51"),
        (DONE, ValueError, "has no"),
        (b"\x30\x05\x02\x01\x01\x65\x00", ValueError, "cut off"),
    ],
)
async def test_strange_answers(part: bytes, kind: type[Exception], text: str) -> None:
    async with says(part) as url:
        with pytest.raises(kind, match=text):
            await module.fetch(url, 100, 5.0)


async def test_a_silent_directory() -> None:
    for parts in ((), (ENTRY[:5],), (ENTRY,)):
        async with says(*parts, ends=False) as url:
            with pytest.raises(OSError, match="no answer within"):
                await module.fetch(url, 100, 0.3)


@given(st.lists(st.binary(max_size=60), max_size=3))
def test_anything_at_all(parts: list[bytes]) -> None:
    """What comes is refused as what it is, by the errors that count as no list."""

    async def answered() -> None:
        reader = asyncio.StreamReader()
        for part in parts:
            reader.feed_data(b"\x30" + bytes([len(part)]) + part)
        reader.feed_eof()
        try:
            await module._answer(reader, module.LIST, 100)
        except (OSError, EOFError, ValueError):
            pass

    asyncio.run(answered())
