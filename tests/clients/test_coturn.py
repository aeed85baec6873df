"""The credentials of XEP-0215 open a real TURN server (coturn): an allocation (RFC 8656, 7) by the long-term mechanism
(RFC 8489, 9.2), over TCP."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import signal
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.services import Service
from xmpp_engine.modules.external_services import turn_credentials

pytestmark = [pytest.mark.net, pytest.mark.slow]
SECRET = "north wind"
REALM = "turn.example"
COOKIE = 0x2112A442
ALLOCATE, ALLOCATED, REFUSED = 0x0003, 0x0103, 0x0113
USERNAME, INTEGRITY, ERROR, REALM_ATTRIBUTE, NONCE, TRANSPORT = 0x0006, 0x0008, 0x0009, 0x0014, 0x0015, 0x0019
UDP = b"\x11\0\0\0"


@pytest.fixture(scope="module")
def turn_port() -> Iterator[int]:
    """A TURN server on loopback with our secret."""
    service = Service("coturn")
    folder = service.folder

    def command(port: int) -> list[str]:
        options = {
            "listening-ip": "127.0.0.1",
            "relay-ip": "127.0.0.1",
            "listening-port": str(port),
            "static-auth-secret": SECRET,
            "realm": REALM,
            "db": str(folder / "turn.sqlite"),
            "pidfile": str(folder / "pid"),
            "log-file": "stdout",
        }
        flags = ("use-auth-secret", "lt-cred-mech", "no-tls", "no-dtls", "no-cli", "no-rfc5780", "allow-loopback-peers")
        return ["turnserver", *(f"--{name}={value}" for name, value in options.items()), *(f"--{n}" for n in flags)]

    def ready(port: int) -> None:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()

    service.start(command, ready)
    yield service.port
    service.stop_process(signal.SIGTERM)
    service.remove()


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def ask(connection: socket.socket, attributes: bytes, key: bytes = b"") -> tuple[int, dict[int, bytes]]:
    """Send an Allocate request, with its integrity where there is a key; (kind, attributes) of the answer."""
    number = os.urandom(12)
    if key:
        head = struct.pack("!HHI", ALLOCATE, len(attributes) + 24, COOKIE) + number
        attributes += attribute(INTEGRITY, hmac.new(key, head + attributes, hashlib.sha1).digest())
    connection.sendall(struct.pack("!HHI", ALLOCATE, len(attributes), COOKIE) + number + attributes)
    head = receive(connection, 20)
    kind, length, _cookie = struct.unpack("!HHI", head[:8])
    assert head[8:] == number
    body, found = receive(connection, length), {}
    while body:
        name, size = struct.unpack("!HH", body[:4])
        found[name] = body[4 : 4 + size]
        body = body[4 + size + -size % 4 :]
    return kind, found


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the TURN server has closed the connection"
        data += part
    return data


def allocate(port: int, username: str, password: str) -> tuple[int, int]:
    """(kind of the answer, error code or 0)."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        kind, first = ask(connection, attribute(TRANSPORT, UDP))
        assert (kind, first[REALM_ATTRIBUTE]) == (REFUSED, REALM.encode())
        key = hashlib.md5(f"{username}:{REALM}:{password}".encode()).digest()
        attributes = b"".join(
            (
                attribute(TRANSPORT, UDP),
                attribute(USERNAME, username.encode()),
                attribute(REALM_ATTRIBUTE, first[REALM_ATTRIBUTE]),
                attribute(NONCE, first[NONCE]),
            )
        )
        kind, found = ask(connection, attributes, key)
    error = found.get(ERROR)
    return kind, error[2] * 100 + error[3] if error else 0


def test_credentials_open_the_server(turn_port: int) -> None:
    username, password = turn_credentials(SECRET, "romeo@montague.example", time.time() + 600)
    assert allocate(turn_port, username, password) == (ALLOCATED, 0)


def test_others_do_not(turn_port: int) -> None:
    username, password = turn_credentials(SECRET, "romeo@montague.example", time.time() + 600)
    later = f"{int(time.time()) + 6000}:romeo@montague.example"
    for name, word in (
        (username, secrets.token_urlsafe(9)),
        (later, password),
        turn_credentials("south wind", "romeo@montague.example", time.time() + 600),
        turn_credentials(SECRET, "romeo@montague.example", time.time() - 5),
    ):
        kind, code = allocate(turn_port, name, word)
        assert (kind, code) == (REFUSED, 401)
