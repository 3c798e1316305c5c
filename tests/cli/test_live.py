"""A run as it happens, in a real terminal and without one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from opskit.cli.live import shown_steps
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.run.work import Progressed
from tests.cli.screen import Screen

STEP = Progressed(
    unit=0, step=3, server="one", app="wiki.example", action="switch-service",
    subject="wiki_app", phase="do", status="done", seconds=1.24,
)  # fmt: skip


def in_a_terminal(command: list[str]) -> tuple[int, str]:
    """Run a command whose output is a terminal, and give its status and what that showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from opskit.cli import main; main()", *command],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    ) as process:
        os.close(theirs)
        shown = bytearray()
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break
    os.close(ours)
    return process.returncode, shown.decode(errors="replace")


@pytest.mark.slow
def test_a_terminal_shows_a_bar_and_a_line_for_each_stack_at_work(
    use: Callable[[DemoFleet | DockerdFleet], Path],
) -> None:
    where = "generate and state == 'current' and server == 'coop.example'"
    with DemoFleet() as fleet:
        use(fleet)
        status, shown = in_a_terminal(
            ["rotate", "--where", where, "--no-hook", "--yes", "--stable", "0.5"]
        )
    assert status == 0, shown
    assert "git.coop.example  verify" in shown
    assert "/4" in shown
    assert "done (stacks: 4 done)" in shown


def test_elsewhere_each_step_that_ended_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_steps(1) as told:
        told(STEP)
    assert capsys.readouterr().err == "wiki.example: switch-service wiki_app  1.2 s\n"


def test_why_a_lock_was_not_taken_is_said_at_the_stack_s_end_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = replace(STEP, step=0, status="failed", error="it was edited.")
    with shown_steps(1) as told:
        told(replace(first, action="take-lock"))
        told(replace(first, action="replace-env"))
    assert capsys.readouterr().err.splitlines() == [
        "wiki.example: take-lock wiki_app  1.2 s  FAILED",
        "wiki.example: replace-env wiki_app  1.2 s  FAILED: it was edited.",
    ]


def test_a_stack_is_over_with_its_last_step_whatever_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    step = replace(STEP, action="commit-env", steps=5)
    with shown_steps(2) as told:
        told(step)
        told(replace(step, unit=1, status="running"))
        assert "0/2" in screen.frame()
        told(replace(step, step=4))
        told(replace(step, unit=1, status="running"))
        assert "1/2" in screen.frame()


def test_a_stack_that_fails_counts_as_over_until_it_is_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that lost its lock is not undone: nothing more comes of it."""
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    other = replace(STEP, unit=1, app="blog.example", status="running")
    undo = replace(STEP, phase="undo", status="running")
    with shown_steps(2) as told:
        told(replace(STEP, status="running"))
        told(replace(STEP, status="failed", error="the lock was lost."))
        told(other)
        told(other)
        assert "1/2" in screen.frame()
        assert "blog.example" in screen.frame()
        assert "wiki.example" not in screen.frame()
        told(undo)
        told(undo)
        assert "0/2" in screen.frame()
        assert "wiki.example" in screen.frame()
        told(replace(undo, step=0, status="done"))
        told(other)
        assert "1/2" in screen.frame()
        assert "wiki.example" not in screen.frame()


def test_a_stack_says_how_far_it_is_and_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", screen)
    verify = replace(STEP, action="verify", status="running", step=6, steps=8)
    with shown_steps(1) as told:
        told(verify)
        assert "wiki.example  verify" in screen.getvalue()
        told(replace(verify, waits_for="web: 1 of 2 tasks run"))
        assert "wiki.example  waiting for web: 1 of 2 tasks run" in screen.getvalue()
        assert "7/8" in screen.getvalue()
