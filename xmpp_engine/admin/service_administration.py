"""XEP-0133: the commands of service administration that this server can serve, by the nodes and fields that the XEP
names, each mapped onto commands of the one registry.

A node is offered where the registry has what it needs. Accounts are those of the domain that was asked: another one is
`item-not-found`, as one that does not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.routing.commands import (
    Caller,
    CommandNode,
    Done,
    Form,
    Run,
    administrators,
    domain_administrators,
)
from xmpp_engine.routing.host import Host, Services
from xmpp_engine.stanza.forms import Field, render
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

#: Accounts of one request, and addresses in one list.
MAX_ACCOUNTS: Final = 100
MAX_LISTED: Final = 1_000
_SIZES: Final = tuple((size, size) for size in ("25", "50", "75", "100", "150", "200", "none"))
_DELAYS: Final = (("1", "Now"), ("30", "30 seconds"), ("60", "1 minute"), ("300", "5 minutes"), ("900", "15 minutes"))
_ONE: Final = Field("accountjid", "jid-single", "Address of the account", required=True)
_SEVERAL: Final = Field("accountjids", "jid-multi", "Addresses of the accounts", required=True)
_PASSWORD: Final = Field("password", "text-private", "Password", required=True)
_MAX_ITEMS: Final = Field("max_items", "list-single", "Most to show", options=_SIZES)


class Perform(Protocol):
    """Runs a command of the registry for somebody; raises StanzaError."""

    async def __call__(self, caller: Caller, name: str, /, **arguments: str) -> Any:
        """Returns the command's result."""


