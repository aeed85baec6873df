"""All that is stored of one person, as one zip file for that person.

    index.html           what there is, to read in any browser, without the network
    messages/0001.html   one page for each conversation
    account.xml          the same for machines, as XEP-0227: another server can import it
    data.json            what that format has no place for
    files/               the files that were shared

What one signs in with is not in it.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from archive import indexing, query
from archive.document import body_of, element_of
from archive.filters import Contact, Filter
from fdp.models import Submission
from mlink_web.accounts.models import Account
from mlink_web.devices.models import Device
from mlink_web.groups.models import GroupMember
from mlink_web.invitations.models import Invitation
from mlink_web.portability import names, own, tree
from mlink_web.portability.person import PAGE, Wanted
from mlink_web.pubsub.models import NodeAffiliation, NodeSubscription
from mlink_web.pushes.models import PushRegistration
from mlink_web.reports.models import Report
from mlink_web.rooms.models import RoomAffiliation
from mlink_web.stores.models import RosterItem
from mlink_web.uploads import services as uploads
from mlink_web.uploads.files import Files
from mlink_web.uploads.models import Upload
from xmpp_engine.api import StreamError

if TYPE_CHECKING:
    from mlink_web.jobs.work import Work

#: Conversations that get a page; the rest stands in account.xml.
MAX_CONVERSATIONS: Final = 5_000
#: Rows of one list in data.json.
MAX_ROWS: Final = 50_000
_CHUNK: Final = 1 << 20
_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#17212b;"
    "background:#fff}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;"
    "border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}time{color:#55606d;white-space:nowrap}"
    "@media(prefers-color-scheme:dark){body{color:#e8edf0;background:#10171d}th,td{border-color:#2f3d47}"
    "a{color:#82cbe6}time{color:#a6b3bd}}"
)


def run(work: Work) -> None:
    """The job; its owner is whom the data are about."""
    account = Account.objects.select_related("domain").filter(username=work.job.owner).first()
    if account is None:
        raise work.Refused("This account is not there any more.")
    total = own.messages(account)[0]
    path = work.folder / "own.zip"
    maker = _Maker(account, work.folder, lambda done: work.note(done, total=2 * total))
    maker.make(path)
    day = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d")
    work.keep(path, f"my-data-{names.file_name(account.username)}-{day}.zip", "application/zip")


class _Maker:
    """Makes the file of one account."""

    def __init__(self, account: Account, folder: Path, note: Any) -> None:
        self._account = account
        self._folder = folder
        self._note = note
        self._messages = 0

    def make(self, path: Path) -> None:
        """Write it."""
        account = self._account
        xml = self._folder / "account.xml"
        tree.single(xml, connection, account, Wanted(credentials=False), self._progress)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
            archive.write(xml, "account.xml")
            xml.unlink()
            conversations = self._conversations(archive)
            files = self._files(archive)
            data = {**_data(account), "files": files, "conversations": conversations}
            archive.writestr("data.json", json.dumps(data, ensure_ascii=False, indent=1, default=str))
            archive.writestr("index.html", _index(account, data))

    def _progress(self, count: int) -> None:
        self._messages += count
        self._note(self._messages)

    def _conversations(self, archive: zipfile.ZipFile) -> list[dict[str, Any]]:
        if not indexing.current(connection, words=False):
            indexing.catch_up(connection, words=False)
        told = []
        contacts: list[Contact] = query.contacts(connection, self._account.pk)
        for number, contact in enumerate(contacts[:MAX_CONVERSATIONS], 1):
            name = f"messages/{number:04d}.html"
            count = 0
            with archive.open(name, "w", force_zip64=True) as page:
                page.write(_head(f"Messages with {contact.peer}").encode())
                page.write(b"<p><a href='../index.html'>Everything</a></p><table>")
                for line in _lines(self._account, contact.peer):
                    page.write(line.encode())
                    count += 1
                    if count % PAGE == 0:
                        self._progress(PAGE)
                self._progress(count % PAGE)
                page.write(b"</table>")
            told.append({"with": contact.peer, "messages": count, "page": name})
        return told

    def _files(self, archive: zipfile.ZipFile) -> list[dict[str, Any]]:
        """The shared files, each below the number of its upload: names may be alike."""
        storage, told, last = Files(), [], 0
        while True:
            rows = uploads.files().filter(account_id=self._account.pk, pk__gt=last).order_by("pk")
            some = list(rows[: uploads.SLICE])
            for row in some:
                told.append({**self._file(archive, storage, row), "name": row.name, "size": row.size})
            if len(some) < uploads.SLICE:
                return told
            last = some[-1].pk

    def _file(self, archive: zipfile.ZipFile, storage: Files, row: Upload) -> dict[str, Any]:
        name = f"files/{row.pk}-{_plain(row.name)}"
        info = {"shared": _moment(row.created), "type": row.content_type}
        try:
            with storage.open(row.token) as source, archive.open(name, "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    self._note(self._messages)
        except (FileNotFoundError, OSError):
            return {**info, "page": "", "missing": True}
        return {**info, "page": name}


def _lines(account: Account, peer: str) -> Iterator[str]:
    """The rows of a conversation's page."""
    after = 0
    while True:
        rows, more = query.page(connection, Filter(account.pk, peer=peer, after=after), PAGE)
        for row in rows:
            try:
                text = body_of(element_of(row.xml))
            except StreamError:
                text = ""
            who = "you" if row.sent else peer
            said = escape(text).replace("\n", "<br>") if text else "<i>no text</i>"
            yield f"<tr><td><time>{_moment(row.stamp)}</time><td>{escape(who)}<td dir=auto>{said}"
        if not more:
            return
        after = rows[-1].id


