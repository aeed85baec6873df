"""A directory: slapd on loopback, with the lists of revoked certificates of authorities, readable by everybody.

    with Directory() as directory:
        root.publish(directory.url("Root"))
        directory.put("Root", root.crl())

Its backend keeps each entry in a file and reads that for each question, so entries can change while it runs.
"""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.services import Service

_CONFIG = """include /etc/ldap/schema/core.schema
pidfile "{folder}/slapd.pid"
access to dn.exact="cn=Closed,o=Test" by * none
access to * by * read
database ldif
suffix "o=Test"
directory "{folder}/data"
"""


class Directory:
    """See the module. `with` starts and stops it; skips the test where slapd is not installed."""

    def __init__(self) -> None:
        program = shutil.which("slapd") or shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/lib/openldap")
        if program is None:
            pytest.skip("slapd is not installed; `make test` installs it")
        self.service = Service("slapd")
        # AppArmor keeps the one of the system to the folders of the system.
        self.program = shutil.copy2(program, self.service.folder / "slapd")

    def url(self, name: str, rest: str = "?certificateRevocationList;binary") -> str:
        """The address of a list."""
        return f"ldap://127.0.0.1:{self.service.port}/{quote(f'cn={name},o=Test', safe='=,')}{rest}"

    def put(self, name: str, *lists: bytes) -> None:
        """Have an entry with these lists, instead of the one that is there."""
        (self._data / "o=test" / f"cn={name.lower()}.ldif").unlink(missing_ok=True)
        lines = [f"dn: cn={name},o=Test", "objectClass: cRLDistributionPoint", f"cn: {name}"]
        lines += [f"certificateRevocationList;binary:: {base64.b64encode(one).decode()}" for one in lists]
        self._add("\n".join(lines))

    def __enter__(self) -> Directory:
        self._data.mkdir()
        self._config.write_text(_CONFIG.format(folder=self.service.folder))
        self._add("dn: o=Test\nobjectClass: organization\no: Test")
        self.service.start(self._command, _connect)
        return self

    def __exit__(self, *error: object) -> None:
        self.service.stop_process(signal.SIGTERM)
        self.service.remove()

    @property
    def _config(self) -> Path:
        return self.service.folder / "slapd.conf"

    @property
    def _data(self) -> Path:
        return self.service.folder / "data"

    def _add(self, entry: str) -> None:
        command = [str(self.program), "-T", "add", "-f", str(self._config)]
        done = subprocess.run(command, input=f"{entry}\n".encode(), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def _command(self, port: int) -> list[str]:
        return [str(self.program), "-f", str(self._config), "-h", f"ldap://127.0.0.1:{port}", "-d", "0"]


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 1).close()
