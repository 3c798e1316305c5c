"""The orchestrator: brings services to their specs, rolls updates out, pauses or rolls back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from opskit.demo.engine.life import Life, Pace, Spawn
from opskit.demo.engine.services import Service, Task
from opskit.demo.engine.specs import UpdateConfig, shape_of, task_spec
from opskit.demo.engine.state import Swarm

Key = int | str
"""A place that a task fills: a slot's number, or a node's id for a global service."""

_EARLY_END = "due to failure or early termination of task"


class Orchestrator:
    """Runs the services of one swarm in the running event loop.

    Parameters
    ----------
    swarm
        Its state.
    pace
        How fast simulated time passes.
    """

    def __init__(self, swarm: Swarm, pace: Pace) -> None:
        self.swarm, self.pace = swarm, pace
        self._supervisors: dict[str, _Supervisor | Job] = {}
        self._background: set[asyncio.Task[None]] = set()
        swarm.services.listener = self
        for service in swarm.services:
            if len(swarm.services.tasks_of(service.id)) < len(swarm.wanted(service)):
                self.changed(service)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start something that ends with the orchestrator at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def changed(self, service: Service) -> None:
        """Begin to bring a service to its spec, giving up any rollout under way."""
        if service.id not in self._supervisors:
            is_job = shape_of(service.spec).is_job
            self._supervisors[service.id] = (
                Job(self.swarm, service, pace=self.pace, spawn=self.spawn)
                if is_job
                else _Supervisor(self, service)
            )
        self._supervisors[service.id].reconcile()

    def removed(self, service: Service) -> None:
        """Stop caring for a service."""
        supervisor = self._supervisors.pop(service.id, None)
        if supervisor is not None:
            supervisor.abandon()

    async def close(self) -> None:
        """End everything under way."""
        self.swarm.services.listener = None
        background = list(self._background)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


class _Supervisor:
    """Cares for one service: fills its places, restarts what ends, replaces what is outdated."""

    def __init__(self, orchestrator: Orchestrator, service: Service) -> None:
        self.service = service
        self._orchestrator = orchestrator
        self._swarm, self._services = orchestrator.swarm, orchestrator.swarm.services
        self._lives: dict[Key, list[Life]] = {}
        self._restarts: dict[Key, int] = {}
        self._update: _Update | None = None
        for task in self._services.tasks_of(service.id):
            if task.desired_state == "running":
                self._lives.setdefault(task.key, []).append(self._life(task))

    def reconcile(self) -> None:
        """Bring the places to the spec in force."""
        self._give_up_update()
        self._restarts.clear()
        wanted = self._swarm.wanted(self.service)
        for key in [key for key in self._lives if key not in wanted]:
            self._orchestrator.spawn(self._vacate(key, self._lives.pop(key)))
        outdated = [key for key in wanted if key in self._lives and not self._is_current(key)]
        for key in wanted:
            if key not in self._lives:
                self.start(key)
        status = self.service.update_status
        if not outdated:
            if status is not None and status.state in ("updating", "rollback_started"):
                self.complete()
            return
        if status is None or status.state != "rollback_started":
            self._services.set_update(self.service, "updating", "update in progress")
        self._update = _Update(self, outdated, self._orchestrator)

    def abandon(self) -> None:
        """Let all tasks go, at once and without a record."""
        self._give_up_update()
        for life in [life for lives in self._lives.values() for life in lives]:
            life.abandon()

    def start(self, key: Key, *, hold: bool = False) -> Life:
        """Start a task of the spec in force in a place."""
        task = self._services.add_task(
            self.service,
            slot=key if isinstance(key, int) else 0,
            node=key if isinstance(key, str) else "",
            desired="ready" if hold else "running",
        )
        life = self._life(task, hold=hold)
        self._lives.setdefault(key, []).append(life)
        return life

    def current(self, key: Key) -> Life | None:
        """Return the task of a place that is of the spec in force."""
        spec = task_spec(self.service.spec)
        return next((one for one in self._lives[key] if bytes(one.task.spec) == bytes(spec)), None)

    def others(self, key: Key, life: Life | None) -> list[Life]:
        """Return the tasks of a place but one."""
        return [one for one in self._lives[key] if one is not life]

    def stop(self, key: Key, life: Life) -> None:
        """Want a task of a place no more."""
        self._lives[key].remove(life)
        life.stop()

    def complete(self) -> None:
        """Note that a rollout is done."""
        assert self.service.update_status is not None, "a rollout is under way"
        rolled_back = self.service.update_status.state == "rollback_started"
        state, what = ("rollback_completed", "rollback") if rolled_back else ("completed", "update")
        self._services.set_update(self.service, state, f"{what} completed")
        self._update = None

    def pause(self, culprit: Life) -> None:
        """Leave a rollout as it is."""
        assert self.service.update_status is not None, "a rollout is under way"
        rolled_back = self.service.update_status.state == "rollback_started"
        message = f"update paused {_EARLY_END} {culprit.task.id}"
        state = "rollback_paused" if rolled_back else "paused"
        self._services.set_update(self.service, state, message)
        self._give_up_update()

    def roll_back(self, culprit: Life) -> None:
        """Return to the spec before this rollout."""
        message = f"update rolled back {_EARLY_END} {culprit.task.id}"
        self._services.roll_back(self.service, message)
        self.reconcile()

    def _life(self, task: Task, *, hold: bool = False) -> Life:
        life = Life(
            self._swarm,
            shape_of(self.service.spec),
            task,
            pace=self._orchestrator.pace,
            spawn=self._orchestrator.spawn,
            ended=self._ended,
            hold=hold,
        )
        life.begin()
        return life

    def _is_current(self, key: Key) -> bool:
        if self._lives[key]:
            return len(self._lives[key]) == 1 and self.current(key) is not None
        # What ended and is not to be restarted runs again for another spec only.
        ended = (task for task in self._services.tasks_of(self.service.id) if task.key == key)
        newest = next(ended, None)
        return newest is not None and bytes(newest.spec) == bytes(task_spec(self.service.spec))

    def _ended(self, life: Life) -> None:
        key = life.task.key
        if life not in self._lives.get(key, []):
            return
        self._lives[key].remove(life)
        rolled_back = self._update is not None and self._update.note_end(life)
        if not rolled_back:
            self._restart(key, life.task.status.state)

    def _restart(self, key: Key, state: str) -> None:
        policy = shape_of(self.service.spec).task_template.restart_policy
        done = self._restarts.get(key, 0)
        wanted = policy.condition in ("", "any") or (
            policy.condition == "on-failure" and state != "complete"
        )
        if wanted and not (policy.max_attempts and done >= policy.max_attempts):
            self._restarts[key] = done + 1
            life = self.start(key, hold=True)
            self._orchestrator.spawn(self._start_later(life, policy.delay))

    async def _start_later(self, life: Life, delay: int) -> None:
        await asyncio.sleep(self._orchestrator.pace.seconds(delay))
        life.go()

    async def _vacate(self, key: Key, lives: list[Life]) -> None:
        for life in lives:
            life.stop("remove")
        for life in lives:
            await life.over.wait()
        # Unless the place was wanted again meanwhile.
        if key not in self._lives:
            self._services.forget_slot(self.service, key)

    def _give_up_update(self) -> None:
        if self._update is not None:
            self._update.cancel()
            self._update = None


class _Update:
    """One rollout: replaces the tasks of outdated places, a few at a time."""

    def __init__(
        self, supervisor: _Supervisor, outdated: list[Key], orchestrator: Orchestrator
    ) -> None:
        self._supervisor, self._orchestrator = supervisor, orchestrator
        self._pace = orchestrator.pace
        self._count, self._failures = len(outdated), 0
        # As in Swarm only these count, not what replaces them when they end.
        self._started: set[Life] = set()
        service = supervisor.service
        self._rolling_back = (
            service.update_status is not None and service.update_status.state == "rollback_started"
        )
        shape = shape_of(service.spec)
        asked = shape.rollback_config if self._rolling_back else shape.update_config
        self._config = asked or UpdateConfig()
        keys = iter(outdated)
        at_once = min(self._config.parallelism or self._count, self._count)
        self._workers = [orchestrator.spawn(self._work(keys)) for _ in range(at_once)]
        self._waiting = orchestrator.spawn(self._finish())

    def cancel(self) -> None:
        """Replace no more."""
        for task in (*self._workers, self._waiting):
            task.cancel()

    def note_end(self, life: Life) -> bool:
        """Count a task that ended by itself, act when there are too many; tell if rolled back."""
        if life not in self._started:
            return False
        self._failures += 1
        action = self._config.failure_action
        if self._failures / self._count <= self._config.max_failure_ratio or action == "continue":
            return False
        if action == "rollback" and not self._rolling_back:
            self._supervisor.roll_back(life)
            return True
        self._supervisor.pause(life)
        return False

    async def _finish(self) -> None:
        await asyncio.gather(*self._workers)
        await asyncio.sleep(self._pace.seconds(self._config.monitor))
        self._supervisor.complete()

    async def _work(self, keys: Iterator[Key]) -> None:
        for key in keys:
            await self._replace(key)
            await asyncio.sleep(self._pace.seconds(self._config.delay))

    async def _replace(self, key: Key) -> None:
        new = self._supervisor.current(key)
        start_first = self._config.order == "start-first"
        if new is None:
            new = self._supervisor.start(key, hold=not start_first)
            self._started.add(new)
        if start_first:
            await new.settled.wait()
            if new.over.is_set():
                return
        old = self._supervisor.others(key, new)
        for life in old:
            self._supervisor.stop(key, life)
        # Swarm starts what it has held back even when this rollout is given up meanwhile.
        self._orchestrator.spawn(_start_after(old, new))
        await new.settled.wait()


async def _start_after(old: list[Life], new: Life) -> None:
    for life in old:
        await life.over.wait()
    new.go()


class Job:
    """Cares for one job: runs each of its places to the end, anew for each spec.

    Parameters
    ----------
    swarm, service
        The swarm, and which of its services.
    pace, spawn
        As `Life` has them.
    """

    def __init__(self, swarm: Swarm, service: Service, *, pace: Pace, spawn: Spawn) -> None:
        self._swarm, self._service, self._pace, self._spawn = swarm, service, pace, spawn
        self._lives: dict[Key, Life] = {}
        self._waiting: list[Key] = []

    def reconcile(self) -> None:
        """Begin the job that the spec in force asks for, and end the one before."""
        shape, living = shape_of(self._service.spec), list(self._lives.values())
        for life in living:
            self._spawn(self._vacate(life))
        self._lives.clear()
        if shape.mode.global_job is not None:
            # Of a job on every node, Swarm keeps nothing of the one before.
            tasks = [life.task for life in living]
            for task in self._swarm.services.tasks_of(self._service.id):
                if task not in tasks:
                    self._swarm.services.forget(task)
        self._waiting = self._swarm.wanted(self._service)
        job = shape.mode.replicated_job
        for _ in range(job.max_concurrent if job else len(self._waiting)):
            self._next()

    def abandon(self) -> None:
        """Let all tasks go, at once and without a record."""
        for life in self._lives.values():
            life.abandon()

    async def _vacate(self, life: Life) -> None:
        life.stop("remove")
        await life.over.wait()
        if life.task in self._swarm.services.tasks_of(self._service.id):
            self._swarm.services.forget(life.task)

    def _next(self) -> None:
        if self._waiting:
            self._start(self._waiting.pop(0))

    def _start(self, place: Key) -> None:
        slot, node = (place, "") if isinstance(place, int) else (0, place)
        task = self._swarm.services.add_task(
            self._service, slot=slot, node=node, desired="complete"
        )
        life = Life(
            self._swarm,
            shape_of(self._service.spec),
            task,
            pace=self._pace,
            spawn=self._spawn,
            ended=self._after(place),
        )
        self._lives[place] = life
        life.begin()

    def _after(self, place: Key) -> Callable[[Life], None]:
        def ended(life: Life) -> None:
            if self._lives.get(place) is not life:
                return
            del self._lives[place]
            if life.task.status.state == "complete":
                self._next()
            else:
                self._swarm.services.set_desired(life.task, "shutdown")
                self._retry(place, life.task)

        return ended

    def _retry(self, place: Key, failed: Task) -> None:
        policy = shape_of(self._service.spec).task_template.restart_policy
        if policy.condition == "none":
            return

        async def later() -> None:
            await asyncio.sleep(self._pace.seconds(policy.delay))
            # Unless another spec, with another job, came in between.
            if failed.job_iteration == self._service.job_iteration and place not in self._lives:
                self._start(place)

        self._spawn(later())
