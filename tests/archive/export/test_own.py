"""Exports of one's own archive: what is in them, and that nothing is in them that one may not see."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive import ids
from archive.export import held, making
from archive.export.models import Export
from archive.export.sources import NotAllowed
from archive.models import Message
from mlink_web.accounts.models import Account
from mlink_web.rooms.models import RoomAffiliation
from mlink_web.stores.models import RosterItem
from tests.kits.exported import NAMESPACE, START, account, bodies, make, own_json, own_xml, room, say, settle, valid

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Account:
    """Whose archive it is."""
    return account("ada")


@pytest.fixture
def eve() -> Account:
    """Somebody else."""
    return account("eve")


def test_all_conversations_in_the_order_of_time(ada: Account, eve: Account, tmp_path: Path) -> None:
    say(ada, "bob@far.example", "one", 0)
    say("carol@far.example", ada, "two", 10)
    say(eve, ada, "three", 20)
    say(eve, "bob@far.example", "secret", 30)
    document = own_xml(ada, tmp_path)
    assert bodies(document) == ["one", "two", "three"]
    first = document.find(f"{NAMESPACE}record")
    assert first is not None
    assert first.get("id") == ids.text_of(ids.first_at(START))
    assert first.get("stamp") == "2026-09-21T14:13:20.000Z"
    assert (first.get("from"), first.get("to"), first.get("kind")) == ("ada@localhost", "bob@far.example", "chat")
    assert first.get("in") is None
    about = document.find(f"{NAMESPACE}about")
    assert about is not None
    assert (about.get("by"), about.get("messages")) == ("ada@localhost", "3")
    assert [(fact.get("name"), fact.text) for fact in about] == [("With", "all conversations")]


def test_only_what_was_chosen(ada: Account, eve: Account, tmp_path: Path) -> None:
    one = say(ada, "bob@far.example", "one", 0)
    say("carol@far.example", ada, "two words", 10)
    other = say(eve, "bob@far.example", "not hers", 15)
    say(ada, "bob@far.example", "three", 20)
    settle()
    assert bodies(own_xml(ada, tmp_path / "a", talks=[("bob@far.example", "")])) == ["one", "three"]
    assert bodies(own_xml(ada, tmp_path / "b", start=START + 5, end=START + 15)) == ["two words"]
    assert bodies(own_xml(ada, tmp_path / "c", words="words")) == ["two words"]
    assert bodies(own_xml(ada, tmp_path / "d", ids=[ids.text_of(one), ids.text_of(other), "x"])) == ["one"]
    assert bodies(own_xml(ada, tmp_path / "e", talks=[("nobody@far.example", "")])) == []


def test_what_comes_after_the_order_is_not_in_it(ada: Account, tmp_path: Path) -> None:
    order = making.own_order(ada, format="xml")
    say(ada, "bob@far.example", "before", 0)
    say(ada, "bob@far.example", "after", order.made - START + 5)
    made, _export = make(order, tmp_path)
    assert bodies(valid(made.path.read_bytes())) == ["before"]


@pytest.mark.parametrize("format", ["xml", "jsonl"])
def test_no_address_of_who_hides_behind_a_nickname(ada: Account, eve: Account, tmp_path: Path, format: str) -> None:
    hidden = room("cave", {"ada@localhost": "member", "eve@localhost": "member"}, whois="moderators")
    say(ada, hidden, "I am here", 0, nick="Ada")
    say(eve, hidden, "and I", 1, nick="Shadow", id="s1")
    say(eve, hidden, "<body>indeed</body><replace xmlns='urn:xmpp:message-correct:0' id='s1'/>", 2, nick="Shadow")
    say("mallory@far.example", hidden, "<body/><subject>Light</subject>", 3, nick="Third")
    settle()
    made, _export = make(making.own_order(ada, format=format), tmp_path)
    content = made.path.read_text()
    assert "eve@localhost" not in content
    assert "mallory@far.example" not in content
    assert "cave@rooms.localhost/Shadow" in content
    assert "ada@localhost" in content
    # Who is an administrator of the room sees them on the page, and here.
    RoomAffiliation.objects.filter(jid="ada@localhost").update(affiliation="admin")
    made, _export = make(making.own_order(ada, format=format), tmp_path / "as admin")
    assert "eve@localhost" in made.path.read_text()


def test_rooms_are_judged_anew_when_the_file_is_made(ada: Account, eve: Account, tmp_path: Path) -> None:
    closed = room("cabinet", {"ada@localhost": "member"}, members_only=True)
    say(eve, closed, "minutes", 0)
    say(ada, "bob@far.example", "note", 1)
    settle()
    chosen = making.own_order(ada, format="xml", talks=[("", str(closed))])
    everything = making.own_order(ada, format="xml")
    assert making.estimate(chosen).messages == 1
    assert bodies(valid(make(chosen, tmp_path / "a")[0].path.read_bytes())) == ["minutes"]
    assert bodies(valid(make(everything, tmp_path / "b")[0].path.read_bytes())) == ["minutes", "note"]
    RoomAffiliation.objects.filter(jid="ada@localhost").update(affiliation="outcast")
    with pytest.raises(NotAllowed, match="may not read the room cabinet"):
        make(chosen, tmp_path / "c")
    with pytest.raises(making.Refused, match="may not read"):
        making.place(chosen)
    assert bodies(valid(make(everything, tmp_path / "d")[0].path.read_bytes())) == ["note"]


def test_a_closed_account_gets_nothing(ada: Account, tmp_path: Path) -> None:
    say(ada, "bob@far.example", "note", 1)
    order = making.own_order(ada, format="xml")
    ada.state = Account.State.DISABLED
    ada.save()
    with pytest.raises(NotAllowed, match="closed"):
        make(order, tmp_path)
    ada.delete()
    with pytest.raises(NotAllowed, match="gone"):
        make(order, tmp_path)


def test_json_lines(ada: Account, tmp_path: Path) -> None:
    RosterItem.objects.create(account=ada, jid="bob@far.example", name="Bob")
    first = say(ada, "bob@far.example", "one\u2028two \u202e😀", 0, id="a1")
    second = say(
        "bob@far.example",
        ada,
        "<body>&gt; one&#10;yes</body><reply xmlns='urn:xmpp:reply:0' id='a1'/>"
        "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='6'/></fallback>"
        "<thread>t</thread>",
        1,
    )
    say(ada, "bob@far.example", "<body>uno</body><replace xmlns='urn:xmpp:message-correct:0' id='a1'/>", 2)
    say(
        "bob@far.example",
        ada,
        "<reactions xmlns='urn:xmpp:reactions:0' id='a1'><reaction>👍</reaction></reactions>",
        3,
    )
    say(
        ada,
        "bob@far.example",
        "<body>https://files.example/a/x.pdf</body><x xmlns='jabber:x:oob'><url>https://files.example/a/x.pdf</url></x>"
        "<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking bgcolor='red'>SECRET</displaymarking><label/>"
        "</securitylabel>",
        4,
    )
    say(
        ada,
        "bob@far.example",
        "<body>I sent you an OMEMO message</body><encrypted xmlns='urn:xmpp:omemo:2'/>",
        5,
    )
    settle()
    made, _export = make(making.own_order(ada, format="jsonl"), tmp_path)
    assert len(made.path.read_bytes().decode().splitlines()) == 6
    lines = own_json(ada, tmp_path / "again")
    assert lines[0]["id"] == ids.text_of(first)
    assert lines[0]["time"] == "2026-09-21T14:13:20.000Z"
    assert (lines[0]["from"], lines[0]["to"], lines[0]["kind"]) == ("ada@localhost", "bob@far.example", "chat")
    assert lines[0]["text"] == "one\u2028two \u202e😀"
    assert lines[0]["origin_id"] == "a1"
    assert lines[1]["text"] == "yes"
    assert lines[1]["body"] == "> one\nyes"
    assert lines[1]["answers"] == lines[2]["corrects"] == lines[3]["reacts_to"] == ids.text_of(first)
    assert lines[1]["id"] == ids.text_of(second)
    assert lines[1]["thread"] == "t"
    assert lines[3]["reactions"] == ["👍"]
    assert lines[4]["files"] == [{"url": "https://files.example/a/x.pdf", "name": "x.pdf"}]
    assert lines[4]["marking"] == "SECRET"
    assert "text" not in lines[4]
    assert lines[5]["encrypted"] == "OMEMO"
    assert "text" not in lines[5]
    assert lines[5]["stanza"].startswith("<message")


def test_what_cannot_be_read_is_carried_and_harms_nothing(ada: Account, tmp_path: Path) -> None:
    key = say(ada, "bob@far.example", "x", 0)
    Message.objects.filter(pk=key).update(xml="<message from='ada@localhost/r'><body>\x01 ]]> <oops")
    say(ada, "bob@far.example", "! <script>alert('x')</script> ]]> &amp; \x7f", 1, kind="chat")
    document = own_xml(ada, tmp_path)
    damaged = document.find(f"{NAMESPACE}record/{NAMESPACE}damaged")
    assert damaged is not None
    assert damaged.text == "<message from='ada@localhost/r'><body>\ufffd ]]> <oops"
    assert own_json(ada, tmp_path / "json")[0]["damaged"] is True


def test_what_was_retracted_while_the_file_was_made_is_not_in_it(
    ada: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = say(ada, "bob@far.example", "kept", 0)
    gone = say(ada, "bob@far.example", "regretted", 1, id="r1")
    deleted = say(ada, "bob@far.example", "expired", 2)
    settle()
    noted = held.note
    rounds = []

    def note(export: Export, ids: object) -> int:
        rounds.append(1)
        if len(rounds) == 1:
            say(ada, "bob@far.example", "<retract xmlns='urn:xmpp:message-retract:1' id='r1'/>", 3)
            settle()
            Message.objects.filter(pk=deleted).delete()
        return noted(export, ids)  # type: ignore[arg-type]

    monkeypatch.setattr(held, "note", note)
    order = making.own_order(ada, format="xml")
    made, export = make(order, tmp_path)
    content = made.path.read_text()
    assert "regretted" not in content
    assert "expired" not in content
    assert "retracted" in content
    assert len(rounds) == 2
    assert [holding.export for holding in held.exports_with([kept])] == [export]
    assert [holding.ids for holding in held.exports_with([kept, gone, deleted])] == [(kept, gone)]


def test_orders_that_make_no_sense(ada: Account) -> None:
    with pytest.raises(making.Refused, match="no such message"):
        making.order_own(ada, format="xml")
    with pytest.raises(making.Refused, match="Choose a format"):
        making.order_own(ada, format="docx")
    with pytest.raises(making.Refused, match="can be chosen"):
        making.order_own(ada, ids=["0" * 16] * 10_000)
