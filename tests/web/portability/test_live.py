"""Into a node that runs: whoever is imported signs in with the password that he had, finds his contacts, his messages
and his nodes, and is erased again."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.clients.slix import Slix
from tests.live import ROOT, LiveNode, User

Login = Callable[..., Awaitable[Slix]]


def manage(node: LiveNode, *arguments: str) -> str:
    """A command about the node."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def credentials(password: str) -> str:
    """What a server has of a password that knows only SCRAM-SHA-1, in the form of XEP-0227."""
    salt = secrets.token_bytes(12)
    salted = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, 4_096)
    stored = hashlib.sha1(hmac.digest(salted, b"Client Key", "sha1")).digest()
    server = hmac.digest(salted, b"Server Key", "sha1")
    salt64, server64, stored64 = (base64.b64encode(value).decode() for value in (salt, server, stored))
    return (
        "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'><iter-count>4096</iter-count>"
        f"<salt>{salt64}</salt><server-key>{server64}</server-key><stored-key>{stored64}</stored-key>"
        "</scram-credentials>"
    )


def message(number: int, sender: str, to: str) -> str:
    """An archived message."""
    return (
        f"<result xmlns='urn:xmpp:mam:2' id='old-{number}'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"<delay xmlns='urn:xmpp:delay' stamp='2022-05-01T08:00:{number:02d}Z'/><message xmlns='jabber:client'"
        f" type='chat' from='{sender}/x' to='{to}'><body>old {number}</body></message></forwarded></result>"
    )


async def test_an_account_moves_here_and_is_known_at_once(live_node: LiveNode, tmp_path: Path) -> None:
    old = User(f"mover-{secrets.token_hex(3)}@old.example", secrets.token_urlsafe(9))
    local = old.jid.partition("@")[0]
    here = User(f"{local}@{live_node.domain}", old.password)
    friend = live_node.add_user("friend")
    asked = await Slix(friend, "desk").come(live_node)
    # The node has just learned that there is no such account.
    asked.send_message(here.jid, "are you there?", mtype="chat")
    await asked.until(lambda: any(m["type"] == "error" for m in asked.messages), "nobody is there")
    path = tmp_path / "old.xml"
    said = "".join(message(number, old.jid, friend.jid) for number in range(3))
    path.write_text(
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='old.example'>"
        f"<user name='{local}'>{credentials(old.password)}<query xmlns='jabber:iq:roster'>"
        f"<item jid='{friend.jid}' name='Friend' subscription='to'><group>Old friends</group></item></query>"
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'>"
        "<item id='room@rooms.elsewhere.example'><conference xmlns='urn:xmpp:bookmarks:1' name='A room'/></item>"
        f"</items></pubsub><archive xmlns='urn:xmpp:pie:0#mam'>{said}"
        "</archive></user></host></server-data>"
    )
    arguments = (str(path), "--map", f"old.example={live_node.domain}")
    assert "would be made" in manage(live_node, "xmpp_import", *arguments, "--dry-run")
    assert "1 account made" in manage(live_node, "xmpp_import", *arguments)
    mover = await Slix(here, "desk").come(live_node)
    try:
        roster = mover.client_roster
        assert roster[friend.jid]["name"] == "Friend"
        assert roster[friend.jid]["groups"] == ["Old friends"]
        found = await mover.plugin["xep_0313"].retrieve(with_jid=friend.jid)
        bodies = [one["mam_result"]["forwarded"]["stanza"]["body"] for one in found["mam"]["results"]]
        assert bodies == ["old 0", "old 1", "old 2"]
        marks = await mover.plugin["xep_0060"].get_items(here.jid, "urn:xmpp:bookmarks:1")
        assert [item["id"] for item in marks["pubsub"]["items"]] == ["room@rooms.elsewhere.example"]
        asked.send_message(here.jid, "welcome", mtype="chat")
        await mover.hears("welcome")
        # More comes for somebody who is there: nodes that the node has in memory are read anew.
        path.write_text(path.read_text().replace("room@rooms", "second@rooms"))
        assert "1 account changed" in manage(live_node, "xmpp_import", *arguments, "--conflict", "merge")
        for _ in range(600):
            marks = await mover.plugin["xep_0060"].get_items(here.jid, "urn:xmpp:bookmarks:1")
            if len(list(marks["pubsub"]["items"])) == 2:
                break
            await asyncio.sleep(0.05)
        assert len(list(marks["pubsub"]["items"])) == 2
        out = tmp_path / "out.xml"
        manage(live_node, "xmpp_export", "--user", here.jid, str(out))
        text = out.read_text()
        assert "second@rooms.elsewhere.example" in text
        assert "<body>old 1</body>" in text
        assert "<body>welcome</body>" in text
    finally:
        await mover.go()
        await asked.go()
