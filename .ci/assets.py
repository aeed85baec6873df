"""Install the browser libraries by the npm lock file and put the files that pages need where Django finds them, and
the fonts that PDF files need (fonts.py).

Called by `.ci/setup.py` with the Python of `.venv`. npm fills `node_modules/` (each archive checked by the hash in the
lock, no install scripts run); then a short list of files is copied to `var/assets/`, a folder of STATICFILES_DIRS.
Copying, and not pointing Django at `node_modules/`: that holds ten times the bytes, and its files name source maps
which hashed static storage would look for in vain.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fonts
from setup import ROOT, VENV, fingerprint, is_stamped, pip_install, say

NODE_MODULES = ROOT / "node_modules"
ASSETS = ROOT / "var/assets"

# folder under var/assets -> (folder under node_modules, patterns). A pattern without a star must match a file.
WANTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "converse": (
        "converse.js",
        (
            "LICENSE",
            "dist/converse.min.js",
            "dist/converse.min.css",
            "dist/emoji.json",
            "dist/libomemo.esm.min.js",
            "dist/curve25519_compiled.wasm",
            "dist/shared-connection-worker.js",
            "dist/chunkjs/locales/**/*.js",
            "dist/images/**/*.png",
            "dist/images/**/*.svg",
            "dist/images/favicon.ico",
            "dist/sounds/*.mp3",
            "dist/sounds/*.ogg",
            "dist/webfonts/*.ttf",
        ),
    ),
    "strophe": ("strophe.js", ("LICENSE.txt", "dist/strophe.umd.min.js")),
}
SOURCE_MAP_LINE = re.compile(rb"^(//[#@] sourceMappingURL=\S+|/\*[#@] sourceMappingURL=.*?\*/)[ \t]*$", re.MULTILINE)
OLDEST_NODE = 18
NPM_FLAGS = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=error")


def find_npm() -> list[str]:
    """The npm command to use: the system's, if its Node is new enough, else one put into `.venv` from its own lock."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        match = re.match(r"v(\d+)\.", answer)
        works = subprocess.run([npm, "--version"], capture_output=True, check=False).returncode == 0
        if match and int(match[1]) >= OLDEST_NODE and works:
            return [npm]
    if not (VENV / "bin/npm").exists():
        say(f"no Node.js from {OLDEST_NODE} on here: putting one into .venv")
        pip_install("requirements-node.txt")
    return [str(VENV / "bin/npm")]


def install_modules() -> None:
    """Fill node_modules by the lock file, if it changed since the last time."""
    stamp = NODE_MODULES / ".stamp"
    value = fingerprint(ROOT / "package.json", ROOT / "package-lock.json")
    if is_stamped(stamp, value):
        return
    npm = find_npm()
    say("installing browser libraries from package-lock.json")
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # Node brings its own list of authorities; networks with an own one have it in the system's list, as pip expects.
    env = {**os.environ, "PATH": path, "NODE_USE_SYSTEM_CA": "1"}
    subprocess.run([*npm, "ci", *NPM_FLAGS], cwd=ROOT, env=env, check=True)
    stamp.write_text(value)


def wanted_files(source: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """Files under `source` that match; raises FileNotFoundError for a pattern that matches none (a renamed file)."""
    for pattern in patterns:
        found = sorted(path for path in source.glob(pattern) if path.is_file())
        if not found:
            raise FileNotFoundError(f"{source.name} has no {pattern}: adapt the list in .ci/assets.py")
        yield from found


def copy_assets() -> None:
    """Make `var/assets` anew from node_modules, complete or not at all."""
    fresh = ASSETS.with_name("assets.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for folder, (package, patterns) in WANTED.items():
        source = NODE_MODULES / package
        for path in wanted_files(source, patterns):
            relative = path.relative_to(source)
            target = fresh / folder / (relative.relative_to("dist") if relative.parts[0] == "dist" else relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            if path.suffix in {".js", ".css"}:
                content = SOURCE_MAP_LINE.sub(b"", content)
            target.write_bytes(content)
    shutil.rmtree(ASSETS, ignore_errors=True)
    fresh.rename(ASSETS)


def main() -> int:
    """Entry; exit code 0 when the assets are in place."""
    locks = (ROOT / "package.json", ROOT / "package-lock.json")
    steps = (
        (ASSETS / ".stamp", fingerprint(*locks, Path(__file__)), copy_assets),
        (fonts.FONTS / ".stamp", fingerprint(*locks, Path(fonts.__file__)), fonts.make_fonts),
    )
    try:
        for stamp, value, step in steps:
            if not is_stamped(stamp, value):
                install_modules()
                step()
                stamp.write_text(value)
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
