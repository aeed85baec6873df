"""A skipped test fails a run with CI=true and only there, with and without workers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PASSING = "def test_good(): assert True"
SKIPPING = "import pytest\ndef test_skipped(): pytest.skip('no server here')"
SKIPPED_FILE = "import pytest\npytest.importorskip('module_that_is_not_there')\ndef test_never(): assert False"
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_known(): assert False"


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str, *options: str, ci: str = "true") -> int:
    """Exit code of a run of its own over a passing file and one with `body`."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    pytester.makepyfile(test_passing=PASSING, test_body=body)
    arguments = ("-p", "tests.strict", "-p", "no:django", "-p", "no:randomly", *options)
    return int(pytester.runpytest_subprocess(*arguments).ret)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "worker"])
class TestStrict:
    def test_skip_fails_the_run(self, pytester, monkeypatch, options) -> None:
        assert run(pytester, monkeypatch, SKIPPING, *options) == pytest.ExitCode.TESTS_FAILED

    def test_skipped_file_fails_the_run(self, pytester, monkeypatch, options) -> None:
        assert run(pytester, monkeypatch, SKIPPED_FILE, *options) == pytest.ExitCode.TESTS_FAILED

    def test_expected_failure_is_no_skip(self, pytester, monkeypatch, options) -> None:
        assert run(pytester, monkeypatch, EXPECTED_FAILURE, *options) == pytest.ExitCode.OK

    def test_skip_is_allowed_elsewhere(self, pytester, monkeypatch, options) -> None:
        assert run(pytester, monkeypatch, SKIPPING, *options, ci="") == pytest.ExitCode.OK
