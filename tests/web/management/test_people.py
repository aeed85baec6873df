"""Commands on accounts and on the texts of a domain that administrators also run over XMPP."""

from __future__ import annotations

import pytest

from mlink_web.accounts import services
from mlink_web.admin_commands.announcements import MAX_TEXT
from mlink_web.admin_commands.registry import registry
from mlink_web.conf.models import Domain
from xmpp_engine.admin.command import CommandError

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def domain() -> Domain:
    """Two accounts of a domain; one is an administrator."""
    made = Domain.objects.create(name="a.example")
    services.create_account("boss@a.example", "secret", is_staff=True, is_superuser=True)
    services.disable(services.create_account("romeo@a.example", "secret"))
    return made


def call(name: str, **arguments: str) -> object:
    """Run a command as its front ends do."""
    command = registry.get(name)
    return command.function(**command.bind(arguments))


def test_accounts_are_counted_and_shown() -> None:
    assert call("user count") == {"registered": 2, "active": 1, "disabled": 1, "locked": 0, "expired": 0}
    assert call("user count", domain="a.example") == call("user count")
    with pytest.raises(ValueError, match="no domain"):
        call("user count", domain="b.example")
    shown = call("user show", jid="romeo@a.example")
    assert isinstance(shown, dict)
    assert (shown["state"], shown["administrator"], shown["last_login"]) == ("disabled", False, None)


def test_the_last_administrator_stays_one() -> None:
    assert call("user admins") == ["boss@a.example"]
    with pytest.raises(ValueError, match="last administrator"):
        call("user role", jid="boss@a.example", admin="no")
    call("user enable", jid="romeo@a.example")
    call("user role", jid="romeo@a.example", admin="yes")
    call("user role", jid="boss@a.example", admin="no")
    assert call("user admins") == ["romeo@a.example"]
    with pytest.raises(CommandError, match="yes or no"):
        call("user role", jid="romeo@a.example", admin="perhaps")


def test_texts_of_a_domain(domain: Domain) -> None:
    domain.modules = {"offline": {"messages": 7}}
    domain.save()
    with pytest.raises(ValueError, match="no message of the day"):
        call("motd edit", domain="a.example", text="x")
    call("motd set", domain="a.example", text=" Be nice ")
    call("welcome set", domain="a.example", text="Hello")
    domain.refresh_from_db()
    since = domain.modules["announcements"]["motd_since"]
    assert since > 0
    call("motd edit", domain="a.example", text="Be nicer")
    domain.refresh_from_db()
    assert domain.modules == {
        "offline": {"messages": 7},
        "announcements": {"motd": "Be nicer", "motd_since": since, "welcome": "Hello"},
    }
    assert call("motd show", domain="a.example") == {"text": "Be nicer"}
    call("motd delete", domain="a.example")
    assert call("motd show", domain="a.example") == {"text": ""}
    assert call("welcome show", domain="a.example") == {"text": "Hello"}
    call("welcome delete", domain="a.example")
    domain.refresh_from_db()
    assert domain.modules == {"offline": {"messages": 7}}
    for text in (" ", "x" * (MAX_TEXT + 1)):
        with pytest.raises(ValueError, match="characters"):
            call("motd set", domain="a.example", text=text)


def test_what_reads_files_of_the_machine_is_for_its_shell() -> None:
    """So is what officers do under control: over XMPP nobody would be asked for a second officer; and what prints the
    secrets of a cluster."""
    found = {command.name for command in registry if command.local}
    assert found >= {"user import", "topic add", "topic version", "topic export", "topic import"}
    assert found >= {"archive retention run", "archive hold release", "archive redact message"}
    groups = {name.split()[0] for name in found - {"cluster add"}}
    assert groups <= {"user", "topic", "archive", "account", "certificate"}
    assert "cluster add" in found
