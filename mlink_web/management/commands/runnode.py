"""manage.py runnode: start a node, after making what a first start needs."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connections

from mlink_web.node import prepare
from mlink_web.node.prepare import Prepared
from xmpp_engine.config.schema import EngineConfig


class Command(BaseCommand):
    """Runs until SIGTERM or Ctrl-C."""

    help = "Run a node: XMPP, BOSH, WebSocket, and with --with-web the console, the archive and the web chat."
    # They would load every page even where the node serves none.
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Two switches; everything else is environment or database."""
        parser.add_argument("--with-web", action="store_true", help="serve the web pages too")
        parser.add_argument(
            "--worker",
            "--workers",
            dest="worker",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="run background work in a child process",
        )

    def handle(self, *_args: Any, with_web: bool, worker: bool, **_options: Any) -> None:
        """Prepare, run, and turn what goes wrong into a sentence."""
        from mlink_web.node import parent, several
        from mlink_web.node.runtime import StartError, run

        parent.follow()
        if settings.MLINK_NODES > 1:
            several.run(with_web=with_web, worker=worker, say=self._say)
            return
        try:
            made = prepare.prepare()
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}") from error
        except ValueError as error:
            raise CommandError(str(error)) from error
        if with_web:
            prepare.collect_static()
        connections.close_all()
        try:
            run(with_web=with_web, worker=worker, announce=lambda config: self.announce(config, made, with_web))
        except StartError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            pass
        finally:
            # The password exists from now on, even where the node could not start.
            self.announce_administrator(made)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def announce(self, config: EngineConfig, made: Prepared, with_web: bool) -> None:
        """Say what is where."""
        everywhere = settings.MLINK_BIND in ("0.0.0.0", "::")  # noqa: S104  (compared, not bound)
        host = settings.MLINK_DOMAIN if everywhere else settings.MLINK_BIND
        if host in ("127.0.0.1", "::1"):
            host = "localhost"
        web = f"http://{host}:{settings.MLINK_HTTP_PORT}"
        socket = f"ws://{host}:{settings.MLINK_HTTP_PORT}/xmpp-websocket"
        rows = [("Domains", ", ".join(config.hosts) or "none: add one with manage.py xmppctl domain add NAME")]
        for listener in config.listeners:
            kind = "direct TLS" if listener.tls == "direct" else "STARTTLS"
            rows.append(("XMPP", f"{listener.address}:{listener.port} ({kind})"))
        if settings.MLINK_HTTP_PORT:
            rows += [("BOSH", f"{web}/http-bind"), ("WebSocket", socket), ("Metrics", f"{web}/metrics")]
            if with_web:
                rows += [
                    ("Start page", f"{web}/"),
                    ("Console", f"{web}/admin/"),
                    ("Web chat", f"{web}/chat/"),
                    ("Forms", f"{web}/forms/"),
                    ("Archive", f"{web}/archive/"),
                ]
        rows.append(("Data", str(settings.MLINK_HOME)))
        lines = [f"  {name:<12}{text}" for name, text in rows]
        self.stdout.write("\n".join(["", f"mlink is running as {config.node}. Ctrl-C ends it.", *lines, ""]))
        self.announce_administrator(made)

    def announce_administrator(self, made: Prepared) -> None:
        """Show a new administrator's password, once."""
        if made.administrator:
            secret = made.password or "as MLINK_ADMIN_PASSWORD says"
            lines = [f"  Administrator: {made.administrator}", f"  Password:      {secret}"]
            if made.password:
                lines.append("  The password is shown this once; write it down.")
            self.stdout.write("\n".join([*lines, ""]))
            made.administrator = ""
        self.stdout.flush()
