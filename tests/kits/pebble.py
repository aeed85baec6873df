"""Debian's `pebble`, a small ACME authority, on loopback with a name server of ours: a proof over HTTP is asked of the
port that a test names. `None` where it is not installed.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.kits.authority import Authority
from tests.kits.nameserver import NameServer
from tests.services import ServiceError, free_port

START_SECONDS = 60.0


class Pebble:
    """One authority; `with` starts and stops it. `http_port` is where it looks for proofs, of names that lead to
    127.0.0.1 unless told otherwise."""

    def __init__(self, http_port: int, names: NameServer, *, binding: dict[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mlink-pebble-"))
        self.port, self.management_port = free_port(), free_port()
        self.authority = Authority("Pebble's own")
        certificate, key = self.authority.issue("localhost", "127.0.0.1").write(self.folder)
        config: dict[str, Any] = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management_port}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": bool(binding),
        }
        if binding:
            config["externalAccountMACKeys"] = binding
        self.config = self.folder / "config.json"
        self.config.write_text(json.dumps({"pebble": config}))
        self.names = names
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> str:
        """The address of its directory."""
        return f"https://localhost:{self.port}/dir"

    @property
    def trusted(self) -> str:
        """PEM of the authority of its own website."""
        return self.authority.pem.decode()

    def __enter__(self) -> Pebble:
        # A share of nonces is refused, so that clients learn to try again.
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "25"}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["pebble", "-config", str(self.config), "-dnsserver", self.names.address],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        context = ssl.create_default_context(cadata=self.trusted)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self.directory, timeout=5, context=context):
                    return self
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        self.__exit__()
        raise ServiceError(f"pebble does not answer:\n{self.log()}")

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None
        self._log = self.log()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it has written."""
        path = self.folder / "log"
        return path.read_text(errors="replace")[-4_000:] if path.exists() else ""


def installed() -> bool:
    """Whether there is one on this machine."""
    return shutil.which("pebble") is not None
