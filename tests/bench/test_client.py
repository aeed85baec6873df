"""The load generator must count right and sign in right, or every number it gives is wrong."""

import pytest

from tests.bench.client import Session, scram_final


class RecordingTransport:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        """Keep `data`."""
        self.written += data


def test_scram_gives_the_exchange_of_rfc_5802() -> None:
    final, expected = scram_final(
        "n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "pencil",
    )
    assert final.endswith(",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")
    assert expected == "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="


async def counting_session() -> tuple[Session, RecordingTransport]:
    """Return a session that is signed in, on a recording transport."""
    session, transport = Session("u1"), RecordingTransport()
    session.transport = transport  # type: ignore[assignment]
    session._count_from_here(b"<enabled/><presence from='u1@localhost/bench'></presence><a h='1'/>")
    return session, transport


STREAM = (
    b"<message from='a'><body>one</body></message><r xmlns='urn:xmpp:sm:3'/>"
    b"<message from='a'><body>two</body></message><message from='a'><body>three</body></message>"
    b"<presence from='b' type='unavailable'/><a xmlns='urn:xmpp:sm:3' h='4'/><r xmlns='urn:xmpp:sm:3'/>"
)


@pytest.mark.parametrize("step", [1, 2, 7, 50, len(STREAM)])
async def test_counts_do_not_depend_on_where_reads_are_cut(step: int) -> None:
    session, transport = await counting_session()
    arrivals: list[int] = []
    session.on_messages = arrivals.append
    for start in range(0, len(STREAM), step):
        session.data_received(STREAM[start : start + step])
    assert session.received == sum(arrivals) == 3
    assert session.acked == 5  # three messages, two presences
    # The two requests may be answered together when one read brought both.
    assert transport.written.count(b"<a ") == 2
    assert transport.written.endswith(b"h='5'/>")


USUAL = b"<message from='a'><body>%d</body></message>"
MIXED = b"".join(
    (
        *(USUAL % number for number in (1, 2, 3)),
        b"<r xmlns='urn:xmpp:sm:3'/>",
        USUAL % 4,
        b"<a xmlns='urn:xmpp:sm:3' h='4'/>",
        USUAL % 50,
        b"<iq from='localhost' id='p7' type='result'/>",
        USUAL % 6,
        USUAL % 7,
    )
)


@pytest.mark.parametrize("step", [1, 7, len(USUAL % 1), 2 * len(USUAL % 1), len(MIXED)])
async def test_messages_of_one_size_are_counted_like_others(step: int) -> None:
    session, transport = await counting_session()
    session.data_received(USUAL % 0)
    for start in range(0, len(MIXED), step):
        session.data_received(MIXED[start : start + step])
    assert session.received == 8
    assert session.acked == 10  # eight messages, a presence, an iq
    assert transport.written.count(b"<a ") == 1


async def test_pings_are_answered_and_counted() -> None:
    session, transport = await counting_session()
    session.data_received(b"<iq from='localhost' id='p7' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert transport.written == b"<iq type='result' id='p7' to='localhost'/>"
    assert session.acked == 2
