"""How long services may take: one rule for deploy, rotate, restart, undo and resume.

Read from two places that know nothing of each other, compose files when a plan is made and an
engine's specs while a run waits, so a `Pace` is what both say of a service.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

HEALTH_INTERVAL_S = 30.0
HEALTH_RETRIES = 3
"""What an engine takes where a healthcheck does not say."""

_TURN_S = 10.0
"""What an engine may need to end a task and start the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a service's tasks come up and are replaced; times are in seconds.

    Parameters
    ----------
    tasks
        How many it has, ``None`` for one on every node.
    healthy
        How long a new task may take until its healthcheck passes, or has failed.
    grace
        How long an old one may take to stop.
    parallelism
        How many are replaced at once, 0 for all.
    delay, monitor
        Pauses that the update makes: after each batch, and at the end.
    order
        Whether an old task ends before its successor starts.
    """

    tasks: int | None = 1
    healthy: float = 0.0
    grace: float = 0.0
    parallelism: int = 1
    delay: float = 0.0
    monitor: float = 0.0
    order: Literal["stop-first", "start-first"] = "stop-first"

    def busy(self, nodes: int) -> float:
        """Return how long its tasks may take to start and stop, one batch after another."""
        batches = self.batches(nodes)
        # Of tasks that overlap, only the last is waited for.
        stops = min(batches, 1) if self.order == "start-first" else batches
        # However quick the app is, and the first is what patience is for.
        turns = max(batches - 1, 0) * _TURN_S
        return max(batches * self.healthy, turns) + stops * self.grace

    def pauses(self, nodes: int) -> float:
        """Return how long an update waits on purpose; Swarm does so after the last batch too."""
        batches = self.batches(nodes)
        return batches * self.delay + (self.monitor if batches else 0.0)

    def batches(self, nodes: int) -> int:
        """Return in how many turns an update replaces all tasks."""
        tasks = nodes if self.tasks is None else self.tasks
        return math.ceil(tasks / (self.parallelism or tasks or 1))


def longest(patience: float, paces: Iterable[Pace], *, nodes: int) -> float:
    """Return how many seconds to wait for services that come up at the same time.

    Never less than somebody's patience, nor than what the slowest needs; and what an update
    waits on purpose is nobody's fault, so it comes on top.

    Parameters
    ----------
    patience
        Seconds that the operator or the recipe gives the app.
    paces
        One for each service.
    nodes
        How many the swarm has.

    Examples
    --------
    >>> from opskit.pace import Pace, longest
    >>> slow = Pace(tasks=3, delay=170.0)
    >>> longest(300.0, [slow], nodes=1), longest(300.0, [Pace()], nodes=1)
    (810.0, 300.0)
    """
    return max(
        (max(patience, one.busy(nodes)) + one.pauses(nodes) for one in paces), default=patience
    )


def seconds_of(label: str) -> float:
    """Return what the label ``timeout`` of a recipe says, 0 when that is no number.

    >>> from opskit.pace import seconds_of
    >>> seconds_of("900"), seconds_of("soon")
    (900.0, 0.0)
    """
    return float(label) if label.isdecimal() and label.isascii() else 0.0
