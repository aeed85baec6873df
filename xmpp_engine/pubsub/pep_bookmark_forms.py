"""Bookmarks of rooms in their two forms: one item each (XEP-0402), and one list of all (XEP-0048).

    <conference xmlns='urn:xmpp:bookmarks:1' name autojoin>             item id: the room
      <nick/> <password/> <extensions> anything </extensions>

    <storage xmlns='storage:bookmarks'>
      <conference jid name autojoin> <nick/> <password/> anything </conference>
      <url/>

Nothing here waits or knows of a store. The list is made of the items; what an old client writes is compared with the
items that are there. Old clients drop what they do not know when they write the list anew, so what a list does not
speak of (extensions) stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from xmpp_engine.addressing.jid import Jid, JidError
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

#: Native bookmarks by the bare JID of their room.
Bookmarks = dict[str, Element]


def native(conference: Element) -> tuple[str, Element] | None:
    """(room, native bookmark) of an entry of the list; None where it names no room."""
    try:
        jid = Jid.parse((conference.get("jid") or "").strip())
    except JidError:
        return None
    bookmark = Element(ns.BOOKMARKS, "conference")
    if conference.get("name"):
        bookmark.attrs["name"] = conference.attrs["name"]
    if is_true(conference.get("autojoin")):
        bookmark.attrs["autojoin"] = "true"
    nick = conference.child_text(ns.BOOKMARKS_1, "nick") or jid.resource
    password = conference.child_text(ns.BOOKMARKS_1, "password")
    if nick:
        bookmark.add(ns.BOOKMARKS, "nick", text=nick)
    if password:
        bookmark.add(ns.BOOKMARKS, "password", text=password)
    foreign = [child.copy() for child in conference.elements() if child.ns != ns.BOOKMARKS_1]
    if foreign:
        bookmark.append(Element(ns.BOOKMARKS, "extensions", None, *foreign))
    return jid.bare, bookmark


def listed(room: str, bookmark: Element) -> Element:
    """The entry of the list for a native bookmark."""
    entry = Element(ns.BOOKMARKS_1, "conference", {"jid": room})
    if bookmark.get("name") is not None:
        entry.attrs["name"] = bookmark.attrs["name"]
    entry.attrs["autojoin"] = "true" if is_true(bookmark.get("autojoin")) else "false"
    for name in ("nick", "password"):
        text = bookmark.child_text(ns.BOOKMARKS, name)
        if text:
            entry.add(ns.BOOKMARKS_1, name, text=text)
    for child in _extensions(bookmark):
        entry.append(child.copy())
    return entry


def storage(bookmarks: Mapping[str, Element], rest: Iterable[Element] = ()) -> Element:
    """The whole list: a native bookmark each, and `rest`, what has no native form (addresses of pages)."""
    whole = Element(ns.BOOKMARKS_1, "storage")
    for room, bookmark in bookmarks.items():
        whole.append(listed(room, bookmark))
    for child in rest:
        whole.append(child)
    return whole


def split(whole: Element) -> tuple[Bookmarks, list[Element]]:
    """The native bookmarks of a list and what of it has no native form. Of two entries for a room the later counts."""
    bookmarks: Bookmarks = {}
    rest: list[Element] = []
    for child in whole.elements():
        found = native(child) if (child.ns, child.name) == (ns.BOOKMARKS_1, "conference") else None
        if found is None:
            rest.append(child)
        else:
            bookmarks[found[0]] = found[1]
    return bookmarks, rest


def merged(wanted: Element, present: Element | None) -> Element:
    """What an old client wants of a bookmark, with what of the present one it could not say."""
    if present is None:
        return wanted
    named = {(child.ns, child.name) for child in _extensions(wanted)}
    kept = [child.copy() for child in _extensions(present) if (child.ns, child.name) not in named]
    result = wanted.copy()
    if kept:
        extensions = result.find(ns.BOOKMARKS, "extensions")
        if extensions is None:
            extensions = result.add(ns.BOOKMARKS, "extensions")
        extensions.children = [*kept, *extensions.children]
    return result


def changes(present: Mapping[str, Element], wanted: Mapping[str, Element]) -> tuple[Bookmarks, list[str]]:
    """What has to be published and what retracted so that the bookmarks become those that a list wants. What is the
    same already is in neither."""
    put: Bookmarks = {}
    for room, bookmark in wanted.items():
        old = present.get(room)
        new = merged(bookmark, old)
        if old is None or not same(old, new):
            put[room] = new
    return put, [room for room in present if room not in wanted]


def same(one: Element, other: Element) -> bool:
    """Whether two native bookmarks say the same, however they spell it."""
    return _meaning(one) == _meaning(other)


def is_true(text: str | None) -> bool:
    """A boolean of XML Schema."""
    return text is not None and text.strip() in ("1", "true")


def _extensions(bookmark: Element) -> list[Element]:
    extensions = bookmark.find(ns.BOOKMARKS, "extensions")
    return [] if extensions is None else list(extensions.elements())


def _meaning(bookmark: Element) -> tuple[object, ...]:
    return (
        bookmark.get("name") or "",
        is_true(bookmark.get("autojoin")),
        bookmark.child_text(ns.BOOKMARKS, "nick") or "",
        bookmark.child_text(ns.BOOKMARKS, "password") or "",
        _extensions(bookmark),
    )
