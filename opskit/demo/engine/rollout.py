"""The orchestrator: brings tasks up, rolls services over, pauses or rolls back on failure."""

# The Engine API's JSON is kept as it is on the wire.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from opskit.demo.engine.behaviour import COMPLAINTS, Fate, fate
from opskit.demo.engine.state import Object, Swarm

_CRASH_LOOP_LIMIT = 20
"""Restarts before a crash loop is left alone; a real one would go on for ever."""


@dataclass(slots=True)
class Orchestrator:
    """Runs the services of one swarm inside the current event loop.

    Parameters
    ----------
    swarm
        Its state.
    start
        Seconds a task takes from start to running.
    stop
        Seconds it takes to shut down.
    """

    swarm: Swarm
    start: float = 0.05
    stop: float = 0.02
    _rollouts: dict[str, asyncio.Task[None]] = field(
        default_factory=dict[str, "asyncio.Task[None]"]
    )

    def __post_init__(self) -> None:
        self.swarm.on_service = self.reconcile

    def reconcile(self, ident: str) -> None:
        """Begin to bring a service to its current spec, giving up any earlier rollout of it."""
        running = self._rollouts.pop(ident, None)
        if running is not None:
            running.cancel()
        self._rollouts[ident] = asyncio.get_running_loop().create_task(self._roll(ident))

    async def _roll(self, ident: str) -> None:
        if await self._update(ident):
            return
        spec = self.swarm.services[ident]["Spec"]
        config = spec.get("UpdateConfig") or {}
        match config.get("FailureAction") or "pause":
            case "rollback" if "PreviousSpec" in self.swarm.services[ident]:
                await self._roll_back(ident)
            case "continue":
                self.swarm.update_status(ident, "completed", "update completed")
                await self._crash_on(ident)
            case _:
                pass

    async def _update(self, ident: str) -> bool:
        """Replace what differs from the spec; tell whether it went well."""
        service = self.swarm.services[ident]
        wanted = self.swarm.wanted(ident)
        template = service["Spec"]["TaskTemplate"]
        live = {t["Slot"]: t for t in self.swarm.tasks[ident] if t["DesiredState"] == "running"}
        for slot, task in live.items():
            if slot > wanted:
                await self._shut_down(task)
        dirty = [s for s in range(1, wanted + 1) if s not in live or live[s]["Spec"] != template]
        rolling = "PreviousSpec" in service and any(slot in live for slot in dirty)
        if rolling:
            self.swarm.update_status(ident, "updating", "update in progress")
        for slot in dirty:
            ok, task = await self._replace(ident, slot, live.get(slot))
            if not ok:
                action = (service["Spec"].get("UpdateConfig") or {}).get("FailureAction")
                if not rolling:
                    await self._crash_on(ident)
                    return True
                if action != "continue":
                    why = f"update paused due to failure or early termination of task {task['ID']}"
                    self.swarm.update_status(ident, "paused", why)
                    return False
        if rolling:
            self.swarm.update_status(ident, "completed", "update completed")
        return True

    async def _replace(self, ident: str, slot: int, old: Object | None) -> tuple[bool, Object]:
        spec = self.swarm.services[ident]["Spec"]
        order = (spec.get("UpdateConfig") or {}).get("Order") or "stop-first"
        if old is not None and order == "stop-first":
            await self._shut_down(old)
        ok, task = await self._bring_up(ident, slot)
        if old is not None and order == "start-first" and ok:
            await self._shut_down(old)
        return ok, task

    async def _bring_up(self, ident: str, slot: int) -> tuple[bool, Object]:
        spec = self.swarm.services[ident]["Spec"]
        doom: Fate = fate(spec)
        task = self.swarm.add_task(ident, slot, state="new")
        if doom == "no-node":
            self.swarm.set_task(task, state="pending", error=COMPLAINTS[doom])
            await asyncio.Event().wait()
        if doom == "no-image":
            image = spec["TaskTemplate"]["ContainerSpec"]["Image"]
            text = COMPLAINTS[doom].format(image=image)
            self.swarm.set_task(task, state="rejected", desired="shutdown", error=text)
            return False, task
        self.swarm.set_task(task, state="preparing")
        await asyncio.sleep(self.start / 2)
        self.swarm.set_task(task, state="starting")
        await asyncio.sleep(self.start / 2)
        if doom == "runs":
            self.swarm.set_task(task, state="running", message="started")
            return True, task
        if doom == "crashes":
            self.swarm.set_task(task, state="running", message="started")
        await asyncio.sleep(self.start)
        self.swarm.set_task(task, state="failed", desired="shutdown", error=COMPLAINTS[doom])
        return False, task

    async def _crash_on(self, ident: str) -> None:
        for _ in range(_CRASH_LOOP_LIMIT):
            await asyncio.sleep(self.start)
            down = [s for s in range(1, self.swarm.wanted(ident) + 1) if not self._is_up(ident, s)]
            if not down:
                return
            for slot in down:
                await self._bring_up(ident, slot)

    def _is_up(self, ident: str, slot: int) -> bool:
        return any(
            task["Slot"] == slot and task["Status"]["State"] == "running"
            for task in self.swarm.tasks[ident]
        )

    async def _shut_down(self, task: Object) -> None:
        was_running = task["Status"]["State"] == "running"
        self.swarm.set_task(task, state=task["Status"]["State"], desired="shutdown",
                            message=task["Status"]["Message"])  # fmt: skip
        await asyncio.sleep(self.stop)
        self.swarm.set_task(task, state="shutdown" if was_running else "complete")

    async def _roll_back(self, ident: str) -> None:
        service = self.swarm.services[ident]
        self.swarm.update_status(ident, "rollback_started", "update rolled back due to failure")
        service["Spec"], service["PreviousSpec"] = service["PreviousSpec"], service["Spec"]
        live = {t["Slot"]: t for t in self.swarm.tasks[ident] if t["DesiredState"] == "running"}
        template = service["Spec"]["TaskTemplate"]
        for slot in range(1, self.swarm.wanted(ident) + 1):
            old = live.get(slot)
            if old is not None and old["Spec"] == template:
                continue
            ok, _ = await self._replace(ident, slot, old)
            if not ok:
                self.swarm.update_status(ident, "rollback_paused", "rollback paused")
                return
        self.swarm.update_status(ident, "rollback_completed", "rollback completed")
