"""How quick a large archive is: made, paged, searched, shown and exported.

    python -m tests.bench.history [--messages 10000000] [--database postgresql://…] [--home FOLDER] [--json FILE]

A made-up archive (`manage.py archive_fill`) goes through the ledger's writer; then a node is started on it and asked
as clients, people and officers ask. A folder that is named is kept, and filled only when it is new. Times are those of
who asks: the page of a query from its first byte to the last, a page of the console by HTTP, the archive page until
Chromium has loaded all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import http.cookiejar
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from playwright.sync_api import sync_playwright

from tests.bench.client import PASSWORD, Session, connect
from tests.bench.load import percentile
from tests.browser import ARGUMENTS
from tests.live import ROOT, LiveNode, User

Progress = Callable[[str], None]
DAYS = 730
_ASKED = 100
#: Who asks, by rank: somebody with a hundred times the messages of others, and people of the middle. Some ranks are
#: people of other servers: then the next one asks.
_RANKS = (0, 10, 100, 500)
#: Words that are frequent, some that are rarer, two that occur together, and one that nobody wrote.
_WORDS = ("the", "meeting", "bridge report", "東京", "погода", '"good morning"', "harbour", "weath*", "nowherefound")
_DEPTH = 60
_EXPORTED = 10_000


def fill(node: LiveNode, messages: int, progress: Progress) -> dict[str, float]:
    """Fill the archive of a node that does not run; returns the rate and what a message takes on disk."""
    command = [sys.executable, "manage.py", "archive_fill", "--messages", str(messages), "--days", str(DAYS)]
    command += ["--people", str(max(600, min(messages // 500, 20_000))), "--rooms", str(max(20, messages // 20_000))]
    process = subprocess.Popen(
        command, cwd=ROOT, env=node.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        progress(line.strip())
    assert process.stdout is not None
    said = process.stdout.read()
    if process.wait():
        raise RuntimeError(f"archive_fill failed: {said}")
    progress(said.strip())
    found = re.search(r"of (\d+) bytes .*?: ([\d,]+) rows/s", said)
    assert found is not None, said
    return {"append, rows per second": float(found[2].replace(",", "")), "bytes of a stanza": float(found[1])}


def sizes(node: LiveNode) -> dict[str, float]:
    """Bytes that a message takes on disk: the row itself, and all that makes finding it quick."""
    code = (
        "from tests.bench.sizes import sizes; from django.db import connection; import json;"
        "print(json.dumps(sizes(connection)))"
    )
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=node.environment(), capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {
        "bytes of a row on disk": found["rows"] / found["messages"],
        "bytes of its indexes on disk": found["indexes"] / found["messages"],
    }


def chosen(node: LiveNode) -> list[str]:
    """The local parts of who asks."""
    code = f"""
from archive.query import bounds
from django.db import connection
from mlink_web.accounts.models import Account
for rank in {_RANKS}:
    names = [f"p{{number:05d}}@{node.domain}" for number in range(rank, rank + 10)]
    numbers = dict(Account.objects.filter(username__in=names).values_list("username", "pk"))
    print(next(name for name in names if name in numbers and bounds(connection, numbers[name])))
