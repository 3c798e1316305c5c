"""The life of one task: from a node found for it to its end.

How it behaves is read from the fields of its spec that would decide it for real.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from opskit.demo.engine.services import Task
from opskit.demo.engine.specs import ServiceShape
from opskit.demo.engine.state import Node, Swarm, no_suitable_node, suitable

Kind = Literal["runs", "completes", "crashes", "unhealthy", "no-image", "no-secret"]

FATE = "opskit.demo.fate"
"""A service label: what becomes of its tasks, whatever they run (one of `Kind`)."""
FAILS_WITH = "opskit.demo.fails-with"
"""A service label: tasks crash when they mount the secret of this name."""

_EXIT = re.compile(r"(?:exit (\d+)|false)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a task.

    Parameters
    ----------
    kind
        How it ends, or that it runs.
    complaint
        The error its status will show.
    after
        For an unhealthy task, nanoseconds until the engine gives up on it.
    """

    kind: Kind
    complaint: str = ""
    after: int = 0


def fate(shape: ServiceShape, has_object: Callable[[str, str], bool]) -> Fate:
    """Return what becomes of a task of this service.

    Parameters
    ----------
    shape
        The service.
    has_object
        Whether a ``secret`` or ``config`` of an id still exists.
    """
    container = shape.container
    chosen = shape.labels.get(FATE, "")
    if chosen == "no-image" or (not chosen and _is_missing(container.image)):
        return Fate(kind="no-image", complaint=f"No such image: {container.image}")
    for noun, references in (("secret", container.secrets), ("config", container.configs)):
        for reference in references:
            if not has_object(noun, reference.id):
                return Fate(kind="no-secret", complaint=_not_in_store(noun, reference.id))
    code = _exit_code([*container.command, *container.args])
    culprit = shape.labels.get(FAILS_WITH)
    if chosen == "crashes" or (culprit and culprit in [r.name for r in container.secrets]):
        code = code or 1
    if code and chosen in ("", "crashes"):
        return Fate(kind="crashes", complaint=f"task: non-zero exit ({code})")
    if code == 0 or chosen == "completes":
        return Fate(kind="completes")
    if chosen == "unhealthy" or _is_unhealthy(shape):
        check = container.healthcheck
        wait = check.start_period + check.interval * check.retries if check else 0
        text = "task: non-zero exit (137): dockerexec: unhealthy container"
        return Fate(kind="unhealthy", complaint=text, after=wait)
    return Fate(kind="runs")


def _is_missing(image: str) -> bool:
    name = image.rpartition("/")[2].partition(":")[0]
    return name == "missing"


def _is_unhealthy(shape: ServiceShape) -> bool:
    check = shape.container.healthcheck
    return check is not None and bool(check.test) and _exit_code(check.test) not in (None, 0)


def _exit_code(command: list[str]) -> int | None:
    """Return how a command ends at once; ``None`` when it goes on or cannot be told."""
    last = command[-1].strip() if command else ""
    if last in ("true", "exit"):
        return 0
    found = _EXIT.search(last)
    return None if found is None else int(found[1] or 1)


