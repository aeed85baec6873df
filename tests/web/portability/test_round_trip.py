"""What is exported and imported into an empty server is exported the same; what is imported again changes nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive import events, query, tally
from archive.document import body_of, element_of
from archive.filters import Filter
from archive.models import Message
from archive.text import parse
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.portability import names
from mlink_web.portability.models import Entry
from mlink_web.portability.scope import Scope
from mlink_web.rooms.models import Room, RoomAffiliation
from mlink_web.stores.models import RosterItem
from tests.kits.databases import clear
from tests.web.portability import kit

ROMEO, JULIET = "romeo@montague.example", "juliet@capulet.example"


def served(alias: str, *domains: str) -> None:
    """An empty server for these domains."""
    clear(alias)
    for name in domains:
        Domain.objects.using(alias).create(name=name)


def find(alias: str, bare: str) -> Account:
    """An account that is there."""
    return Account.objects.using(alias).get(username=bare)


def archived(alias: str, bare: str, words: str = "") -> list[str]:
    """The stanzas of an account's archive, or those of them with these words."""
    wanted = Filter(find(alias, bare).pk, terms=tuple(parse(words)))
    return [row.xml for row in query.page(connections[alias], wanted, 1_000)[0]]


def troubles(alias: str) -> list[str]:
    """What imports had to say of accounts."""
    return [sentence for entry in Entry.objects.using(alias).all() for sentence in entry.troubles]


