"""Killing a run at any moment: before and after every journal write and every request."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest

import opskit
from opskit.errors import OpskitError
from opskit.journal.runs import Journal
from opskit.secrets.passstore import PassStore
from opskit.secrets.value import Secret
from opskit.swarm.engine import Engine
from tests.processes import PROCESSES
from tests.stage import APP, SERVER
from tests.waiting import LIMIT

WRITES = {
    Journal: ("begin", "intent", "outcome", "finish"),
    Engine: (
        "create_config", "remove_config", "create_secret", "remove_secret", "update_service",
        "execute", "remove_service", "remove_network",
    ),
    PassStore: ("store", "remove"),
}  # fmt: skip
WAYS = ("resume", "rollback")
QUICK = opskit.Options(stable=0, timeout=LIMIT)
HOOKED = replace(QUICK, hook="redis:app")
TOKEN, KEY = (SERVER, APP, "token"), (SERVER, APP, "key")

Case = TypeVar("Case")

PLANS: dict[str, Callable[[opskit.Fleet], opskit.Plan]] = {
    "rotate": lambda fleet: fleet.plan_rotate([TOKEN], QUICK),
    "rotate both": lambda fleet: fleet.plan_rotate([TOKEN, KEY], QUICK),
    "rotate key": lambda fleet: fleet.plan_rotate([KEY], QUICK),
    "rotate by stack": lambda fleet: fleet.plan_rotate([TOKEN], replace(QUICK, deploy="stack")),
    "rotate with pass": lambda fleet: fleet.plan_rotate([KEY], replace(QUICK, use_pass=True)),
    "rotate with a hook": lambda fleet: fleet.plan_rotate([TOKEN], HOOKED),
    "insert with a hook": lambda fleet: fleet.plan_insert(
        APP, "token", Secret("typed by hand"), options=HOOKED
    ),
    "generate": lambda fleet: fleet.plan_generate(APP, None, QUICK),
    "insert": lambda fleet: fleet.plan_insert(APP, "key", Secret("good given"), options=QUICK),
    "remove": lambda fleet: fleet.plan_remove([TOKEN, KEY]),
    "prune": lambda fleet: fleet.plan_prune([TOKEN], keep=0),
    "deploy": lambda fleet: fleet.plan_deploy(APP, QUICK),
    "upgrade": lambda fleet: fleet.plan_upgrade(APP, QUICK),
    "undeploy": lambda fleet: fleet.plan_undeploy(APP, QUICK),
    "restart": lambda fleet: fleet.plan_restart(APP, None, QUICK),
}

# Which cases are tried: a sample, for CI's time, unless all are asked for.
ALL = os.environ.get("OPSKIT_KILL_MATRIX") == "all"


def sampled(cases: Iterable[Case], first: int = 0, step: int = 1) -> list[tuple[Case, str]]:
    """Choose the cases that are tried, and how each run is finished.

    Parameters
    ----------
    cases
        Every one there is.
    first, step
        The sample: where it begins and how far it goes on, finished by turns in both ways. With
        ``OPSKIT_KILL_MATRIX=all`` every case is finished in both ways.
    """
    if ALL:
        return [(case, how) for case in cases for how in WAYS]
    # Not by single turns: moments are before and after something by turns, too.
    return [(case, WAYS[turn // 2 % 2]) for turn, case in enumerate(list(cases)[first::step])]


def by_day(cases: Sequence[tuple[Any, str]], each: int) -> list[Any]:
    """Leave all but one of so many cases to the night."""
    return [
        case if place % each == 0 else pytest.param(*case, marks=pytest.mark.nightly)
        for place, case in enumerate(cases)
    ]


def apply_in_a_process(environ: Mapping[str, str], kind: str, moment: int) -> bool:
    """Carry out an operation that is killed at a moment; tell whether it got that far.

    Parameters
    ----------
    environ
        Added to this process's environment.
    kind
        One of `PLANS`.
    moment
        Counts from 1.
    """
    process = PROCESSES.Process(target=_apply, args=({**os.environ, **environ}, kind, moment))
    process.start()
    process.join(LIMIT)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _apply(environ: Mapping[str, str], kind: str, moment: int) -> None:
    os.environ.clear()
    os.environ.update(environ)
    plan = PLANS[kind](opskit.Fleet.from_abra())
    left = moment

    def tick() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def ticking(make: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            tick()
            try:
                result = make(*arguments, **named)
            except OpskitError:
                # How often Swarm refuses, while a task ends, is not the run's own doing.
                left += 1
                raise
            tick()
            return result

        return call

    for owner, names in WRITES.items():
        for name in names:
            setattr(owner, name, ticking(getattr(owner, name)))
    plan.apply()
