"""A run as it happens: a live display in a terminal, a line per step elsewhere."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from opskit.inert import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from opskit.run.work import Progressed


def shown_steps(stacks: int) -> AbstractContextManager[Callable[[Progressed], None]]:
    """Return what to tell each step to: a live display in a terminal, else `print_step`.

    `stacks` is how many are worked on; 0 when that is not known.
    """
    return _Live(stacks) if sys.stderr.isatty() else nullcontext(print_step)


def print_step(step: Progressed) -> None:
    """Print a step when it has ended."""
    if step.status == "running":
        return
    # One write per line: several stacks report at once.
    sys.stderr.write(f"{_line(step)}\n")


class _Live:
    """One bar for the stacks, and below it one for the steps of each that is being worked on.

    Steps that undo or fail stay on the screen; the others only pass.
    """

    def __init__(self, stacks: int) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True)),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            expand=True,
            # Else rich would draw the bar through what makes steering letters harmless.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._lock = Lock()
        self._stacks = stacks
        self._all = self._bar.add_task("stacks", total=stacks) if stacks > 1 else None
        self._each: dict[int, TaskID] = {}
        self._seen: set[int] = set()

    def __enter__(self) -> Callable[[Progressed], None]:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, step: Progressed) -> None:
        with self._lock:
            doing = f"waiting for {step.waits_for}" if step.waits_for else step.action
            doing = f"{'undo ' if step.phase == 'undo' else ''}{doing}"
            text = escape(visible(f"{step.app}  {doing}"))
            self._seen.add(step.unit)
            task = self._each.get(step.unit)
            if task is None:
                task = self._each[step.unit] = self._bar.add_task(text, total=step.steps or None)
            # At once: a step may be over before the display would be drawn again by itself.
            at = step.step if step.phase == "undo" else step.step + 1
            self._bar.update(task, description=text, completed=at, refresh=True)
            if step.status == "failed" or (step.phase == "undo" and step.status == "done"):
                self._bar.print(escape(visible(_line(step))))
            if _may_be_last(step):
                self._bar.remove_task(self._each.pop(step.unit))
            if self._all is not None:
                self._bar.update(self._all, completed=len(self._seen) - len(self._each))


def _may_be_last(step: Progressed) -> bool:
    """Return whether a stack may be over with this: after a failure it may be undone, or not."""
    if step.status == "running":
        return False
    last = 0 if step.phase == "undo" else step.steps - 1
    return step.step == last or bool(step.error)


def _line(step: Progressed) -> str:
    verb = "undo " if step.phase == "undo" else ""
    failed = f"  FAILED: {step.error}" if step.error else ""
    if step.error and step.action == "take-lock":
        # Nothing comes between this line and the end of its stack, which says why.
        failed = "  FAILED"
    return f"{step.app}: {verb}{step.action} {step.subject}  {step.seconds:.1f} s{failed}"