def test_a_server_comes_back_whole(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    before = archived(database, ROMEO)
    first = kit.export(database, tmp_path / "a")
    served(database, "montague.example", "capulet.example")
    _row, summary = kit.take(database, first)
    assert summary["accounts"] == {"made": 2}
    assert not troubles(database)
    assert not summary["notes"]
    assert kit.contents(kit.export(database, tmp_path / "b")) == kit.contents(first)
    assert archived(database, ROMEO) == before
    assert find(database, ROMEO).check_password(kit.PASSWORD)
    assert (find(database, ROMEO).moved_to, find(database, JULIET).moved_to) == ("", "j@elsewhere.example")
    assert len(archived(database, ROMEO, "speaks")) == 1
    assert archived(database, JULIET, "wherefore") == archived(database, ROMEO, "wherefore")
    assert len(archived(database, ROMEO, "wherefore")) == 1, "what was corrected is not found any more"


def test_both_sides_of_a_conversation_become_one_row_and_are_counted(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    first = kit.export(database, tmp_path / "a")
    served(database, "montague.example", "capulet.example")
    kit.take(database, first)
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM archive_message")
        assert cursor.fetchone() == (5,)
    for bare, number in ((ROMEO, 5), (JULIET, 3)):
        counted = tally.count(connections[database], Filter(find(database, bare).pk))
        assert (counted.number, counted.exact) == (number, True)


@pytest.mark.parametrize("policy", ["skip", "merge", "replace"])
def test_the_same_once_more_changes_nothing(database: str, tmp_path: Path, policy: str) -> None:
    kit.furnished(database)
    first = kit.export(database, tmp_path / "a")
    _row, summary = kit.take(database, first, policy)
    assert summary["accounts"] == {"skipped" if policy == "skip" else "same": 2}, summary
    assert kit.contents(kit.export(database, tmp_path / "b")) == kit.contents(first)


def test_a_trial_changes_nothing_and_tells_what_would_be_done(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    first = kit.export(database, tmp_path / "a")
    served(database, "montague.example")
    _row, tried = kit.take(database, first, dry=True)
    assert tried["accounts"] == {"made": 1, "refused": 1}
    assert troubles(database) == ["The domain capulet.example is not served here."]
    assert not Account.objects.using(database).exists()
    _row, done = kit.take(database, first)
    assert done["accounts"] == tried["accounts"]
    assert done["counts"] == tried["counts"]


def test_other_domains_and_names(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    first = kit.export(database, tmp_path / "a")
    served(database, "verona.example", "capulet.example")
    mapping = {"domains": {"montague.example": "verona.example"}, "accounts": {JULIET: "j@verona.example"}}
    _row, summary = kit.take(database, first, mapping=mapping)
    assert summary["accounts"] == {"made": 2}
    roster = set(RosterItem.objects.using(database).filter(version__gt=0).values_list("account__username", "jid"))
    assert ("romeo@verona.example", "j@verona.example") in roster
    assert ("j@verona.example", "romeo@verona.example") in roster
    texts = "".join(kit.contents(kit.export(database, tmp_path / "b")).values())
    assert "montague.example" not in texts
    assert "juliet@" not in texts
    assert len(archived(database, "j@verona.example")) == 3
    # A second time: ids of this kind of server are known again although the addresses differ from those in the files.
    _row, again = kit.take(database, first, "merge", mapping=mapping)
    assert again["accounts"] == {"same": 2}


def test_merging_keeps_what_is_there(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    first = kit.export(database, tmp_path / "a")
    served(database, "montague.example", "capulet.example")
    romeo = kit.account(database, ROMEO)
    RosterItem.objects.using(database).create(account=romeo, jid=JULIET, name="mine", subscription="to", version=1)
    RosterItem.objects.using(database).create(account=romeo, jid="other@capulet.example", name="other", version=1)
    _row, summary = kit.take(database, first, "merge")
    assert summary["accounts"] == {"changed": 1, "made": 1}
    roster = {row.jid: row.name for row in RosterItem.objects.using(database).filter(account=romeo, version__gt=0)}
    assert roster == {JULIET: "mine", "other@capulet.example": "other", "nurse@capulet.example": ""}
    kit.take(database, first, "replace")
    roster = {row.jid: row.name for row in RosterItem.objects.using(database).filter(account=romeo, version__gt=0)}
    assert roster == {JULIET: "Juliet & co <3", "nurse@capulet.example": ""}
    assert len(archived(database, ROMEO)) == 5


def test_one_account_in_one_file(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    whole = archived(database, ROMEO)
    path = kit.export(database, tmp_path / "a", Scope(user=ROMEO, using=database), packed=False)
    assert path.read_text().count("<user ") == 1
    served(database, "montague.example")
    _row, summary = kit.take(database, path)
    assert summary["accounts"] == {"made": 1}
    assert archived(database, ROMEO) == whole


def test_long_archives_are_split_and_come_back(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    romeo, juliet = kit.account(database, ROMEO), kit.account(database, JULIET)
    kit.talk(database, [(number, romeo, juliet, f"<body>no {number}</body>") for number in range(1_200)], step=0.01)
    monkeypatch.setattr("mlink_web.portability.tree.FILE_CHARACTERS", 60_000)
    first = kit.export(database, tmp_path / "a")
    parts = [name for name in kit.contents(first) if "/romeo.parts/" in name]
    assert len(parts) > 2
    served(database, "montague.example", "capulet.example")
    _row, summary = kit.take(database, first)
    assert summary["counts"]["messages"] == 1_200
    assert summary["counts"]["messages joined"] == 1_200
    assert kit.contents(kit.export(database, tmp_path / "b")) == kit.contents(first)


def test_rooms_and_nodes_of_services(database: str, tmp_path: Path) -> None:
    kit.account(database, ROMEO)
    room = Room.objects.using(database).create(
        service="rooms.montague.example", local="orchard", config={"name": "Orchard"}, subject="love", created=kit.START
    )
    for jid, affiliation, nick in ((ROMEO, "owner", "Romeo"), ("spam.example", "outcast", "")):
        RoomAffiliation.objects.using(database).create(
            room=room, jid=jid, affiliation=affiliation, nick=nick, version=1
        )
    kit.node(database, "pubsub.montague.example", "news/today", {"title": "News"}, 3)
    first = kit.export(database, tmp_path / "a")
    served(database, "montague.example")
    _row, summary = kit.take(database, first)
    assert summary["extension"] == {
        "rooms": 1,
        "affiliations": 2,
        "nodes of services": 1,
        "items of services": 3,
    }
    assert kit.contents(kit.export(database, tmp_path / "b")) == kit.contents(first)
    _row, again = kit.take(database, first, "replace")
    assert again["extension"] == {"rooms there already": 1, "nodes of services there already": 1}


def test_messages_of_other_servers_get_ids_that_stay_the_same(database: str, tmp_path: Path) -> None:
    served(database, "montague.example", "capulet.example")
    path = tmp_path / "other.xml"
    result = (
        "<result xmlns='urn:xmpp:mam:2' id='{}'><forwarded xmlns='urn:xmpp:forward:0'>"
        "<delay xmlns='urn:xmpp:delay' stamp='2021-03-01T10:00:00Z'/><message xmlns='jabber:client' from='{}/a' to='{}'"
        " type='chat'><body>{}</body>{}</message></forwarded></result>"
    )
    ids_of_archive = "<stanza-id xmlns='urn:xmpp:sid:0' by='{}' id='{}'/>"
    romeo = "".join(result.format(f"r{n}", ROMEO, JULIET, body, "") for n, body in enumerate(("ok", "ok", "so")))
    juliet = "".join(
        result.format(f"j{n}", ROMEO, JULIET, body, ids_of_archive.format(JULIET, f"j{n}"))
        for n, body in enumerate(("ok", "ok", "so"))
    )
    path.write_text(
        "<server-data xmlns='urn:xmpp:pie:0'>"
        f"<host jid='montague.example'><user name='romeo'><archive xmlns='urn:xmpp:pie:0#mam'>{romeo}</archive></user>"
        f"</host><host jid='capulet.example'><user name='juliet'><archive xmlns='urn:xmpp:pie:0#mam'>{juliet}</archive>"
        "</user></host></server-data>"
    )
    _row, first = kit.take(database, path)
    assert (first["counts"]["messages"], first["counts"]["messages joined"]) == (3, 3)
    _row, again = kit.take(database, path, "merge")
    assert again["accounts"] == {"same": 2}
    assert again["counts"] == {"messages there already": 6}
    for bare in (ROMEO, JULIET):
        assert [body_of(element_of(xml)) for xml in archived(database, bare)] == ["ok", "ok", "so"], "in their order"


def test_what_was_redacted_does_not_come_back(database: str, tmp_path: Path) -> None:
    test_messages_of_other_servers_get_ids_that_stay_the_same(database, tmp_path)
    kept = query.page(connections[database], Filter(find(database, ROMEO).pk), 10)[0]
    tombstone = events.moderated(kept[0].xml, "", "private", kit.START)
    Message.objects.using(database).filter(pk=kept[0].id).update(xml=tombstone, search="")
    _row, again = kit.take(database, tmp_path / "other.xml", "merge")
    assert again["counts"] == {"messages there already": 6}
    assert sum(events.is_tombstone(xml) for xml in archived(database, ROMEO)) == 1


def test_what_one_side_had_in_between_keeps_its_place(database: str, tmp_path: Path) -> None:
    served(database, "montague.example", "capulet.example")
    result = (
        "<result xmlns='urn:xmpp:mam:2' id='{}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay'"
        " stamp='2021-03-01T10:00:00Z'/><message xmlns='jabber:client' from='{}/a' to='{}'><body>{}</body></message>"
        "</forwarded></result>"
    )
    romeo = "".join(result.format(n, ROMEO, JULIET, body) for n, body in enumerate("abc"))
    juliet = "".join(
        result.format(n, sender, JULIET, body)
        for n, (sender, body) in enumerate(
            ((ROMEO, "a"), ("nurse@x.example", "1"), (ROMEO, "b"), ("nurse@x.example", "2"), (ROMEO, "c"))
        )
    )
    path = tmp_path / "other.xml"
    path.write_text(
        "<server-data xmlns='urn:xmpp:pie:0'>"
        f"<host jid='montague.example'><user name='romeo'><archive xmlns='urn:xmpp:pie:0#mam'>{romeo}</archive></user>"
        f"</host><host jid='capulet.example'><user name='juliet'><archive xmlns='urn:xmpp:pie:0#mam'>{juliet}</archive>"
        "</user></host></server-data>"
    )
    kit.take(database, path)
    for bare, said in ((ROMEO, "abc"), (JULIET, "a1b2c")):
        assert [body_of(element_of(xml)) for xml in archived(database, bare)] == list(said)


def test_another_message_under_the_same_id_is_not_lost(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    first = kit.export(database, tmp_path / "a")
    served(database, "montague.example", "capulet.example", "x.example")
    one, other = kit.account(database, "a@x.example"), kit.account(database, "b@x.example")
    kit.talk(database, [(number, one, other, f"<body>mine {number}</body>") for number in range(1, 4)])
    for _ in range(2):
        kit.take(database, first, "merge")
        assert len(archived(database, ROMEO)) == 5
        assert len(archived(database, "a@x.example")) == 3
        assert len(archived(database, JULIET)) == 3


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn")), max_size=30)
LOCAL = st.from_regex(r"[a-z][a-z0-9._\\~+-]{0,12}", fullmatch=True)
CONTACTS = st.dictionaries(
    st.builds("{}@{}".format, LOCAL, st.sampled_from(("a.example", "b.example"))),
    st.tuples(
        TEXT.map(lambda text: " ".join(text.split())), st.sampled_from(("none", "to", "from", "both")), st.booleans()
    ),
    max_size=4,
)


@pytest.mark.parametrize("alias", ["sqlite_alias"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.dictionaries(LOCAL, st.tuples(CONTACTS, st.lists(TEXT, max_size=5)), min_size=1, max_size=3),
)
def test_any_accounts_come_back(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
    alias: str,
    people: dict[str, Any],
) -> None:
    database = request.getfixturevalue(alias)
    folder = tmp_path_factory.mktemp("any")
    with django_db_blocker.unblock():
        clear(database)
        number = 0
        for local, (contacts, said) in people.items():
            account = kit.account(database, f"{local}@a.example")
            Account.objects.using(database).filter(pk=account.pk).update(roster_version=1)
            for jid, (name, subscription, approved) in contacts.items():
                if jid != account.username:
                    RosterItem.objects.using(database).create(
                        account=account, jid=jid, name=name, subscription=subscription, approved=approved, version=1
                    )
            lines = []
            for text in said:
                number += 1
                body = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                lines.append((number, account, "friend@b.example", f"<body>{body}</body>"))
            kit.talk(database, lines)
        first = kit.export(database, folder / "a")
        served(database, "a.example")
        kit.take(database, first)
        assert not troubles(database)
        assert kit.contents(kit.export(database, folder / "b")) == kit.contents(first)


def test_names_that_no_file_system_takes(database: str, tmp_path: Path) -> None:
    odd = ["con", "a\\20b", "ünïcode", "x" * 300, "-rf", ".hidden", "a%2e", "dot."]
    for local in odd:
        kit.account(database, f"{local}@montague.example")
    first = kit.export(database, tmp_path / "a")
    with zipfile.ZipFile(first) as archive:
        assert all("\\" not in name and len(name.rpartition("/")[2]) < 220 for name in archive.namelist())
    served(database, "montague.example")
    _row, summary = kit.take(database, first)
    assert summary["accounts"] == {"made": len(odd)}
    assert set(Account.objects.using(database).values_list("local", flat=True)) == set(odd)
    assert names.file_name("x" * 300).startswith("~")
