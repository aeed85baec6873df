"""Install the Debian or Ubuntu packages that a task needs, and only those that are missing.

Called by `.ci/setup.py` and the Makefile as `packages.py GROUP...`. Each entry names a package and the commands it
brings; where a command is already there, from whatever source, nothing is installed. Works as root or through
`sudo -n`; where neither is possible it prints one sentence with the command an administrator must run and exits 1.

The services among these packages (PostgreSQL, Redis, Prosody, ejabberd) would be started by their installation on the
very ports this product uses, so a policy file forbids that while apt runs.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """A package and how to see that it is there: commands or path patterns, one of which suffices, else dpkg's word."""

    name: str
    present: tuple[str, ...]


CHROMIUM = ("chromium", "google-chrome", "google-chrome-stable", "~/.cache/ms-playwright/chromium*")

GROUPS: dict[str, tuple[Package, ...]] = {
    "venv": (Package(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv", ()),),
    "test": (
        Package("chromium", CHROMIUM),
        Package("postgresql", ("initdb", "/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb")),
        Package("redis-server", ("redis-server",)),
        Package("go-sendxmpp", ("go-sendxmpp",)),
        Package("profanity", ("profanity",)),
        Package("tmux", ("tmux",)),
        Package("coturn", ("turnserver",)),
        # Answers as a timestamp server for signed files (tests/web/pdfa/pki.py).
        Package("openssl", ("openssl",)),
        # A directory that lists of revoked certificates come from.
        Package("slapd", ("slapd", "/usr/sbin/slapd")),
        # A resolver that checks DNSSEC.
        Package("unbound", ("unbound", "/usr/sbin/unbound")),
        # The servers that federation is tried with.
        Package("prosody", ("prosody",)),
        Package("lua-sec", ()),
        Package("ejabberd", ("ejabberdctl",)),
        # A certificate authority that speaks ACME, a balancer for nodes, links that can be cut.
        Package("pebble", ("pebble",)),
        Package("haproxy", ("haproxy", "/usr/sbin/haproxy")),
        Package("iproute2", ("ip", "/sbin/ip", "/usr/sbin/ip")),
        Package("iptables", ("iptables", "/usr/sbin/iptables")),
        # What checks PDF/A files (tests/verapdf.py): a Java machine, and the classes that its jar leaves out.
        Package("default-jre-headless", ("java",)),
        Package("libjaxb-java", ("/usr/share/java/jaxb-runtime.jar",)),
        Package("libistack-commons-java", ("/usr/share/java/istack-commons-runtime.jar",)),
    ),
    "bench": (
        Package("chromium", CHROMIUM),
        Package("prosody", ()),
        Package("ejabberd", ()),
        Package("lua-sec", ()),
        Package("lua-dbi-sqlite3", ()),
        Package("erlang-p1-sqlite3", ()),
    ),
}

POLICY_FILE = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "# mlink: no service starts while its package is being installed"
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")


def is_present(package: Package) -> bool:
    """True if one of the package's commands or files is on this machine, or dpkg says it is installed."""
    for probe in package.present:
        if glob.glob(os.path.expanduser(probe)) if "/" in probe else shutil.which(probe):
            return True
    if shutil.which("dpkg-query") is None:
        return False
    query = subprocess.run(
        ["dpkg-query", "-W", "-f=${Status}", package.name], capture_output=True, text=True, check=False
    )
    return query.stdout == "install ok installed"


def missing_from(groups: list[str]) -> list[str]:
    """Names of the packages of these groups that are not there, in the groups' order."""
    return [package.name for group in groups for package in GROUPS[group] if not is_present(package)]


def is_snap_stub(name: str) -> bool:
    """True where apt offers the package only as a pointer to a snap, which needs a running snapd."""
    policy = subprocess.run(["apt-cache", "policy", name], capture_output=True, text=True, check=False).stdout
    candidate = next((line.split()[-1] for line in policy.splitlines() if "Candidate:" in line), "(none)")
    return candidate == "(none)" or "snap" in candidate


def install_as_root(names: list[str]) -> None:
    """Run apt for `names`; raises CalledProcessError when apt fails. Needs root."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A stale list of packages is the usual reason for a failed download; a failed update alone is not fatal.
    subprocess.run([*APT, "-q", "update"], env=env, check=False, stdout=subprocess.DEVNULL)
    browser = [name for name in names if name == "chromium" and is_snap_stub(name)]
    names = [name for name in names if name not in browser]
    owns_policy = not POLICY_FILE.exists() or POLICY_MARK in POLICY_FILE.read_text(errors="replace")
    if owns_policy:
        POLICY_FILE.write_text(f"#!/bin/sh\n{POLICY_MARK}\nexit 101\n")
        POLICY_FILE.chmod(0o755)
    try:
        if names:
            install = ["-qq", "-o", "Dpkg::Use-Pty=0", "-y", "--no-install-recommends", "install", *names]
            done = subprocess.run([*APT, *install], env=env, check=False, capture_output=True, text=True)
            if done.returncode:
                print(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}", file=sys.stderr)
            done.check_returncode()
    finally:
        if owns_policy:
            POLICY_FILE.unlink(missing_ok=True)
    if browser:
        install_browser_libraries(env)


def install_browser_libraries(env: dict[str, str]) -> None:
    """Install the libraries of Playwright's own Chromium, for distributions without the browser as a real package.

    The browser itself belongs to the user who runs the tests; `.ci/setup.py` fetches it afterwards.
    """
    python = Path(__file__).resolve().parent.parent / ".venv/bin/python"
    subprocess.run([str(python), "-m", "playwright", "install-deps", "chromium"], env=env, check=True)


def main(groups: list[str]) -> int:
    """Entry: group names in, exit code out; 0 also when there was nothing to do."""
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        print(f"usage: packages.py {'|'.join(GROUPS)} ...", file=sys.stderr)
        return 2
    names = missing_from(groups)
    if not names:
        return 0
    by_hand = f"apt-get install {' '.join(names)}"
    if shutil.which("apt-get") is None:
        print(
            f"Missing: {', '.join(names)} (Debian's names). There is no apt-get here: install what they contain "
            "with this system's own package tool, then try again.",
            file=sys.stderr,
        )
        return 1
    if os.geteuid() != 0:
        if (
            shutil.which("sudo") is None
            or subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode
        ):
            print(
                f"Missing system packages: {', '.join(names)}. Neither root nor sudo without a password is "
                f"available: please have an administrator run\n    {by_hand}\nand try again.",
                file=sys.stderr,
            )
            return 1
        return subprocess.run(["sudo", "-n", sys.executable, __file__, *groups], check=False).returncode
    print(f"Installing system packages (this can take some minutes): {', '.join(names)}", flush=True)
    try:
        install_as_root(names)
    except subprocess.CalledProcessError as error:
        print(f"apt-get failed with code {error.returncode}; try by hand: {by_hand}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
