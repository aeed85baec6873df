"""What tests of the console's pages share: a data folder in which no node runs, and a browser of an administrator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.conf.models import Domain


@pytest.fixture
def home(settings: Any, tmp_path: Path) -> Path:
    """A data folder of the test's own: no node runs there. It serves localhost."""
    settings.MLINK_HOME = tmp_path
    Domain.objects.get_or_create(name="localhost")
    return tmp_path


@pytest.fixture
def console(home: Path, client: Client) -> Client:
    """A browser in which the administrator is signed in."""
    client.force_login(accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True))
    return client


def text(response: Any) -> str:
    """The page as text."""
    return str(response.content.decode())
