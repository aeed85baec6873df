"""The console by requests, as a browser without scripts sends them: how tests configure our node from outside."""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

from mlink_web.federation import services
from mlink_web.federation.models import FederationOptions
from tests.live import LiveNode

SECONDS = 60.0


class Console:
    """The administrator of a node, signed in. Its changes are in force when they return."""

    def __init__(self, node: LiveNode, version: Any) -> None:
        """`version()` is the number of the configuration that the node runs by."""
        self._url = node.url
        self._version = version
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        self._opener.open(f"{self._url}/accounts/sign-in/", timeout=SECONDS).close()
        self.post("/accounts/sign-in/", username=node.admin.jid, password=node.admin.password)

    def add_user(self, address: str, password: str) -> None:
        """Make an account."""
        local, _, domain = address.partition("@")
        self.post("/admin/users/add/", local=local, domain=domain, password=password)

    def set_options(self, **given: str) -> None:
        """Change what holds for all other servers."""
        row = FederationOptions()
        shown = {name: getattr(row, name) for name in services.OPTIONS}
        shown.update(enabled="on", open="yes", strict_purpose="no", nameservers="")
        self._change("/admin/federation/options/", **{**shown, **given})

    def add_peer(self, domain: str, **given: str) -> None:
        """List a peer; an empty `enabled` switches it off."""
        self._change("/admin/federation/peers/add/", domain=domain, **{"enabled": "on", **given})

    def remove_peer(self, domain: str) -> None:
        """Forget a peer."""
        page = self._opener.open(f"{self._url}/admin/federation/peers/?q={domain}", timeout=SECONDS).read().decode()
        link = page.rpartition(f'">{domain}</a>')[0].rpartition('href="')[2]
        self._change(f"{link}remove/", name=domain)

    def _change(self, path: str, **fields: Any) -> None:
        before = self._version()
        self.post(path, **fields)
        end = time.monotonic() + SECONDS
        while self._version() <= before:
            assert time.monotonic() < end, f"the node does not take what {path} has changed"
            time.sleep(0.05)

    def post(self, path: str, **fields: Any) -> None:
        """Send a form; raises AssertionError with what the page says where it is refused."""
        token = next(cookie.value for cookie in self._cookies if cookie.name == "csrftoken")
        data = {
            "csrfmiddlewaretoken": token,
            **{name: value for name, value in fields.items() if value not in ("", False)},
        }
        request = urllib.request.Request(self._url + path, urllib.parse.urlencode(data).encode())
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                assert answer.status == 200
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()[-4000:]}") from None