def _data(account: Account) -> dict[str, Any]:
    """What the portable format has no place for."""
    bare = account.username

    def some(rows: Any) -> list[Any]:
        return list(islice(rows.iterator(chunk_size=500), MAX_ROWS))

    fields = ("software", "name", "resource", "address", "first_seen", "last_seen", "mechanism")
    return {
        "account": {
            "address": bare,
            "state": account.state,
            "created": account.created,
            "last sign-in": account.last_login,
            "last left": account.last_logout,
            "administrator": account.is_superuser,
        },
        "contacts": some(RosterItem.objects.filter(account=account).values("jid", "name", "groups", "subscription")),
        "devices": some(Device.objects.filter(account=account).values(*fields)),
        "push notifications": some(PushRegistration.objects.filter(account=account).values("jid", "created")),
        "invitations": some(
            Invitation.objects.filter(inviter=bare).values("kind", "local", "created", "expires", "uses", "used_by")
        ),
        "rooms": some(
            RoomAffiliation.objects.filter(jid=bare).values("room__local", "room__service", "affiliation", "nick")
        ),
        "groups": some(GroupMember.objects.filter(jid=bare).values("group__name", "group__description")),
        "subscriptions": some(
            NodeSubscription.objects.filter(bare=bare).values("node__service__address", "node__name", "state")
        ),
        "rights on nodes": some(
            NodeAffiliation.objects.filter(jid=bare).values("node__service__address", "node__name", "affiliation")
        ),
        "forms": some(
            Submission.objects.filter(publisher=bare, orphaned=False).values(
                "topic__title", "topic__suffix", "serial", "published", "values"
            )
        ),
        "reports of abuse": some(
            Report.objects.filter(reporter=bare).values("reported", "reason", "text", "created", "closed")
        ),
    }


def _index(account: Account, data: dict[str, Any]) -> str:
    """The page that leads to everything."""
    out = [_head(f"Data of {account.username}")]
    out.append(
        f"<p>Made on {_moment(time.time())} (UTC). <a href='account.xml'>account.xml</a> holds your account in the"
        " format XEP-0227, with all messages; other servers can import it. <a href='data.json'>data.json</a> holds the"
        " rest of what this page shows, for programs.</p>"
    )
    out.append(_list("Conversations", data["conversations"], ("with", "messages"), link="with"))
    out.append(_list("Files", data["files"], ("name", "size", "shared"), link="name"))
    for title, rows in data.items():
        if isinstance(rows, list) and rows and title not in ("conversations", "files"):
            out.append(_list(title.capitalize(), rows, tuple(rows[0])))
    facts = "".join(f"<tr><th>{escape(name)}<td>{escape(_words(value))}" for name, value in data["account"].items())
    out.append(f"<h2>Account</h2><table>{facts}</table>")
    return "".join(out)


def _list(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...], link: str = "") -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name.rpartition('__')[2].replace('_', ' '))}" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row, name, link)}" for name in columns) for row in rows)
    return f"<h2>{escape(title)}</h2><table><tr>{head}{body}</table>"


def _words(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return _moment(value.timestamp())
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return "–" if value is None else str(value)


def _cell(row: dict[str, Any], name: str, link: str) -> str:
    value = row[name]
    is_time = name in ("created", "first_seen", "last_seen", "published", "closed", "expires")
    if is_time and isinstance(value, float):
        value = _moment(value) if value else None
    text = escape(_words(value))
    return f"<a href='{escape(names.reference(row['page']))}'>{text}</a>" if name == link and row["page"] else text


def _head(title: str) -> str:
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _plain(name: str) -> str:
    """A file's name without what leads elsewhere when it is unpacked."""
    kept = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name).strip(". ")
    return kept[-100:] or "file"
