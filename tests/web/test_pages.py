"""Landing page, sign-in and sign-out, and what the chat page hands out."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from mlink_web.accounts import scram, services
from mlink_web.accounts.models import Account, SignInToken
from mlink_web.conf.models import Domain
from mlink_web.pages import throttle

PASSWORD = "correct horse"
pytestmark = pytest.mark.django_db
SIGN_IN = "/accounts/sign-in/"


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()


@pytest.fixture
def ada() -> Account:
    """An ordinary user of the first domain."""
    Domain.objects.get_or_create(name="localhost")
    return services.create_account("ada@localhost", PASSWORD)


def sign_in(client: Client, username: str, password: str = PASSWORD, **more: str):
    """Send the sign-in form."""
    return client.post(SIGN_IN, {"username": username, "password": password, **more})


def text(response) -> str:
    """The page as text."""
    return response.content.decode()


def test_landing_says_how_to_connect(client: Client, ada: Account) -> None:
    page = text(client.get("/"))
    for part in ("name@localhost", "5222", "5223", "ws://testserver/xmpp-websocket", "http://testserver/http-bind"):
        assert part in page
    assert reverse("login") in page


def test_landing_hides_a_listener_that_is_off(client: Client, settings, ada: Account) -> None:
    settings.MLINK_C2S_TLS_PORT = 0
    page = text(client.get("/"))
    assert "5222" in page
    assert "Direct TLS" not in page


def test_every_page_has_a_strict_policy(client: Client, ada: Account) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("name", ["ada@localhost", "ada", "ADA@LocalHost", " ada "])
def test_sign_in_takes_address_or_name(client: Client, ada: Account, name: str) -> None:
    response = sign_in(client, name)
    assert response.status_code == 302
    assert response.headers["Location"] == "/chat/"
    assert client.session["_auth_user_id"] == str(ada.pk)


def test_administrators_go_to_the_console(client: Client, ada: Account) -> None:
    services.set_roles(ada, is_staff=True, is_superuser=True)
    assert sign_in(client, "ada").headers["Location"] == "/admin/"


@pytest.mark.parametrize(
    ("name", "password", "sentence"),
    [
        ("ada", "wrong", "The address or the password is wrong"),
        ("nobody", PASSWORD, "The address or the password is wrong"),
        ("", PASSWORD, "Enter your address."),
        ("ada", "", "Enter your password."),
        ("@localhost", PASSWORD, "is not an XMPP address"),
        ("a b@localhost", PASSWORD, "is not an XMPP address"),
        ("ada@localhost/phone", PASSWORD, "is not the address of an account"),
        ("x" * 4000, PASSWORD, "at most"),
    ],
)
def test_sign_in_says_what_is_wrong(client: Client, ada: Account, name: str, password: str, sentence: str) -> None:
    response = sign_in(client, name, password)
    assert response.status_code == 200
    assert sentence in text(response)
    assert "_auth_user_id" not in client.session


def test_disabled_accounts_stay_out_and_are_put_out(client: Client, ada: Account) -> None:
    sign_in(client, "ada")
    assert client.get("/chat/").status_code == 200
    services.disable(ada)
    assert client.get("/chat/").status_code == 302
    assert "The address or the password is wrong" in text(sign_in(client, "ada"))


def test_throttle_closes_after_failures_even_for_the_right_password(client: Client, ada: Account) -> None:
    for _ in range(throttle.PAIR_LIMIT):
        sign_in(client, "ada", "wrong")
    response = sign_in(client, "ada")
    assert "Too many attempts failed. Wait 5 minutes" in text(response)
    assert "_auth_user_id" not in client.session
    other = Client(REMOTE_ADDR="192.0.2.7")
    assert sign_in(other, "ada").status_code == 302, "other addresses are not locked out"


def test_throttle_counts_an_address_over_all_accounts(client: Client, ada: Account) -> None:
    for number in range(throttle.ADDRESS_LIMIT):
        sign_in(client, f"nobody{number}", "wrong")
    assert "Too many attempts failed" in text(sign_in(client, "ada"))


def test_a_right_password_clears_earlier_mistakes(client: Client, ada: Account) -> None:
    for _ in range(3):
        for _ in range(throttle.PAIR_LIMIT - 1):
            sign_in(client, "ada", "wrong")
        assert sign_in(client, "ada").status_code == 302
        client.post("/accounts/sign-out/")


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_next_never_leads_away(client: Client, ada: Account, target: str) -> None:
    assert sign_in(client, "ada", next=target).headers["Location"] == "/chat/"


def test_next_leads_back(client: Client, ada: Account) -> None:
    response = client.get("/chat/")
    assert response.status_code == 302
    assert response.headers["Location"] == f"{SIGN_IN}?next=/chat/"
    assert 'name="next" value="/chat/"' in text(client.get(response.headers["Location"]))
    assert sign_in(client, "ada", next="/archive/?q=x").headers["Location"] == "/archive/?q=x"


def test_sign_in_needs_its_token(ada: Account) -> None:
    client = Client(enforce_csrf_checks=True)
    response = sign_in(client, "ada")
    assert response.status_code == 403
    assert "Please send that once more" in text(response)


def test_sign_out_takes_post_only_and_clears_what_the_browser_stored(client: Client, ada: Account) -> None:
    sign_in(client, "ada")
    assert client.get("/accounts/sign-out/").status_code == 405
    response = client.post("/accounts/sign-out/")
    assert response.status_code == 302
    assert response.headers["Clear-Site-Data"] == '"storage"'
    assert "_auth_user_id" not in client.session


def test_attempts_leave_one_line_each_without_the_password(client: Client, ada: Account, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="mlink.audit"):
        sign_in(client, "ada", "wr0ng-secret")
        sign_in(client, "ada")
    lines = [record.getMessage() for record in caplog.records if record.name == "mlink.audit"]
    assert [line.split(" to=")[0].split("did=")[1] for line in lines] == ['"sign-in failed"', '"signed in"']
    assert all('to="ada@localhost"' in line and 'from="127.0.0.1"' in line for line in lines)
    assert not any("wr0ng-secret" in line or PASSWORD in line for line in lines)


def test_chat_page_has_its_settings_and_no_password(client: Client, ada: Account) -> None:
    sign_in(client, "ada")
    response = client.get("/chat/")
    page = text(response)
    config = json.loads(page.split('id="chat-config" type="application/json">')[1].split("</script>")[0])
    assert config["settings"]["jid"] == "ada@localhost"
    assert config["settings"]["credentials_url"] == reverse("chat-credentials")
    assert config["settings"]["discover_connection_methods"] is False, "it asks other hosts"
    assert config["websocket_url"] == "ws://testserver/xmpp-websocket"
    assert "password" not in page.lower().split("<main")[1]
    assert SignInToken.objects.count() == 0
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self' 'wasm-unsafe-eval';" in policy
    assert "connect-src 'self' ws://testserver http://localhost:" in policy
    assert "no-store" in response.headers["Cache-Control"]


def test_chat_password_is_a_fresh_token_of_the_account(client: Client, ada: Account) -> None:
    sign_in(client, "ada")
    first, second = (client.get("/chat/credentials") for _ in range(2))
    assert first.json()["jid"] == "ada@localhost"
    assert first.json()["password"] != second.json()["password"]
    assert "no-store" in first.headers["Cache-Control"]
    credential = ada.credentials.get(mechanism="SCRAM-SHA-256")
    for answer in (first, second):
        keys = scram.derive(answer.json()["password"], bytes(credential.salt), credential.iterations)
        wanted = next(key.stored_key for key in keys if key.mechanism == "SCRAM-SHA-256")
        assert any(token.fits(wanted) for token in SignInToken.objects.filter(account=ada))
    assert not ada.check_password(first.json()["password"]), "a token is no password for the web"


def test_chat_password_only_for_those_signed_in_and_for_our_page(client: Client, ada: Account) -> None:
    assert client.get("/chat/credentials").status_code == 401
    sign_in(client, "ada")
    assert client.post("/chat/credentials").status_code == 405
    refused = client.get("/chat/credentials", headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403
    assert "password" not in refused.json()
    assert SignInToken.objects.count() == 0


def test_pages_that_do_not_exist_say_so(client: Client, ada: Account) -> None:
    response = client.get("/nowhere/")
    assert response.status_code == 404
    assert "There is no such page" in text(response)


def test_chat_page_may_connect_where_the_domain_says(client: Client, ada: Account) -> None:
    Domain.objects.filter(name="localhost").update(public_url="https://chat.example.org/")
    sign_in(client, "ada")
    policy = client.get("/chat/", headers={"Host": "localhost:8080"}).headers["Content-Security-Policy"]
    assert "connect-src 'self' ws://localhost:8080 https://chat.example.org wss://chat.example.org;" in policy


def test_the_chat_may_load_what_the_storage_serves_itself(client: Client, ada: Account, settings: Any) -> None:
    backend = "storages.backends.s3.S3Storage"
    options = {"bucket_name": "b", "endpoint_url": "https://s3.example:9000", "addressing_style": "path"}
    options |= {"access_key": "a", "secret_key": "b", "region_name": "eu-west-1"}
    settings.STORAGES = {**settings.STORAGES, "uploads": {"BACKEND": backend, "OPTIONS": options}}
    client.force_login(ada)
    assert "s3.example" not in client.get("/chat/").headers["Content-Security-Policy"]
    settings.MLINK_UPLOADS_SERVE = "redirect"
    policy = client.get("/chat/").headers["Content-Security-Policy"]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    for name in ("img-src", "media-src", "connect-src"):
        assert "https://s3.example:9000" in directives[name].split()
    settings.STORAGES["uploads"] = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    settings.STORAGES = {**settings.STORAGES}
    assert "s3.example" not in client.get("/chat/").headers["Content-Security-Policy"]