class ServiceAdministration:
    """The nodes of one host."""

    def __init__(self, perform: Perform, host: Host, services: Services) -> None:
        self._perform = perform
        self._host = host
        self._services = services

    def nodes(self, known: Mapping[str, bool]) -> Iterable[CommandNode]:
        """The nodes for which the registry has the commands, in the order of the XEP. `known` says of each command
        whether administrators of the domain run it too."""
        domain = self._host.domain
        verify = Field("password-verify", "text-private", "Password again", required=True)
        text = Field("announcement", "text-multi", "Announcement", required=True)
        rows: list[tuple[str, str, set[str], Callable[[Run], Awaitable[Done]], Any]] = [
            ("add-user", "Add a user", {"user add"}, self.add_user, (_ONE, _PASSWORD, verify)),
            ("delete-user", "Delete users", {"user remove"}, self._each("user remove"), (_SEVERAL,)),
            ("disable-user", "Disable users", {"user disable"}, self._each("user disable"), (_SEVERAL,)),
            ("reenable-user", "Enable users again", {"user enable"}, self._each("user enable"), (_SEVERAL,)),
            ("end-user-session", "End sessions of users", {"kick"}, self.end_sessions, (_SEVERAL,)),
            ("change-user-password", "Change a password", {"user password"}, self.change_password, (_ONE, _PASSWORD)),
            ("get-user-roster", "Show a roster", {"user roster"}, self.roster, (_ONE,)),
            ("get-user-lastlogin", "Show the last login", {"user show"}, self.last_login, (_ONE,)),
            ("user-stats", "Show figures of a user", {"user stats"}, self.user_stats, (_ONE,)),
        ]
        for kind, state in (("registered", ""), ("disabled", "disabled")):
            rows.append(
                (f"get-{kind}-users-num", f"Count {kind} users", {"user count"}, self._count(kind, state), None)
            )
        for kind in ("online", "active", "idle"):
            rows.append((f"get-{kind}-users-num", f"Count {kind} users", {"online"}, self._count_present(kind), None))
        for kind, state in (("registered", ""), ("disabled", "disabled")):
            run = self._list(kind, state)
            rows.append((f"get-{kind}-users-list", f"List {kind} users", {"user list"}, run, (_MAX_ITEMS,)))
        for kind, node in (
            ("online", "get-online-users-list"),
            ("active", "get-active-users"),
            ("idle", "get-idle-users"),
        ):
            rows.append((node, f"List {kind} users", {"online"}, self._list_present(kind), (_MAX_ITEMS,)))
        rows += [
            ("announce", "Tell all who are online", {"announce"}, self.announce, (text,)),
            ("set-motd", "Set the message of the day", {"motd set"}, self._say("motd", "set"), (_say("motd"),)),
            ("edit-motd", "Edit the message of the day", {"motd edit", "motd show"}, self._say("motd", "edit"), "motd"),
            ("delete-motd", "Delete the message of the day", {"motd delete"}, self._silence("motd"), None),
            ("set-welcome", "Set the welcome", {"welcome set", "welcome show"}, self._say("welcome", "set"), "welcome"),
            ("delete-welcome", "Delete the welcome", {"welcome delete"}, self._silence("welcome"), None),
            ("edit-admin", "Edit the administrators", {"user admins", "user role"}, self.edit_admins, self._admins),
            (
                "shutdown",
                "Shut the service down",
                {"shutdown", "announce"},
                self.shutdown,
                (
                    Field("delay", "list-single", "When", ("60",), _DELAYS),
                    Field("announcement", "text-multi", "Announcement"),
                ),
            ),
        ]
        for node, name, needs, run, ask in rows:
            if needs <= known.keys():
                title = f"{name} of {domain}" if node.startswith(("get-", "edit-")) else name
                allowed = domain_administrators if all(known[need] for need in needs) else administrators
                yield CommandNode(f"{ns.ADMIN}#{node}", name, allowed, run, self._stages(ask, title))

    def _stages(self, ask: Any, title: str) -> tuple[Callable[[Run], Any], ...]:
        if ask is None:
            return ()
        if callable(ask):
            return (ask,)
        if isinstance(ask, str):
            return (lambda run: self._present_text(run, ask, title),)
        return (lambda _run: Form(ask, title, "", ns.ADMIN),)

    # Accounts

    async def _account(self, text: str, *, exists: bool = True) -> str:
        """The bare address of an account of this domain; raises `item-not-found`, or `conflict` where it must not
        exist."""
        jid = Jid.parse(text)
        there = jid.domain == self._host.domain and bool(jid.local)
        if exists:
            if not there or await self._services.stores.accounts.credentials(jid.bare) is None:
                raise StanzaError("item-not-found", f"there is no account {jid.bare} here")
        elif not there:
            raise StanzaError("not-acceptable", f"an account here looks like name@{self._host.domain}")
        elif await self._services.stores.accounts.credentials(jid.bare) is not None:
            raise StanzaError("conflict", f"there is an account {jid.bare} already")
        return jid.bare

    async def _accounts(self, run: Run) -> list[str]:
        given = run.values["accountjids"]
        assert isinstance(given, tuple)
        if len(given) > MAX_ACCOUNTS:
            raise StanzaError("not-acceptable", f"at most {MAX_ACCOUNTS} accounts at a time")
        # All are looked at before the first one is changed.
        return [await self._account(text) for text in dict.fromkeys(given)]

    async def add_user(self, run: Run) -> Done:
        """4.1."""
        if run.values["password"] != run.values["password-verify"]:
            raise StanzaError("not-acceptable", "the two passwords differ")
        jid = await self._account(str(run.values["accountjid"]), exists=False)
        return Done(str(await self._perform(run.caller, "user add", jid=jid, password=str(run.values["password"]))))

    def _each(self, command: str) -> Callable[[Run], Awaitable[Done]]:
        """4.2 to 4.4: a command on each of several accounts."""

        async def run_each(run: Run) -> Done:
            told = [str(await self._perform(run.caller, command, jid=jid)) for jid in await self._accounts(run)]
            return Done(" ".join(told))

        return run_each

    async def end_sessions(self, run: Run) -> Done:
        """4.5: full addresses end one session, bare ones all."""
        given = run.values["accountjids"]
        assert isinstance(given, tuple)
        await self._accounts(run)
        ended = 0
        for jid in given:
            ended += (await self._perform(run.caller, "kick", jid=jid))["ended"]
        return Done(f"{ended} sessions ended.")

    async def change_password(self, run: Run) -> Done:
        """4.7."""
        jid = await self._account(str(run.values["accountjid"]))
        password = str(run.values["password"])
        return Done(str(await self._perform(run.caller, "user password", jid=jid, password=password)))

    async def roster(self, run: Run) -> Done:
        """4.8: the roster stands beside the form."""
        jid = await self._account(str(run.values["accountjid"]))
        rows = await self._perform(run.caller, "user roster", jid=jid)
        form = _result(Field("accountjids", "jid-multi", values=(jid,)))
        query = Element(ns.ROSTER, "query")
        for row in rows[:MAX_LISTED]:
            attrs = {"jid": row["jid"], "subscription": row["subscription"]}
            item = query.add(ns.ROSTER, "item", {**attrs, "name": row["name"]} if row["name"] else attrs)
            for group in row["groups"]:
                item.add(ns.ROSTER, "group", text=group)
        return Done(payloads=(*form.payloads, query))

    async def last_login(self, run: Run) -> Done:
        """4.9."""
        jid = await self._account(str(run.values["accountjid"]))
        row = await self._perform(run.caller, "user show", jid=jid)
        return _result(
            Field("accountjids", "jid-multi", values=(jid,)),
            Field("lastlogin", label="Last login", values=(row["last_login"] or "never",)),
        )

    async def user_stats(self, run: Run) -> Done:
        """4.10."""
        jid = await self._account(str(run.values["accountjid"]))
        row = await self._perform(run.caller, "user stats", jid=jid)
        return _result(
            Field("ipaddresses", "text-multi", "Addresses", tuple(row["addresses"])),
            Field("rostersize", label="Contacts", values=(str(row["contacts"]),)),
            Field("onlineresources", "text-multi", "Resources", tuple(row["resources"])),
        )

    # Numbers and lists

    def _count(self, kind: str, state: str) -> Callable[[Run], Awaitable[Done]]:
        async def run_count(run: Run) -> Done:
            counts = await self._perform(run.caller, "user count", domain=self._host.domain)
            number = counts[state or "registered"]
            return _result(Field(f"{kind}usersnum", label=f"Number of {kind} users", values=(str(number),)))

        return run_count

    def _count_present(self, kind: str) -> Callable[[Run], Awaitable[Done]]:
        async def run_count(run: Run) -> Done:
            number = len(await self._present(run, kind))
            return _result(Field(f"{kind}usersnum", label=f"Number of {kind} users", values=(str(number),)))

        return run_count

    def _list(self, kind: str, state: str) -> Callable[[Run], Awaitable[Done]]:
        async def run_list(run: Run) -> Done:
            rows = await self._perform(run.caller, "user list", domain=self._host.domain)
            return _listed(run, kind, [row["jid"] for row in rows if state in ("", row["state"])])

        return run_list

    def _list_present(self, kind: str) -> Callable[[Run], Awaitable[Done]]:
        async def run_list(run: Run) -> Done:
            return _listed(run, kind, await self._present(run, kind))

        return run_list

    async def _present(self, run: Run, kind: str) -> list[str]:
        rows = await self._perform(run.caller, "online", domain=self._host.domain)
        return [row["jid"] for row in rows if kind == "online" or row["idle"] is (kind == "idle")]

    # Texts

    async def announce(self, run: Run) -> Done:
        """4.23."""
        told = await self._perform(run.caller, "announce", text=_lines(run, "announcement"), domain=self._host.domain)
        return Done(f"{told['told']} clients were told.")

    async def _present_text(self, run: Run, subject: str, title: str) -> Form:
        """The form with the text there is."""
        now = await self._perform(run.caller, f"{subject} show", domain=self._host.domain)
        return Form((_say(subject, tuple(now["text"].splitlines())),), title, "", ns.ADMIN)

    def _say(self, subject: str, verb: str) -> Callable[[Run], Awaitable[Done]]:
        async def run_say(run: Run) -> Done:
            text = _lines(run, subject)
            return Done(str(await self._perform(run.caller, f"{subject} {verb}", domain=self._host.domain, text=text)))

        return run_say

    def _silence(self, subject: str) -> Callable[[Run], Awaitable[Done]]:
        async def run_silence(run: Run) -> Done:
            return Done(str(await self._perform(run.caller, f"{subject} delete", domain=self._host.domain)))

        return run_silence

    # The service

    async def _admins(self, run: Run) -> Form:
        """The form of 4.29 with the administrators of this domain."""
        field = Field("adminjids", "jid-multi", "Administrators", await self._admins_here(run), required=True)
        return Form((field,), f"Administrators of {self._host.domain}", "", ns.ADMIN)

    async def _admins_here(self, run: Run) -> tuple[str, ...]:
        rows = await self._perform(run.caller, "user admins")
        return tuple(jid for jid in rows if jid.rpartition("@")[2] == self._host.domain)

    async def edit_admins(self, run: Run) -> Done:
        """4.29: the list as it shall be; nobody takes the role from himself by leaving himself out."""
        given = run.values["adminjids"]
        assert isinstance(given, tuple)
        wanted = {await self._account(text) for text in given}
        now = set(await self._admins_here(run))
        if run.caller.jid.bare in now - wanted:
            raise StanzaError("not-allowed", "another administrator has to take the role from you")
        for jid in sorted(wanted - now):
            await self._perform(run.caller, "user role", jid=jid, admin="yes")
        for jid in sorted(now - wanted):
            await self._perform(run.caller, "user role", jid=jid, admin="no")
        return Done(f"{len(wanted - now)} added, {len(now - wanted)} removed.")

    async def shutdown(self, run: Run) -> Done:
        """4.31."""
        text = _lines(run, "announcement")
        if text:
            await self._perform(run.caller, "announce", text=text)
        return Done(str(await self._perform(run.caller, "shutdown", delay=str(run.values.get("delay", "60")))))


def _say(subject: str, values: tuple[str, ...] = ()) -> Field:
    label = "Message of the day" if subject == "motd" else "Welcome"
    return Field(subject, "text-multi", label, values, required=True)


def _lines(run: Run, var: str) -> str:
    value = run.values.get(var, ())
    return value if isinstance(value, str) else "\n".join(value) if isinstance(value, tuple) else ""


def _result(*fields: Field) -> Done:
    return Done(payloads=(render("result", ns.ADMIN, fields),))


def _listed(run: Run, kind: str, jids: list[str]) -> Done:
    wanted = run.values.get("max_items", "none")
    most = int(wanted) if isinstance(wanted, str) and wanted.isdigit() else MAX_LISTED
    chosen = tuple(jids[:most])
    form = render("result", ns.ADMIN, [Field(f"{kind}userjids", "jid-multi", f"List of {kind} users", chosen)])
    if len(jids) > most:
        return Done(f"The first {most} of {len(jids)}.", "warn", (form,))
    return Done(payloads=(form,))
