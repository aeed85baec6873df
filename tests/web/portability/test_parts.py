"""Single parts of an account, as other servers write them."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from mlink_web.accounts import services
from mlink_web.accounts.models import Account, Credential
from mlink_web.conf.models import Domain
from mlink_web.portability.models import Entry
from mlink_web.pubsub import nodes
from mlink_web.stores.models import BlockItem, OfflineMessage, PrivateXml, VCard
from tests.web.portability import kit
from xmpp_engine.sasl.keys import derive

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


def taken(alias: str, tmp_path: Path, content: str, policy: str = "skip", **more: Any) -> Account:
    """The account of an import with this content."""
    Domain.objects.using(alias).get_or_create(name="a.example")
    path = tmp_path / "x.xml"
    path.write_text(
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='a.example'><user name='romeo'>"
        f"{content}</user></host></server-data>"
    )
    kit.take(alias, path, policy, **more)
    return Account.objects.using(alias).get(username="romeo@a.example")


def keys(mechanism: str, salt: bytes, rounds: int = 64) -> str:
    """Credentials of the kit's password."""
    made = derive(mechanism, kit.PASSWORD, salt, rounds)
    values = (("salt", salt), ("server-key", made.server_key), ("stored-key", made.stored_key))
    inner = "".join(f"<{name}>{base64.b64encode(value).decode()}</{name}>" for name, value in values)
    return (
        f"<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='{mechanism}'><iter-count>{rounds}</iter-count>"
        f"{inner}</scram-credentials>"
    )


def test_keys_of_one_mechanism_serve_the_web_as_well(database: str, tmp_path: Path) -> None:
    account = taken(database, tmp_path, keys("SCRAM-SHA-1", b"salt"))
    assert account.check_password(kit.PASSWORD)
    assert not account.check_password("other")


@pytest.mark.django_db
def test_one_time_passwords_go_by_each_mechanism_of_an_account(tmp_path: Path) -> None:
    account = taken("default", tmp_path, keys("SCRAM-SHA-1", b"one") + keys("SCRAM-SHA-256", b"other", 32))
    assert account.check_password(kit.PASSWORD)
    text = services.issue_token(account)
    for row in Credential.objects.filter(account=account):
        token = account.tokens.get(mechanism=row.mechanism)
        assert token.fits(derive(row.mechanism, text, bytes(row.salt), row.iterations).stored_key)


def test_a_password_in_plain_text_gives_all_keys(database: str, tmp_path: Path) -> None:
    Domain.objects.using(database).get_or_create(name="a.example")
    path = tmp_path / "x.xml"
    path.write_text(
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='a.example'><user name='romeo' password='s3cret &amp; so'/>"
        "</host></server-data>"
    )
    kit.take(database, path)
    account = Account.objects.using(database).get()
    assert account.check_password("s3cret & so")
    assert account.credentials.count() == 2


def test_of_privacy_lists_what_a_block_list_can_say(database: str, tmp_path: Path) -> None:
    lists = (
        "<query xmlns='jabber:iq:privacy'><default name='mine'/><list name='mine'>"
        "<item type='jid' value='spam@b.example' action='deny' order='1'/>"
        "<item type='jid' value='half@b.example' action='deny' order='2'><message/></item>"
        "<item type='group' value='Work' action='deny' order='3'/><item action='allow' order='4'/></list>"
        "<list name='other'><item type='jid' value='x@b.example' action='deny' order='1'/></list></query>"
    )
    account = taken(database, tmp_path, lists)
    assert list(BlockItem.objects.using(database).filter(account=account).values_list("jid", flat=True)) == [
        "spam@b.example"
    ]
    assert "3 rule(s) or list(s)" in " ".join(Entry.objects.using(database).get().troubles)


def test_the_picture_of_a_vcard_goes_into_nodes(database: str, tmp_path: Path) -> None:
    photo = f"<PHOTO><TYPE>image/png</TYPE><BINVAL>{base64.b64encode(PNG).decode()}</BINVAL></PHOTO>"
    account = taken(database, tmp_path, f"<vCard xmlns='vcard-temp'><FN>Romeo</FN>{photo}</vCard>")
    assert "PHOTO" not in VCard.objects.using(database).get().xml
    found = nodes.load(connections[database], account.username, ["urn:xmpp:avatar:data", "urn:xmpp:avatar:metadata"])
    assert [node.items for node in found] == [1, 1]
    assert all(node.config == {"access_model": "open"} for node in found)


def test_bookmarks_of_which_only_items_are_told_stay_private(database: str, tmp_path: Path) -> None:
    items = (
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'>"
        "<item id='r@rooms.old.example'><conference xmlns='urn:xmpp:bookmarks:1'/></item></items></pubsub>"
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>"
        "<conference jid='r@rooms.old.example'/></storage></query>"
    )
    mapping = {"domains": {"rooms.old.example": "rooms.a.example"}}
    account = taken(database, tmp_path, items, mapping=mapping)
    (node,) = nodes.load(connections[database], account.username, ["urn:xmpp:bookmarks:1"])
    assert node.config["access_model"] == "whitelist"
    assert node.last is not None
    assert node.last.id == "r@rooms.a.example"
    assert "r@rooms.a.example" in PrivateXml.objects.using(database).get().xml


def test_offline_messages_keep_their_time(database: str, tmp_path: Path) -> None:
    waiting = (
        "<offline-messages><message xmlns='jabber:client' from='b@b.example/x' to='romeo@a.example'><body>hi</body>"
        "<delay xmlns='urn:xmpp:delay' from='a.example' stamp='2021-01-01T00:00:00Z'/></message></offline-messages>"
    )
    for policy in ("skip", "merge"):
        taken(database, tmp_path, waiting, policy)
        (row,) = OfflineMessage.objects.using(database).all()
        assert time.gmtime(row.stamp)[:3] == (2021, 1, 1)
        assert "hi" in row.xml


def test_what_nobody_knows_is_passed_over_with_a_sentence(database: str, tmp_path: Path) -> None:
    taken(database, tmp_path, "<thing xmlns='urn:example:other'/>")
    assert Entry.objects.using(database).get().troubles[0].startswith("<thing/> in the namespace")
