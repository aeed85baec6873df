"""XEP-0363: who gets a slot, for what, and what the service says."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from tests.story import Client, Story
from xmpp_engine.modules.upload import Upload, UploadOptions, authorises, file_name, media_type
from xmpp_engine.storage.uploads import DAY, UploadRow
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

SERVICE = "upload.story.example"
ERRORS = f"xmlns='{ns.STANZA_ERRORS}'"


async def begin(story: Story, **options: object) -> None:
    await story.begin(options={"upload": options}, public_url="https://files.example")


def request(inside: str = "", id: str = "r", **attrs: object) -> str:
    values = {"filename": "hi.jpg", "size": 1000, "content-type": "image/jpeg"}
    values |= {name.replace("_", "-"): value for name, value in attrs.items()}
    text = " ".join(f'{name}="{value}"' for name, value in values.items() if value is not None)
    return f"<iq type='get' id='{id}' to='{SERVICE}'><request xmlns='{ns.UPLOAD}' {text}>{inside}</request></iq>"


def condition(answer: Element) -> str:
    assert answer.get("type") == "error"
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    return next(child.name for child in error.elements() if child.ns == ns.STANZA_ERRORS)


def of_error(answer: Element, name: str) -> Element | None:
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    return error.find(ns.UPLOAD, name)


async def slot(story: Story, client: Client, *arguments: str, **attrs: object) -> tuple[str, str, UploadRow]:
    """(address, Authorization, row) of a slot that must be given."""
    answer = await client.asks(request(*arguments, **attrs))
    given = answer.find(ns.UPLOAD, "slot")
    assert given is not None, answer
    put, get = given.find(ns.UPLOAD, "put"), given.find(ns.UPLOAD, "get")
    assert put is not None
    assert get is not None
    headers = list(put.find_all(ns.UPLOAD, "header"))
    assert [header.get("name") for header in headers] == ["Authorization"]
    url = get.get("url")
    assert url is not None
    assert url == put.get("url")
    row = await story.world.stores.uploads.get(urlsplit(url).path.split("/")[-2])
    assert row is not None
    return url, headers[0].text, row


async def test_the_service_is_found_and_says_its_limit(story: Story) -> None:
    await begin(story, max_file_size=5000)
    alice = await story("alice")
    items = await alice.asks(f"<iq type='get' id='i' to='story.example'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    assert SERVICE in [item.get("jid") for item in items.first().elements()]  # type: ignore[union-attr]
    alice.send(f"<iq type='get' id='d' to='{SERVICE}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    await alice.receives(
        f"<iq type='result' from='{SERVICE}'><query xmlns='{ns.DISCO_INFO}'>"
        f"<identity category='store' type='file'/><feature var='{ns.UPLOAD}'/>"
        f"<feature var='{ns.UPLOAD_PURPOSE}#ephemeral'/><feature var='{ns.UPLOAD_PURPOSE}#profile'/>"
        f"<x xmlns='{ns.DATA_FORMS}' type='result'>"
        f"<field var='FORM_TYPE' type='hidden'><value>{ns.UPLOAD}</value></field>"
        f"<field var='max-file-size'><value>5000</value></field></x></query></iq>"
    )


async def test_a_slot(story: Story) -> None:
    await begin(story)
    alice = await story("alice")
    url, authorization, row = await slot(story, alice, filename="très cool.jpg", content_type="Image/JPEG; q=1")
    assert url.startswith("https://files.example/upload/")
    assert url.endswith("/tr%C3%A8s%20cool.jpg")
    assert url.isascii()
    assert (row.owner, row.name, row.size) == (alice.bare, "très cool.jpg", 1000)
    assert (row.content_type, row.purpose, row.state) == ("image/jpeg", "message", "slot")
    now = story.world.clock.time()
    assert row.put_until == pytest.approx(now + 300, abs=1)
    assert row.expires == pytest.approx(now + 30 * DAY, abs=1)
    assert authorises(authorization, row)
    assert not authorises(authorization + "x", row)
    assert not authorises("", row)
    assert not authorises(authorization.replace("Bearer", "Basic"), row)
    other, second, _row = await slot(story, alice)
    assert other != url
    assert second != authorization


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({"filename": None}, "bad-request"),
        ({"filename": ""}, "bad-request"),
        ({"filename": "a/"}, "bad-request"),
        ({"size": None}, "bad-request"),
        ({"size": "0"}, "bad-request"),
        ({"size": "-1"}, "bad-request"),
        ({"size": "1e3"}, "bad-request"),
        ({"size": "١"}, "bad-request"),
        ({"size": "9" * 40}, "bad-request"),
        ({"size": 5001}, "not-acceptable"),
        ({"content_type": "image"}, "bad-request"),
        ({"content_type": "image/jp eg"}, "bad-request"),
        ({"content_type": "text/html"}, "not-acceptable"),
        ({"content_type": "image/tiff"}, "not-acceptable"),
    ],
)
async def test_what_is_refused(story: Story, attrs: dict[str, object], expected: str) -> None:
    await begin(story, max_file_size=5000, allowed=("image/*", "application/octet-stream"), denied=("image/tiff",))
    alice = await story("alice")
    assert condition(await alice.asks(request(**attrs))) == expected


async def test_a_file_that_is_too_large(story: Story) -> None:
    await begin(story, max_file_size=5000)
    alice = await story("alice")
    answer = await alice.asks(request(size=5001))
    large = of_error(answer, "file-too-large")
    assert large is not None
    assert large.child_text(ns.UPLOAD, "max-file-size") == "5000"


async def test_a_full_quota_says_when_to_come_again(story: Story) -> None:
    await begin(story, day_bytes=1500)
    alice = await story("alice")
    _url, _authorization, row = await slot(story, alice)
    answer = await alice.asks(request())
    assert condition(answer) == "resource-constraint"
    retry = of_error(answer, "retry")
    assert retry is not None
    assert (retry.get("stamp") or "").endswith("Z")
    # A slot that was never used gives its room back.
    story.world.clock.advance(row.put_until - story.world.clock.time() + 1)
    await slot(story, alice)


async def test_purposes(story: Story) -> None:
    await begin(story, profile_file_size=2000, profile_keep_days=0)
    alice = await story("alice")
    space = f"xmlns='{ns.UPLOAD_PURPOSE}'"
    _url, _secret, row = await slot(story, alice, f"<profile {space}/>")
    assert (row.purpose, row.expires) == ("profile", 0.0)
    assert condition(await alice.asks(request(f"<profile {space}/>", size=2001))) == "not-acceptable"
    _url, _secret, row = await slot(story, alice, f"<message {space}/>")
    assert row.purpose == "message"
    assert condition(await alice.asks(request(f"<permanent {space}/>"))) == "feature-not-implemented"
    assert condition(await alice.asks(request(f"<ephemeral {space}/>"))) == "bad-request"
    assert condition(await alice.asks(request(f"<message {space}/><profile {space}/>"))) == "bad-request"
    past = "1970-01-01T00:00:00Z"
    assert condition(await alice.asks(request(f"<ephemeral {space} expire-before='{past}'/>"))) == "bad-request"


async def test_an_ephemeral_file_ends_when_it_was_said(story: Story) -> None:
    from xmpp_engine.stanza.build import timestamp

    await begin(story)
    alice = await story("alice")
    end = int(story.world.clock.time()) + 3600
    element = f"<ephemeral xmlns='{ns.UPLOAD_PURPOSE}' expire-before='{timestamp(end)}'/>"
    _url, _secret, row = await slot(story, alice, element)
    assert (row.purpose, row.expires) == ("ephemeral", end)
    far = end + 90 * DAY
    element = f"<ephemeral xmlns='{ns.UPLOAD_PURPOSE}' expire-before='{timestamp(far)}'/>"
    _url, _secret, row = await slot(story, alice, element)
    assert row.expires == pytest.approx(story.world.clock.time() + 30 * DAY, abs=1)


async def test_other_domains_get_no_slots(story: Story) -> None:
    await story.begin(domains=("story.example", "other.example"))
    stranger = await story("eve@other.example")
    assert condition(await stranger.asks(request())) == "forbidden"


async def test_a_new_account_waits(story: Story) -> None:
    await begin(story, account_age=3600)
    alice = await story("alice")
    answer = await alice.asks(request())
    assert condition(answer) == "not-allowed"
    assert of_error(answer, "retry") is not None
    story.world.clock.advance(3601)
    await slot(story, alice)


async def test_a_database_that_is_away(story: Story) -> None:
    await begin(story)
    alice = await story("alice")
    story.world.stores.memory.fail_with = "away"
    assert condition(await alice.asks(request())) == "internal-server-error"
    story.world.stores.memory.fail_with = None
    await slot(story, alice)
    assert story.world.module("upload")._running == {}


async def test_a_flood_of_requests_is_bounded(story: Story) -> None:
    await begin(story, slots=100)
    alice = await story("alice")
    alice.send("".join(request(id=f"r{number}") for number in range(30)))
    answers = await alice.receives_all()
    assert len(answers) == 30
    given = sum(answer.get("type") == "result" for answer in answers)
    assert 1 <= given < 30
    assert {condition(answer) for answer in answers if answer.get("type") == "error"} == {"resource-constraint"}


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (f"<iq type='set' id='x' to='{SERVICE}'><request xmlns='{ns.UPLOAD}' filename='a' size='1'/></iq>", None),
        (f"<iq type='get' id='x' to='{SERVICE}'><query xmlns='jabber:iq:version'/></iq>", None),
        (f"<iq type='get' id='x' to='nobody@{SERVICE}'><ping xmlns='{ns.PING}'/></iq>", None),
        (f"<message id='x' to='{SERVICE}'><body>hi</body></message>", None),
        (f"<iq type='get' id='x' to='{SERVICE}'><query xmlns='{ns.DISCO_INFO}' node='n'/></iq>", "item-not-found"),
    ],
)
async def test_everything_else_is_an_error(story: Story, xml: str, expected: str | None) -> None:
    await begin(story)
    alice = await story("alice")
    alice.send(xml)
    (answer,) = await alice.receives_all()
    assert condition(answer) == (expected or "service-unavailable")


async def test_pings_are_answered_and_presence_is_not(story: Story) -> None:
    await begin(story)
    alice = await story("alice")
    alice.send(f"<presence to='{SERVICE}'/><message type='error' to='{SERVICE}'/>")
    await alice.receives_nothing()
    alice.send(f"<iq type='get' id='p' to='{SERVICE}'><ping xmlns='{ns.PING}'/></iq>")
    await alice.receives(f"<iq type='result' id='p' from='{SERVICE}'/>")


async def test_without_http_there_is_no_service(story: Story) -> None:
    await story.begin(extras={"http_base": ""})
    alice = await story("alice")
    assert condition(await alice.asks(request())) == "remote-server-not-found"
    assert isinstance(story.world.module("upload"), Upload)


@pytest.mark.parametrize(
    ("options", "host", "expected"),
    [
        ({}, {}, "http://story.example:8080/upload/"),
        ({}, {"public_url": "chat.example"}, "https://chat.example/upload/"),
        ({}, {"public_url": "http://chat.example:81/im/"}, "http://chat.example:81/im/upload/"),
        ({"url": "https://files.example"}, {"public_url": "chat.example"}, "https://files.example/upload/"),
    ],
)
async def test_where_addresses_begin(
    story: Story, options: dict[str, str], host: dict[str, str], expected: str
) -> None:
    extras = {"http_base": "http://{domain}:8080"}
    await story.begin(options={"upload": options}, extras=extras, **host)
    alice = await story("alice")
    url, _secret, _row = await slot(story, alice)
    assert url.startswith(expected)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("picture.JPG", "picture.JPG"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a b.png", "a b.png"),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        ("tab\tand\nline.txt", "tabandline.txt"),
        ("..", "file"),
        (". . .", "file"),
        (".bashrc", ".bashrc"),
        ("ü" * 300 + ".jpeg", "ü" * 97 + ".jpeg"),
        ("a." + "b" * 300, ("a." + "b" * 300)[:200]),
    ],
)
def test_names(asked: str, given: str) -> None:
    assert file_name(asked) == given
    assert "/" not in unquote(given)
    assert len(given.encode()) <= 200


@pytest.mark.parametrize("text", ["image", "/png", "image/", "a/b/c", "i/" + "x" * 200, "image/pn\u00e9", "a b/c"])
def test_types_that_are_none(text: str) -> None:
    with pytest.raises(StanzaError):
        media_type(text)


@pytest.mark.parametrize(
    "options",
    [{"max_file_size": 0}, {"slots": True}, {"keep_days": -1}, {"allowed": "image/*"}, {"url": "files.example"}],
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="upload"):
        UploadOptions(**options)  # type: ignore[arg-type]


async def test_what_the_end_of_the_node_cut_off_is_free_at_its_start(story: Story) -> None:
    romeo = await story("romeo")
    world = story.world
    module = world.module("upload")
    row = UploadRow("t" * 32, "s", romeo.account.id, romeo.bare, "a", 1, "", "message", 0.0, world.clock.time() + 60)
    await world.stores.uploads.reserve(row, module._limits("message"))
    assert await world.stores.uploads.claim(row.token)
    await module.started()
    assert await world.stores.uploads.claim(row.token)
