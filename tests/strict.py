"""Plugin: with CI=true a skipped test fails the run.

A skip means that a service, a browser or a peer was missing, so what the test guards was not looked at. On somebody's
own machine that is a convenience; in continuous integration it would be a green light for something nobody tried.

Skips reach this plugin on two roads: those of tests as reports, and those of whole files (`importorskip` at the top)
only in the process that collected them, which under pytest-xdist is a worker.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

WORKER_KEY = "mlink_skipped_files"


def pytest_configure(config: pytest.Config) -> None:
    """Switch the watch on where CI=true."""
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        config.pluginmanager.register(SkipWatch(config), "mlink-skip-watch")


class SkipWatch:
    """Collects skipped tests and files of one run and turns its exit code to failure."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.skipped: dict[str, str] = {}

    @property
    def is_worker(self) -> bool:
        """True in a process that pytest-xdist started."""
        return hasattr(self.config, "workerinput")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's outcome; an expected failure (xfail) also reports as skipped but is not one."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[report.nodeid] = reason_of(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file's outcome."""
        if report.skipped:
            self.skipped[report.nodeid] = reason_of(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A worker of pytest-xdist ended: take over what it saw."""
        self.skipped.update(getattr(node, "workeroutput", {}).get(WORKER_KEY, {}))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Hand over to the controlling process, or there: fail a run that would have passed."""
        if self.is_worker:
            self.config.workeroutput[WORKER_KEY] = self.skipped  # type: ignore[attr-defined]
        elif self.skipped and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say why the run is red although no test failed."""
        if self.skipped:
            terminalreporter.section("skipped, which fails a run with CI=true", red=True)
            for nodeid, reason in sorted(self.skipped.items()):
                terminalreporter.line(f"{nodeid}: {reason}")


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The sentence given with a skip; for a skip `longrepr` is (path, line, sentence)."""
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
