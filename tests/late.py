"""A failure in the parallel run is looked at once more, alone.

On a busy machine a test may be late that is not wrong. What failed among other tests runs once
more in a process of its own when they have ended. If it passes then, it is named under ``late
under load`` at the very end, with the text of its first failure: a thing to mend, which nobody
need wait for. If it fails again, the run fails. Nothing is tried again silently.

Registered by ``tests/conftest.py``; does nothing without pytest-xdist's ``-n``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator

import pytest
from _pytest.terminal import TerminalReporter

MOST = 20
"""More failures than this are no lateness: they are left as they are."""


class Late:
    """Judges the failures of a parallel run once more."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._late: list[pytest.TestReport] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Run what failed once more, when everything else has ended."""
        result = yield
        terminal = self._terminal()
        failures = _failures(terminal)
        if len(failures) > MOST:
            terminal.write_line("")
            terminal.write_line(f"{len(failures)} tests failed: none is run once more.")
            return result
        for test, reports in failures.items():
            terminal.write_line("")
            terminal.write(f"alone, once more: {test} ")
            if not _passes_alone(session, test):
                terminal.write_line("failed again", red=True)
                continue
            terminal.write_line("passed", yellow=True)
            for kind in ("failed", "error"):
                kept = [one for one in terminal.stats.get(kind, []) if one not in reports]
                terminal.stats[kind] = kept
            terminal.stats.setdefault("late", []).append(reports[0])
            session.testsfailed -= len(reports)
            self._late.append(reports[0])
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Name the late ones, with what went wrong first."""
        if not self._late:
            return
        terminalreporter.write_sep("=", "late under load", yellow=True)
        for report in self._late:
            terminalreporter.write_sep("_", f"late under load: {report.nodeid}", yellow=True)
            terminalreporter.write_line(report.longreprtext)

    def _terminal(self) -> TerminalReporter:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(terminal, TerminalReporter)
        return terminal


def register(config: pytest.Config) -> None:
    """Judge the failures of this run once more, if it is a parallel one."""
    is_worker = hasattr(config, "workerinput")
    if getattr(config.option, "numprocesses", None) and not is_worker:
        config.pluginmanager.register(Late(config), "opskit-late")


def _failures(terminal: TerminalReporter) -> dict[str, list[pytest.TestReport]]:
    found: dict[str, list[pytest.TestReport]] = {}
    for report in [*terminal.stats.get("failed", []), *terminal.stats.get("error", [])]:
        # What cannot even be collected is no test's lateness.
        if isinstance(report, pytest.TestReport):
            found.setdefault(report.nodeid, []).append(report)
    return found


def _passes_alone(session: pytest.Session, test: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", test]
    ended = subprocess.run(
        command, cwd=session.config.rootpath, check=False, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip
    # A skip would say nothing of the failure.
    return ended.returncode == 0 and " passed" in ended.stdout.splitlines()[-1]
