"""How far a run is, while a cell or a script waits for it: a bar, and what is being done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from opskit.journal.runs import Journal
from opskit.plan.data import PlanData
from opskit.progress import Progress, default_progress
from opskit.run.work import Progressed, say_nothing

Left = tuple[int, int, str]
"""A step that is left: the number of its unit, its own, and whether it is done or undone."""


@contextmanager
def shown_to(
    told: Callable[[Progressed], None], title: str, left: frozenset[Left]
) -> Generator[Callable[[Progressed], None]]:
    """Give what is to be told of each step: what somebody asked for, or else a bar.

    Parameters
    ----------
    told
        What the caller of the run gave.
    title
        What stands before the bar.
    left
        The steps that are to be taken or undone, which the bar counts.
    """
    if told is not say_nothing:
        yield told
        return
    with default_progress(f"{title}:", len(left)) as bar:
        yield _Bar(bar, left)


def all_of(data: PlanData) -> frozenset[Left]:
    """Return every step of a plan that does something on the way there."""
    return frozenset(
        (unit, number, "do")
        for unit, one in enumerate(data.units)
        for number, step in enumerate(one.steps)
        if step.calls()
    )


def left_of(journal: Journal, run: str, data: PlanData, *, undo: bool) -> frozenset[Left]:
    """Return the steps that are left of a run which is resumed or, with `undo`, undone."""
    found: set[Left] = set()
    for unit, number, _ in all_of(data):
        begun = number in journal.begun(run, unit)
        back = undo or journal.was_undone(run, unit)
        phase = "undo" if back else "do"
        if (begun or not back) and not journal.is_done(run, unit, number, phase):
            found.add((unit, number, phase))
    return frozenset(found)


class _Bar:
    """Tells a bar of the steps, which come from several threads."""

    def __init__(self, bar: Progress, left: frozenset[Left]) -> None:
        self._bar, self._left, self._one_at_a_time = bar, set(left), threading.Lock()

    def __call__(self, step: Progressed) -> None:
        undo = "undo " if step.phase == "undo" else ""
        waits = f", waits for {step.waits_for}" if step.waits_for else ""
        what = f"{step.app}: {undo}{step.action} {step.subject}{waits}"
        one = (step.unit, step.step, step.phase)
        with self._one_at_a_time:
            # What is undone after a failure was not to be counted.
            if step.status == "running" or one not in self._left:
                self._bar.name(what)
            else:
                self._left.remove(one)
                self._bar.advance(what)