def _not_in_store(noun: str, ident: str) -> str:
    return (
        f"starting container failed: unable to get {noun} from {noun} store: "
        f"{noun} {ident} not found"
    )


Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast simulated time passes.

    Parameters
    ----------
    start, stop
        Seconds a container takes to start and to stop.
    scale
        Seconds that pass for each second named in a spec (delays, monitors, health checks).
    """

    start: float = 0.05
    stop: float = 0.02
    scale: float = 0.01

    def seconds(self, nanoseconds: float) -> float:
        """Return how long a duration of a spec takes."""
        return nanoseconds / 1e9 * self.scale


_BEFORE_CRASH_NS = 100_000_000


class Life:
    """One task while it is wanted, and until it has stopped.

    Parameters
    ----------
    swarm, shape, task
        The swarm, the spec of the service the task is of, and the task.
    pace, spawn
        How fast time passes, and how to start something in the background.
    ended
        Told when the task ended by itself.
    hold
        Whether to prepare only, and start on `go`.
    """

    def __init__(
        self,
        swarm: Swarm,
        shape: ServiceShape,
        task: Task,
        *,
        pace: Pace,
        spawn: Spawn,
        ended: Callable[[Life], None],
        hold: bool = False,
    ) -> None:
        self.task = task
        self.settled = asyncio.Event()
        """The task runs, or never will."""
        self.over = asyncio.Event()
        """The task has ended or was stopped."""
        self._swarm, self._shape, self._pace, self._spawn = swarm, shape, pace, spawn
        self._ended = ended
        self._may_start = asyncio.Event()
        if not hold:
            self._may_start.set()
        self._playing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Let the task live, unless it was seeded as running already."""
        if self.task.status.state == "running":
            self.settled.set()
        else:
            self._playing = self._spawn(self._play())

    def go(self) -> None:
        """Let a task that was held back start."""
        if not self.over.is_set() and self.task.desired_state == "ready":
            self._swarm.services.set_desired(self.task, "running")
            self._may_start.set()

    def stop(self, desired: str = "shutdown") -> None:
        """Want the task no more."""
        if self.over.is_set():
            return
        self._swarm.services.set_desired(self.task, desired)
        if self._playing is not None:
            self._playing.cancel()
        self._spawn(self._shut_down())

    def abandon(self) -> None:
        """Let the task go without a record."""
        self.over.set()
        if self._playing is not None:
            self._playing.cancel()

    async def _play(self) -> None:
        node = self._find_node()
        complaint = no_suitable_node(self._swarm.nodes) if node is None else ""
        self._set("pending", "pending task scheduling", complaint)
        if node is not None:
            self._swarm.services.assign(self.task, node.id)
            await self._prepare()

    async def _prepare(self) -> None:
        await asyncio.sleep(self._pace.start / 3)
        doom = fate(self._shape, self._swarm.has_object)
        self._set("preparing", "preparing")
        if doom.kind == "no-image":
            self._end("rejected", "preparing", doom)
            return
        await asyncio.sleep(self._pace.start / 3)
        if not self._may_start.is_set():
            self._set("ready", "prepared")
            await self._may_start.wait()
        # The world may have moved while the task was held back.
        await self._run(fate(self._shape, self._swarm.has_object))

    async def _run(self, doom: Fate) -> None:
        for mount in self._shape.container.mounts:
            if mount.type == "volume" and mount.source:
                self._swarm.volumes.ensure(mount.source, mount.volume_options.labels)
        self._set("starting", "starting")
        await asyncio.sleep(self._pace.start / 3)
        if doom.kind in ("no-secret", "unhealthy"):
            await asyncio.sleep(self._pace.seconds(doom.after))
            self._end("failed", "starting", doom)
            return
        self._set("running", "started")
        self.settled.set()
        if doom.kind == "runs":
            return
        await asyncio.sleep(self._pace.seconds(_BEFORE_CRASH_NS))
        crashed = doom.kind == "crashes"
        self._end(*(("failed", "started") if crashed else ("complete", "finished")), doom)

    def _find_node(self) -> Node | None:
        nodes = suitable(self._shape, self._swarm.nodes)
        if not self.task.node_id:
            return nodes[(self.task.slot - 1) % len(nodes)] if nodes else None
        return next((node for node in nodes if node.id == self.task.node_id), None)

    def _end(self, state: str, message: str, doom: Fate) -> None:
        self._set(state, message, doom.complaint)
        if self.task.desired_state != "complete":
            self._swarm.services.set_desired(self.task, "shutdown")
        self.settled.set()
        self.over.set()
        self._ended(self)

    async def _shut_down(self) -> None:
        if self.task.status.state in ("starting", "running"):
            await asyncio.sleep(self._pace.stop)
        self._set("shutdown", "shutdown")
        self.settled.set()
        self.over.set()

    def _set(self, state: str, message: str, err: str = "") -> None:
        self._swarm.services.set_task(self.task, state, message, err=err)
