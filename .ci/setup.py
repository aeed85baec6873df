"""Bring a checkout to the state in which it can run: virtual environment, Python packages, browser libraries.

Called by the Makefile as `python .ci/setup.py [--dev]` with any Python from 3.11 on; uses the standard library only.
Idempotent: each step leaves a stamp holding a hash of what it was made from, and does nothing while that is unchanged.

    .venv/                      from requirements.txt (and requirements-dev.txt with --dev), every file checked by hash
    node_modules/, var/assets/  from package-lock.json, see assets.py
    var/fonts/                  from node_modules/, see fonts.py
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin/python"


class SetupError(Exception):
    """A step failed; the text is a sentence for the person at the terminal."""


def fingerprint(*parts: str | Path) -> str:
    """Hash of texts and of the contents of files: equal as long as nothing that matters changed."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def is_stamped(stamp: Path, value: str) -> bool:
    """True if the step that writes `stamp` has completed with this very fingerprint."""
    return stamp.is_file() and stamp.read_text().strip() == value


def run(command: list[str], failure: str, **environment: str) -> None:
    """Run a command in the checkout; raises SetupError with `failure` when it does not exit with 0."""
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    if done.returncode:
        raise SetupError(f"{failure} (exit code {done.returncode}).")


def say(text: str) -> None:
    """Tell the user what is being done now; flushed, since children write to the same terminal."""
    print(f"setup: {text}", flush=True)


def ensure_venv() -> None:
    """Make `.venv` with the Python that runs this script, unless one that works is there already."""
    stamp, value = VENV / ".stamp-venv", fingerprint(str(ROOT))
    if is_stamped(stamp, value) and os.access(VENV_PYTHON, os.X_OK) and is_supported(VENV_PYTHON):
        return
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        run([sys.executable, str(ROOT / ".ci/packages.py"), "venv"], "Python's venv module is missing")
    say(f"making .venv with Python {sys.version.split()[0]}")
    if VENV.exists():
        shutil.rmtree(VENV)
    # A new interpreter: the one at work may have cached that ensurepip did not exist.
    run([sys.executable, "-m", "venv", str(VENV)], "The virtual environment could not be made")
    stamp.write_text(value)


def is_supported(python: Path) -> bool:
    """True if this interpreter starts and is new enough."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([str(python), "-c", check], capture_output=True, check=False).returncode == 0


def pip_install(*files: str) -> None:
    """Install what these lock files in the checkout's top folder pin; every download must match its hash."""
    arguments = [argument for file in files for argument in ("-r", file)]
    run(
        [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes", *arguments],
        "The Python packages could not be installed; the lines above say why",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )


def ensure_packages(files: list[str]) -> None:
    """Install the locked Python packages of those lock files that changed since the last time."""
    stamps = {VENV / f".stamp-{Path(file).stem}": fingerprint(ROOT / file) for file in files}
    if all(is_stamped(stamp, value) for stamp, value in stamps.items()):
        return
    started = time.monotonic()
    say(f"installing Python packages from {' and '.join(files)}")
    pip_install(*files)
    for stamp, value in stamps.items():
        stamp.write_text(value)
    say(f"Python packages ready after {time.monotonic() - started:.0f} s")


def ensure_test_browser() -> None:
    """Where the system has no Chromium, fetch the build that belongs to the pinned Playwright."""
    sys.path.insert(0, str(ROOT / ".ci"))
    import packages

    chromium = next(package for package in packages.GROUPS["test"] if package.name == "chromium")
    if not packages.is_present(chromium):
        say("this system has no Chromium package: fetching Playwright's build")
        run([str(VENV_PYTHON), "-m", "playwright", "install", "chromium"], "Chromium could not be fetched")


def main() -> int:
    """Entry; exit code 0 when everything is in place, 1 after a sentence on what is not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dev", action="store_true", help="also the tools for tests and checks")
    parser.add_argument("--no-assets", action="store_true", help="leave out the browser libraries")
    parser.add_argument("--test-system", action="store_true", help="also the system packages that the tests drive")
    options = parser.parse_args()
    files = ["requirements.txt", "requirements-dev.txt"] if options.dev else ["requirements.txt"]
    checkout = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(checkout, fcntl.LOCK_EX)  # two makes at once would install into one .venv
        ensure_venv()
        ensure_packages(files)
        if not options.no_assets:
            run([str(VENV_PYTHON), str(ROOT / ".ci/assets.py")], "The browser libraries could not be installed")
        if options.test_system:
            run([sys.executable, str(ROOT / ".ci/packages.py"), "test"], "The tests cannot run without these packages")
            ensure_test_browser()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    finally:
        os.close(checkout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
