"""Setting up a checkout: the right Python is chosen, steps repeat only when needed, refusals say what to do."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / ".ci"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Import a script of .ci by name; forgotten after the test, since `setup` is a common module name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for name in ("setup", "packages", "assets", "fonts"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in ("setup", "packages", "assets", "fonts"):
        sys.modules.pop(name, None)


def choose_python(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run python.sh with a PATH that holds only `folder`."""
    return subprocess.run(
        ["/bin/sh", SCRIPTS / "python.sh"],
        env={"PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def fake_program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_a_python_that_does_not_start_is_passed_over(tmp_path: Path) -> None:
    fake_program(tmp_path, "python3.13", "exit 127")
    (tmp_path / "python3.11").symlink_to(sys.executable)
    assert choose_python(tmp_path).stdout == "python3.11\n"


def test_without_a_python_the_reader_learns_what_to_install(tmp_path: Path) -> None:
    answer = choose_python(tmp_path)
    assert answer.returncode == 1
    assert "Python 3.11 or newer is needed" in answer.stderr


def test_a_named_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    fake_program(tmp_path, "old", "exit 1")
    answer = choose_python(tmp_path, PYTHON=str(tmp_path / "old"))
    assert answer.returncode == 1
    assert "older than 3.11" in answer.stderr


def test_neither_root_nor_sudo_gets_the_command_for_the_administrator(script, monkeypatch, tmp_path, capsys) -> None:
    packages = script("packages")
    fake_program(tmp_path, "apt-get", "exit 99")
    fake_program(tmp_path, "sudo", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setitem(packages.GROUPS, "probe", (packages.Package("absent-package", ("absent-command",)),))
    assert packages.main(["probe"]) == 1
    assert "apt-get install absent-package" in capsys.readouterr().err


def test_a_package_whose_command_is_there_is_not_installed(script, monkeypatch, tmp_path) -> None:
    packages = script("packages")
    fake_program(tmp_path, "present-command", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(packages.GROUPS, "probe", (packages.Package("some-package", ("present-command",)),))
    assert packages.main(["probe"]) == 0


def test_a_step_repeats_only_when_its_source_changed(script, tmp_path) -> None:
    setup = script("setup")
    source, stamp = tmp_path / "source", tmp_path / "stamp"
    source.write_text("one")
    assert not setup.is_stamped(stamp, setup.fingerprint(source))
    stamp.write_text(setup.fingerprint(source))
    assert setup.is_stamped(stamp, setup.fingerprint(source))
    source.write_text("two")
    assert not setup.is_stamped(stamp, setup.fingerprint(source))


def test_assets_lose_their_source_maps_and_nothing_else(script, monkeypatch, tmp_path) -> None:
    assets = script("assets")
    package = tmp_path / "node_modules/library"
    (package / "dist/chunks").mkdir(parents=True)
    (package / "dist/library.js").write_text("run('sourceMappingURL');\n//# sourceMappingURL=library.js.map\n")
    (package / "dist/library.css").write_text("a{}\n/*# sourceMappingURL=library.css.map */\n")
    (package / "dist/chunks/one.js").write_text("1")
    (package / "dist/library.js.map").write_text("{}")
    monkeypatch.setattr(assets, "NODE_MODULES", tmp_path / "node_modules")
    monkeypatch.setattr(assets, "ASSETS", tmp_path / "var/assets")
    patterns = ("dist/library.js", "dist/*.css", "dist/chunks/*.js")
    monkeypatch.setattr(assets, "WANTED", {"folder": ("library", patterns)})
    assets.copy_assets()
    copied = {str(p.relative_to(tmp_path / "var/assets")) for p in (tmp_path / "var/assets").rglob("*") if p.is_file()}
    assert copied == {"folder/library.js", "folder/library.css", "folder/chunks/one.js"}
    assert (tmp_path / "var/assets/folder/library.js").read_text() == "run('sourceMappingURL');\n\n"
    assert (tmp_path / "var/assets/folder/library.css").read_text() == "a{}\n\n"


def test_a_renamed_asset_stops_setup(script, monkeypatch, tmp_path) -> None:
    assets = script("assets")
    (tmp_path / "node_modules/library").mkdir(parents=True)
    monkeypatch.setattr(assets, "NODE_MODULES", tmp_path / "node_modules")
    monkeypatch.setattr(assets, "ASSETS", tmp_path / "var/assets")
    monkeypatch.setattr(assets, "WANTED", {"folder": ("library", ("dist/gone.js",))})
    with pytest.raises(FileNotFoundError, match=r"gone\.js"):
        assets.copy_assets()
    assert not (tmp_path / "var/assets").exists()


@pytest.mark.parametrize("name", ["requirements", "requirements-dev", "requirements-node"])
def test_lock_files_pin_by_hash_and_name_no_address(name: str) -> None:
    text = (SCRIPTS.parent / f"{name}.txt").read_text()
    pins = [line for line in text.splitlines() if line and line[0].isalnum()]
    assert pins
    assert all("==" in pin for pin in pins)
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text


def test_fonts_are_made_of_slices(script, monkeypatch, tmp_path) -> None:
    fonts = script("fonts")
    folder = tmp_path / "@x/noto-sans-test/files"
    folder.mkdir(parents=True)
    for name in ("test-wght", "latin-wght", "test-standard"):
        (folder / f"noto-sans-test-{name}-normal.woff2").write_bytes(b"")
    monkeypatch.setattr(fonts, "NODE_MODULES", tmp_path)
    (one,) = fonts.slices(fonts.Family("@x/noto-sans-test", "Noto Sans Test", slices="test"))
    assert one.name == "noto-sans-test-test"
    assert [weight for weight, _ in one.weights] == [400, 700]
    with pytest.raises(FileNotFoundError, match="Noto Sans Gone"):
        fonts.slices(fonts.Family("@x/noto-sans-test", "Noto Sans Gone", slices="gone"))


def test_all_families_are_made_with_their_licences(script) -> None:
    fonts = script("fonts")
    index = json.loads((fonts.FONTS / "index.json").read_text())
    assert list(index) == [family.name for family in fonts.FAMILIES]
    for family in fonts.FAMILIES:
        assert (fonts.FONTS / "licences" / f"{family.name}.txt").stat().st_size > 1000
        assert all(("bold" in entry) == family.bold for entry in index[family.name])
    assert sum(last - first + 1 for entry in index["Noto Sans KR"] for first, last in pairs(entry["cover"])) > 15_000


def pairs(cover: list[int]) -> list[tuple[int, int]]:
    """First and last of each range."""
    return [(cover[at], cover[at + 1]) for at in range(0, len(cover), 2)]