"""
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=node.environment(), capture_output=True, text=True, check=True)
    return [line.partition("@")[0] for line in done.stdout.split()]


async def queries(node: LiveNode, people: list[str], progress: Progress) -> dict[str, float]:
    """95th percentiles of MAM pages of 50, in milliseconds, over four people of very different archives."""
    random = Random(7)
    times: dict[str, list[float]] = {}
    for name in people:
        session = Session(name, stream_management=False, conversing=True)
        session.resource = "history"
        await connect(session, node.c2s_port)
        try:
            await ask(session, "", "<before/>")  # the account becomes resident
            newest = await ask(session, "", "<before/>")
            peers = sorted({peer for peer in newest.peers if not peer.startswith(name)})
            ids = newest.ids
            for asked in range(_ASKED):
                when = datetime.now(UTC) - timedelta(days=random.uniform(1, DAYS))
                start = f"<field var='start'><value>{when:%Y-%m-%dT%H:%M:%SZ}</value></field>"
                contact = f"<field var='with'><value>{random.choice(peers)}</value></field>"
                word = (
                    f"<field var='{{urn:xmpp:fulltext:0}}fulltext'><value>{_WORDS[asked % len(_WORDS)]}</value></field>"
                )
                for kind, fields, place in (
                    ("newest", "", "<before/>"),
                    ("by contact", contact, "<before/>"),
                    ("by time", start, ""),
                    ("by id", "", f"<before>{random.choice(ids)}</before>"),
                    ("by word", word, "<before/>"),
                ):
                    answer = await ask(session, fields, place)
                    times.setdefault(kind, []).append(answer.ms)
                    if kind == "by time" and answer.ids:
                        ids = [*ids[-200:], answer.ids[-1]]
            await ask(session, "", "", limit=0)
            for _ in range(20):
                times.setdefault("count", []).append((await ask(session, "", "", limit=0)).ms)
        finally:
            await session.close()
    found = {f"MAM, {kind}, p95 ms": percentile(values, 0.95) for kind, values in times.items()}
    progress(", ".join(f"{name} {value:.1f}" for name, value in found.items()))
    return found


class Answer:
    """A page: milliseconds, ids and who is named in it."""

    def __init__(self, ms: float, text: bytes) -> None:
        self.ms = ms
        self.ids = [found.decode() for found in re.findall(rb"<result [^>]*\bid=['\"]([^'\"]+)['\"]", text)]
        self.peers = [found.decode() for found in re.findall(rb" (?:to|from)='([^'/@]+@[^'/]+)", text)]


_number = iter(range(1, 1 << 30))


async def ask(session: Session, fields: str, place: str, limit: int = 50) -> Answer:
    """A page of the archive; raises RuntimeError where it is refused."""
    id = f"h{next(_number)}"
    form = (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value>"
        f"</field>{fields}</x>"
    )
    rsm = f"<set xmlns='http://jabber.org/protocol/rsm'><max>{limit}</max>{place}</set>"
    begun = time.perf_counter()
    text = await session.ask(
        f"<iq type='set' id='{id}'><query xmlns='urn:xmpp:mam:2'>{form}{rsm}</query></iq>".encode(),
        b"</fin>",
        b"type='error'",
        b'type="error"',
    )
    ms = (time.perf_counter() - begun) * 1e3
    if b"<error" in text:
        raise RuntimeError(f"the query {fields}{place} was refused: {text[-400:]!r}")
    return Answer(ms, text)


class Console:
    """Somebody signed in to the pages, without a browser."""

    def __init__(self, node: LiveNode, user: User) -> None:
        self.node = node
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        self.get("/accounts/sign-in/")
        token = next(cookie.value for cookie in self._jar if cookie.name == "csrftoken")
        values = {"username": user.jid, "password": user.password, "csrfmiddlewaretoken": token}
        request = urllib.request.Request(
            f"{node.url}/accounts/sign-in/", urllib.parse.urlencode(values).encode(), {"Referer": node.url}
        )
        self._opener.open(request, timeout=60).read()
        assert any(cookie.name == "sessionid" for cookie in self._jar), "sign-in failed"

    @property
    def cookies(self) -> list[dict[str, str]]:
        """For a browser."""
        return [{"name": cookie.name, "value": cookie.value or "", "url": self.node.url} for cookie in self._jar]

    def get(self, path: str) -> tuple[float, str]:
        """Milliseconds and text of a page."""
        begun = time.perf_counter()
        with self._opener.open(f"{self.node.url}{path}", timeout=120) as answer:
            text = answer.read().decode()
        return (time.perf_counter() - begun) * 1e3, text


def searches(console: Console, progress: Progress) -> dict[str, float]:
    """An officer's searches over everything, and paging deep into one of them."""
    times: list[float] = []
    for turn in range(4):
        for words in _WORDS:
            ms, text = console.get(f"/admin/archive/?{urllib.parse.urlencode({'words': words})}")
            if turn:
                times.append(ms)
            else:
                progress(f"officer: {words!r} {ms:.0f} ms, {len(text):,} bytes")
    path = f"/admin/archive/?{urllib.parse.urlencode({'words': 'the'})}"
    deep: list[float] = []
    for _ in range(_DEPTH):
        ms, text = console.get(path)
        deep.append(ms)
        older = re.search(r'<a[^>]*rel="next"[^>]*href="([^"]+)"', text) or re.search(
            r'<a[^>]*href="([^"]+)"[^>]*rel="next"', text
        )
        if older is None:
            raise RuntimeError(f"page {len(deep)} of a frequent word has no next one")
        link = older[1].replace("&amp;", "&")
        path = urllib.parse.urljoin("/admin/archive/", link)
    found = {
        "officer's word search, p95 ms": percentile(times, 0.95),
        "officer's first ten pages, p95 ms": percentile(deep[:10], 0.95),
        f"officer's pages up to {_DEPTH}, last ten, p95 ms": percentile(deep[-10:], 0.95),
    }
    progress(", ".join(f"{name} {value:.0f}" for name, value in found.items()))
    return found


