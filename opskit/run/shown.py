"""How far a run is, while a cell or a script waits for it: a bar, and what is being done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from opskit.plan.data import PlanData
from opskit.progress import Progress, default_progress
from opskit.run.work import Progressed, say_nothing


@contextmanager
def shown_to(
    told: Callable[[Progressed], None], data: PlanData
) -> Generator[Callable[[Progressed], None]]:
    """Give what is to be told of each step: what somebody asked for, or else a bar.

    Parameters
    ----------
    told
        What the caller of the run gave.
    data
        The plan, whose steps are counted.
    """
    if told is not say_nothing:
        yield told
        return
    total = sum(len(unit.steps) for unit in data.units)
    with default_progress(f"{data.kind}:", total) as bar:
        yield _Bar(bar)


class _Bar:
    """Tells a bar of the steps, which come from several threads."""

    def __init__(self, bar: Progress) -> None:
        self._bar, self._one_at_a_time = bar, threading.Lock()

    def __call__(self, step: Progressed) -> None:
        undo = "undo " if step.phase == "undo" else ""
        what = f"{step.app}: {undo}{step.action} {step.subject}"
        with self._one_at_a_time:
            if step.status == "running" or step.phase == "undo":
                self._bar.name(what)
            else:
                self._bar.advance(what)
