"""Who is where: entries of other nodes' sessions (pure data)."""

from __future__ import annotations

import gc
import random
import tracemalloc

from xmpp_engine.cluster.directory import CARBONS, INTERESTED, Directory, Entry

PRESENCE = (
    b"<presence from='somebody4711@example.org/Conversations.a7Kf'\0><priority>5</priority><show>away</show>"
    b"<status>in a meeting, back at four</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' "
    b"node='https://conversations.im' ver='4Z8dYqJ0Yk0xq4p6sQ4pU3b3m2Q='/><x xmlns='vcard-temp:x:update'>"
    b"<photo>0a1b2c3d4e5f60718293a4b5c6d7e8f901234567</photo></x></presence>"
)
FEATURES = ["urn:xmpp:avatar:metadata+notify", "http://jabber.org/protocol/nick+notify", "urn:xmpp:bookmarks:1+notify"]


def row(number: int, resource: str = "", since: float = 1.0) -> tuple[object, ...]:
    """A session as another node tells it, as unpacked from the bus: nothing is shared."""
    name = resource or f"Conversations.{number:x}"
    flags = INTERESTED | CARBONS
    device = f"{number * 7919:022x}"
    return (f"somebody{number}@example.org", name, since, 5, flags, bytes(bytearray(PRESENCE)), device, FEATURES, None)


def test_a_hundred_thousand_sessions_cost_less_than_a_kilobyte_each() -> None:
    number = 100_000
    gc.collect()
    tracemalloc.start()
    directory = Directory()
    for index in range(number):
        told = row(index)
        directory.put(str(told[0]), directory.read("node2", told))
    size = tracemalloc.get_traced_memory()[0] / number
    tracemalloc.stop()
    assert len(directory) == number
    assert size < 1_024, f"{size:.0f} bytes"


def test_an_entry_goes_and_comes_as_it_was() -> None:
    directory = Directory()
    told = row(1)
    entry = directory.read("n2", told)
    assert directory.put("somebody1@example.org", entry)
    assert [part if not isinstance(part, list) else sorted(part) for part in told] == list(
        entry.row("somebody1@example.org")[:7]
    ) + [sorted(FEATURES), None]
    assert entry.receptive
    assert directory.find("somebody1@example.org", entry.resource) is entry
    assert directory.counts == {"n2": 1}


def test_the_later_one_has_the_full_jid() -> None:
    directory = Directory()
    old = Entry("n2", "r", 1.0)
    new = Entry("n3", "r", 2.0)
    assert directory.put("a@b", new)
    assert not directory.put("a@b", old)
    assert directory.of("a@b") == (new,)
    assert directory.remove("a@b", "r", "n2", 1.0) is None
    assert directory.remove("a@b", "r", "n3", 2.0) is new
    assert len(directory) == 0


def test_two_of_one_moment_are_told_apart_by_their_nodes() -> None:
    one, other = Entry("n2", "r", 1.0), Entry("n3", "r", 1.0)
    for first, second in ((one, other), (other, one)):
        directory = Directory()
        directory.put("a@b", first)
        directory.put("a@b", second)
        assert directory.of("a@b") == (other,)


def test_a_node_goes_with_all_it_had() -> None:
    directory = Directory()
    for index in range(30):
        directory.put(f"u{index % 10}@b", Entry(f"n{index % 3}", f"r{index}", 1.0))
    dropped = directory.drop("n1")
    assert len(dropped) == 10
    assert directory.counts == {"n0": 10, "n2": 10}
    assert all(entry.node != "n1" for _bare, entry in directory.all())
    assert directory.drop("n1") == []


def test_whatever_is_heard_first_all_come_to_the_same() -> None:
    source = random.Random(7)
    events = [
        (f"u{source.randrange(3)}@b", f"n{source.randrange(3)}", f"r{source.randrange(2)}", float(number))
        for number in range(60)
    ]
    found = []
    for _ in range(5):
        # Each node's own events stay in their order; those of several nodes mix.
        queues = {name: [event for event in events if event[1] == name] for name in ("n0", "n1", "n2")}
        directory = Directory()
        while any(queues.values()):
            name = source.choice([name for name, queue in queues.items() if queue])
            bare, node, resource, since = queues[name].pop(0)
            directory.put(bare, Entry(node, resource, since))
        found.append({(bare, entry.resource): entry.order for bare, entry in directory.all()})
    assert all(each == found[0] for each in found)