def browsing(node: LiveNode, people: list[User], progress: Progress) -> dict[str, float]:
    """The archive page in Chromium, until everything is loaded."""
    times: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for user in people:
            context = browser.new_context()
            context.add_cookies(Console(node, user).cookies)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(f"{node.url}/archive/")
            links = [link.get_attribute("href") or "" for link in page.locator("a[href*='peer=']").all()[:5]]
            paths = ["/archive/", *(link.partition("#")[0] for link in links), "/archive/?words=meeting"]
            for turn in range(4):
                for path in paths:
                    page.goto(f"{node.url}{path}", wait_until="load")
                    ms = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventStart")
                    if turn:
                        times.append(ms)
            context.close()
        browser.close()
    found = {"archive page in Chromium, median ms": percentile(times, 0.5)}
    found["archive page in Chromium, p95 ms"] = percentile(times, 0.95)
    progress(", ".join(f"{name} {value:.0f}" for name, value in found.items()))
    return found


def export(node: LiveNode, messages: int, progress: Progress) -> dict[str, float]:
    """A PDF/A of about _EXPORTED messages, by the command and in its process: seconds and the most memory it had."""
    file = node.home / "export.pdf"
    file.unlink(missing_ok=True)
    end = datetime.now(UTC) - timedelta(days=2)
    start = end - timedelta(days=_EXPORTED * DAYS / messages)
    code = f"""
import re, time
from pathlib import Path
from django.core.management import call_command
begun = time.perf_counter()
call_command("xmppctl", "archive", "export", {str(file)!r}, "--reason", "a measure",
             "--start", "{start:%Y-%m-%dT%H:%M:%S}", "--end", "{end:%Y-%m-%dT%H:%M:%S}")
most = re.search("VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1]
print(time.perf_counter() - begun, int(most) / 1024)
"""
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=node.environment(), capture_output=True, text=True, check=False)
    if done.returncode or not file.exists():
        raise RuntimeError(f"the export failed: {done.stdout[-500:]}{done.stderr[-1500:]}")
    seconds, megabytes = (float(part) for part in done.stdout.split()[-2:])
    progress(f"{done.stdout.splitlines()[0]} {seconds:.1f} s, {megabytes:.0f} MB, {file.stat().st_size:,} bytes")
    return {f"PDF/A of about {_EXPORTED:,} messages, s": seconds, f"PDF/A of about {_EXPORTED:,}, MB": megabytes}


def measured(messages: int, progress: Progress, database: str = "", home: str = "") -> Iterator[dict[str, float]]:
    """All measures, one group after the other."""
    node = LiveNode(**({"MLINK_DATABASE_URL": database} if database else {}))
    kept = bool(home)
    if kept:
        shutil.rmtree(node.home)
        node.home = Path(home)
        node.home.mkdir(parents=True, exist_ok=True)
    fresh = not (node.home / "filled").exists()
    try:
        if fresh:
            node.start()
            node.stop()
            yield fill(node, messages, progress)
            (node.home / "filled").write_text(node.admin_password)
        node.admin_password = (node.home / "filled").read_text()
        yield sizes(node)
        node.start()
        names = chosen(node)
        people = [User(f"{name}@{node.domain}", PASSWORD) for name in names]
        for user in people:
            node.ctl("user", "password", user.jid, "--password", PASSWORD)
        yield asyncio.run(queries(node, names, progress))
        yield searches(Console(node, node.admin), progress)
        yield browsing(node, people, progress)
        yield export(node, messages, progress)
    finally:
        if kept:
            node.stop()
        else:
            node.remove()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="tests.bench.history", description="Measure a large archive.")
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--database", default="", help="the address of an empty PostgreSQL database; without: SQLite")
    parser.add_argument("--home", default="", help="a folder that is kept")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, float] = {}
    for group in measured(arguments.messages, print, arguments.database, arguments.home):
        found.update(group)
    for name, value in found.items():
        print(f"| {name} | {value:,.1f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
