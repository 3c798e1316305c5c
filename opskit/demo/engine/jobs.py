"""Services whose tasks are there to end: the job modes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from opskit.demo.engine.life import Life, Pace, Spawn
from opskit.demo.engine.services import Service, Task
from opskit.demo.engine.specs import shape_of
from opskit.demo.engine.state import Swarm

Place = int | str


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
        self._lives: dict[Place, Life] = {}
        self._waiting: list[Place] = []

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

    def _start(self, place: Place) -> None:
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

    def _after(self, place: Place) -> Callable[[Life], None]:
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

    def _retry(self, place: Place, failed: Task) -> None:
        policy = shape_of(self._service.spec).task_template.restart_policy
        if policy.condition == "none":
            return

        async def later() -> None:
            await asyncio.sleep(self._pace.seconds(policy.delay))
            # Unless another spec, with another job, came in between.
            if failed.job_iteration == self._service.job_iteration and place not in self._lives:
                self._start(place)

        self._spawn(later())
