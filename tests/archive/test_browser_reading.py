"""Reading the archive in a real browser: keys, the list while one types, messages that come while one scrolls, the
chart by pointer and keys, links, ticked messages as a file; and all of it without script."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from archive import ids
from tests.live import LiveNode, User
from tests.web.test_browser_navigation import FAULTS

pytestmark = pytest.mark.slow
#: Makes ids of the same time differ.
NUMBERS = count()
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def history(node: LiveNode, ada: User, messages: list[tuple[datetime, str, str]]) -> None:
    """Archive messages of earlier days: (when, from whom, text)."""
    database = sqlite3.connect(node.home / "mlink.sqlite3", timeout=20)
    with database:
        local, _, domain = ada.jid.partition("@")
        (account,) = database.execute(
            "SELECT a.id FROM accounts_account a JOIN conf_domain d ON d.id = a.domain_id"
            " WHERE a.local = ? AND d.name = ?",
            (local, domain),
        ).fetchone()
        for when, peer, text in messages:
            id = ids.first_at(when.timestamp()) + next(NUMBERS)
            xml = f"<message from='{peer}/r' type='chat' to='{ada.jid}'><body>{text}</body></message>"
            database.execute(
                "INSERT INTO archive_message (id, sender, recipient, recipient_account, kind, search, origin_id, xml)"
                " VALUES (?, ?, ?, ?, 'chat', ?, '', ?)",
                (id, peer, ada.jid, account, text, xml),
            )
            database.execute("INSERT INTO archive_slice (low, high, size) VALUES (?, ?, 1)", (id, id))
    database.close()


@pytest.fixture
def reader(live_node: LiveNode) -> User:
    """Somebody with a long conversation with tilda, and short ones with others, on days of the last month."""
    ada = live_node.add_user("ada")
    long = [(NOW - timedelta(days=30) + timedelta(minutes=5 * n), "tilda@far.example", f"line {n}") for n in range(620)]
    short = [
        (NOW - timedelta(days=n, hours=1), f"person{n}@far.example", f"hello from person {n}") for n in range(1, 12)
    ]
    history(live_node, ada, sorted([*long, *short]))
    return ada


def talk(peer: str = "tilda@far.example", **query: str) -> str:
    return f"/archive/?peer={peer.replace('@', '%40')}" + "".join(f"&{name}={value}" for name, value in query.items())


def line(page: Any, text: str) -> Any:
    """A message with this text."""
    return page.locator("#stretch").get_by_text(text, exact=True)


def texts(page: Any) -> list[str]:
    found: list[str] = page.locator(".bubble .body").all_inner_texts()
    return found


def at_rest(page: Any) -> None:
    """Wait until the page has gone to its end, as it does by itself."""
    line(page, "line 619").wait_for()
    page.wait_for_function("() => document.getElementById('stretch').scrollTop > 0")


def test_older_messages_come_while_one_reads_and_the_page_stays_small(reader: User, visit: Callable[..., Any]) -> None:
    page = visit(reader, talk())
    at_rest(page)
    seen = 0
    while not line(page, "line 0").count():
        first = texts(page)[0]
        page.locator("#stretch").evaluate("node => { node.scrollTop = 0 }")
        page.wait_for_function("first => document.querySelector('.bubble .body').innerText !== first", arg=first)
        # What was being read has not moved away.
        assert line(page, first).count() == 1
        shown = texts(page)
        numbers = [int(text.split()[1]) for text in shown]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert len(shown) <= 400
        seen = max(seen, len(shown))
    assert seen > 300
    assert not line(page, "line 619").count()
    # And back again.
    while not line(page, "line 619").count():
        last = texts(page)[-1]
        page.locator("#stretch").evaluate("node => { node.scrollTop = node.scrollHeight }")
        page.wait_for_function(
            "last => [...document.querySelectorAll('.bubble .body')].at(-1).innerText !== last", arg=last
        )
    assert len(page.evaluate("[...new Set([...document.querySelectorAll('.bubble')].map(each => each.id))]")) == len(
        texts(page)
    )


def test_a_lost_connection_is_told_and_can_be_tried_again(reader: User, visit: Callable[..., Any]) -> None:
    visit.expected.append("ERR_")  # type: ignore[attr-defined]
    page = visit(reader, talk())
    at_rest(page)
    page.route("**/*part=1*", lambda route: route.abort())
    page.locator("#stretch").evaluate("node => { node.scrollTop = 0 }")
    again = page.get_by_role("link", name="That did not work. Try again")
    again.wait_for()
    page.unroute("**/*part=1*")
    again.click()
    line(page, "line 530").wait_for()


def test_keys_go_from_message_to_message_and_to_the_search(reader: User, visit: Callable[..., Any]) -> None:
    page = visit(reader, talk())
    line(page, "line 619").wait_for()
    line(page, "line 619").scroll_into_view_if_needed()
    focused = "document.activeElement.querySelector('.body')?.innerText"
    page.keyboard.press("k")
    assert page.evaluate(focused) == "line 619"
    page.keyboard.press("k")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == "line 617"
    page.keyboard.press("j")
    assert page.evaluate(focused) == "line 618"
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "id_words"
    page.keyboard.type("61*")
    page.keyboard.press("Enter")
    page.locator(".hit").first.wait_for()
    assert page.locator(".hit .body").first.inner_text() == "line 619"
    assert page.locator("mark").first.inner_text().startswith("61")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.locator(".bubble.target").wait_for()
    assert page.evaluate(focused) == "line 618"
    page.get_by_role("link", name="Back to the results").click()
    assert page.locator(".hit").count() == 11


def test_a_link_to_a_message_is_copied_and_leads_there(
    reader: User, visit: Callable[..., Any], live_node: LiveNode
) -> None:
    page = visit(reader, talk(), permissions=["clipboard-read", "clipboard-write"])
    line(page, "line 600").hover()
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(rf"{re.escape(live_node.url)}/archive/m/[0-9a-f]{{16}}/", link)
    page.goto(link)
    target = page.locator(".bubble.target")
    assert target.locator(".body").inner_text() == "line 600"
    assert target.evaluate("node => node === document.activeElement")


def test_the_list_filters_while_one_types(reader: User, visit: Callable[..., Any]) -> None:
    page = visit(reader, "/archive/")
    page.locator("#people[role=listbox]").wait_for()
    page.keyboard.press("c")
    box = page.get_by_role("combobox", name="Name or address contains")
    assert box.evaluate("node => node === document.activeElement")
    page.keyboard.type("PERSON1")
    options = page.get_by_role("option")
    page.get_by_text("3 conversations found").wait_for(state="attached")
    assert options.count() == 3
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    active = box.get_attribute("aria-activedescendant")
    assert "person10" in page.locator(f"#{active}").inner_text()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="person10@far.example").wait_for()
    assert page.locator("#people [aria-selected=true]").inner_text().startswith("person10")


def test_the_chart_narrows_by_drag_and_by_keys(reader: User, visit: Callable[..., Any]) -> None:
    page = visit(reader, "/archive/?words=person", timezone_id="UTC")
    page.get_by_text("11 hits").wait_for()
    drawing = page.locator(".chart svg").first
    area = drawing.bounding_box()
    bars = page.locator(".chart svg a").count()
    assert bars == 11
    place = area["width"] / bars
    page.mouse.move(area["x"] + 1.5 * place, area["y"] + 20)
    page.mouse.down()
    page.mouse.move(area["x"] + 3.5 * place, area["y"] + 20, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("start=.*end="))
    assert page.locator(".hit").count() == 3
    page.get_by_role("link", name="All time").click()
    chart = page.get_by_role("group", name="Activity per day")
    chart.focus()
    page.keyboard.press("End")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("start=.*end="))
    assert page.locator(".hit").count() == 2
    # The same for who neither sees nor points.
    page.get_by_text("As a list").click()
    page.locator(".chart-list li a").first.click()
    page.wait_for_url(re.compile("start=([^&]*)&end=\\1"))
    assert page.locator(".hit").count() == 1


def test_ticked_messages_become_a_file(reader: User, visit: Callable[..., Any]) -> None:
    page = visit(reader, talk(start="2000-01-01"))
    page.get_by_role("link", name="Select").click()
    page.get_by_text("Tick the messages that you want in a file.").wait_for()
    page.locator(".bubble", has_text="line 619").locator(".pick").click()
    page.locator(".bubble", has_text="line 617").locator(".pick").click()
    page.get_by_text("2 ticked").wait_for()
    page.get_by_role("button", name="Save what is ticked").click()
    page.get_by_text("The 2 that you ticked").wait_for()
    page.get_by_label("JSON lines").check()
    page.get_by_role("button", name="Make the file").click()
    download = page.get_by_role("link", name=re.compile("Download"))
    download.wait_for(timeout=60_000)
    with page.expect_download() as waiting:
        download.click()
    text = waiting.value.path().read_text()
    assert "line 617" in text
    assert "line 619" in text
    assert "line 618" not in text
    page.goto(page.url.partition("/jobs/")[0] + "/archive/saved/")
    assert page.get_by_role("row").count() >= 2


def test_without_script(reader: User, visit: Callable[..., Any]) -> None:
    page = visit(reader, "/archive/", java_script_enabled=False)
    page.get_by_label("Name or address contains").fill("person1")
    page.get_by_role("button", name="Find").click()
    assert page.locator("#people a").count() == 3
    page.get_by_role("link", name="person11@far.example").click()
    assert texts(page) == ["hello from person 11"]
    page.goto(page.url.partition("/archive/")[0] + talk())
    page.get_by_role("link", name="Older messages").click()
    assert "line 569" in texts(page)
    page.locator(".bubble .stamp").first.click()
    assert page.locator(".bubble.target .body").inner_text() == "line 520"
    page.get_by_text("As a list").click()
    page.locator(".chart-list li a").first.click()
    assert "start=" in page.url


def test_on_paper_there_are_only_the_messages(reader: User, visit: Callable[..., Any]) -> None:
    page = visit(reader, talk())
    line(page, "line 619").scroll_into_view_if_needed()
    page.get_by_role("link", name="Print").click()
    page.get_by_role("button", name="Print").wait_for()
    assert page.locator(".transcript .body").count() == 620
    page.emulate_media(media="print")
    assert not page.locator(".bar").is_visible()
    assert not page.get_by_role("button", name="Print").is_visible()
    assert page.get_by_role("heading", name="tilda@far.example").is_visible()
    page.go_back()
    for away in (".bar", ".contacts", ".archive-search", ".chart", ".page-link a"):
        assert not page.locator(away).first.is_visible(), away
    assert page.get_by_role("heading", name="tilda@far.example").is_visible()
    # Nothing of it is cut off by a part that scrolls.
    assert page.locator("#stretch").evaluate("node => node.scrollHeight <= node.clientHeight + 1")


def test_nothing_is_without_a_name(reader: User, visit: Callable[..., Any]) -> None:
    page = visit(reader, "/archive/", viewport={"width": 360, "height": 740})
    start = page.url.partition("/archive/")[0]
    titles = set()
    paths = (
        talk(),
        talk(view="files"),
        "/archive/?words=person",
        talk(print="1"),
        "/archive/saved/",
        "/archive/save/?words=line",
    )
    for path in paths:
        page.goto(start + path)
        page.locator("h1").wait_for(state="attached")
        assert page.evaluate(FAULTS) == [], path
        titles.add(page.title())
    page.goto(start + talk(select="1"))
    page.get_by_text("Tick the messages").wait_for()
    assert page.evaluate(FAULTS) == []
    assert len(titles) == len(paths)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_sticks_out(reader: User, visit: Callable[..., Any], scheme: str) -> None:
    size = {"width": 360, "height": 740}
    page = visit(reader, "/archive/", viewport=size, color_scheme=scheme, has_touch=True)
    page.get_by_role("option", name="tilda").click()
    line(page, "line 619").wait_for()
    inside = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(inside)
    page.get_by_role("link", name="Files").click()
    page.get_by_text("No files were shared").wait_for()
    assert page.evaluate(inside)
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_label("Words").fill("line 61")
    page.get_by_role("button", name="Search here").click()
    page.locator(".hit").first.wait_for()
    assert page.evaluate(inside)
    page.get_by_role("link", name="All conversations", exact=True).click()
    page.locator("#people").wait_for()
