"""The step that makes sure a change works: services converged, stable, old version gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec

from opskit.errors import NotFoundError, VerifyError
from opskit.steps.base import TRANSIENT, Detail, Step, StepContext
from opskit.steps.secrets import stored
from opskit.steps.tasks import Probe, about_lost, ask, complaint, has_failed, is_alive, lost
from opskit.swarm import model

_POLL_S = 0.25
_AT_ONCE = timedelta(seconds=15)
_BAD_UPDATES = frozenset({"paused", "rollback_started", "rollback_paused", "rollback_completed"})
_ENOUGH_FAILURES = 3


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A service to watch, and the secrets it must, and must not, use."""

    service: str
    service_id: str
    new: tuple[str, ...]
    old_ids: tuple[str, ...]


class Verify(Step, frozen=True, kw_only=True, tag="verify"):
    """Wait until every service runs on the new versions and stays so.

    `timeout` and `stable` are in seconds.
    """

    watched: tuple[Watched, ...]
    timeout: float
    stable: float
    probe: Probe | None = None

    def subject(self) -> str:
        """Name the services."""
        return ", ".join(one.service for one in self.watched) or "probe"

    def calls(self) -> list[str]:
        """Show what is waited for."""
        lines = [
            f"GET /services/{one.service_id}, /tasks: {one.service} converged for "
            f"{self.stable:g} s within {self.timeout:g} s"
            for one in self.watched
        ]
        if self.probe:
            lines.append(f"probe {self.probe.kind} {' '.join(self.probe.target)}")
        return lines

    def longest_wait(self) -> float:
        """Return the time it has."""
        return self.timeout

    def do(self, ctx: StepContext) -> Detail:
        """Watch until all is well, or say what is not."""
        started = time.monotonic()
        until = started + self.timeout
        note = _converge(ctx, self.watched, until=until, stable=self.stable, forward=True)
        if self.probe is not None:
            ask(ctx, self.probe, until)
        return {"seconds": round(time.monotonic() - started, 2), "note": note}

    def undo(self, ctx: StepContext) -> Detail:
        """Do nothing: `ConvergeBack` waits once the services are switched back."""
        return {}


class ConvergeBack(Step, frozen=True, kw_only=True, tag="converge-back"):
    """The other half of `Verify`: stands before the switches, so it is undone after them."""

    watched: tuple[Watched, ...]
    timeout: float

    def subject(self) -> str:
        """Name the services."""
        return ", ".join(one.service for one in self.watched)

    def calls(self) -> list[str]:
        """Do nothing unless the run is undone."""
        return []

    def do(self, ctx: StepContext) -> Detail:
        """Do nothing; there is something to wait for only when the run is undone."""
        return {}

    def undo(self, ctx: StepContext) -> Detail:
        """Wait until every service runs on the versions it came from."""
        until = time.monotonic() + self.timeout
        return {
            "note": _converge(ctx, self.watched, until=until, stable=0.0, forward=False),
        }


def _converge(
    ctx: StepContext, watched: tuple[Watched, ...], *, until: float, stable: float, forward: bool
) -> str:
    """Wait until all services run on the right versions, the same tasks for `stable` seconds."""
    # By id, as a version that failed before may have been made anew under its name, and Swarm
    # remembers the tasks that failed on it.
    new = {name: _id_of(ctx, name) for one in watched for name in one.new}

    def look() -> Iterable[tuple[str, Convergence]]:
        for one in watched:
            try:
                found = _look(ctx, one, [new[name] for name in one.new], forward=forward)
            except NotFoundError:
                if forward:
                    raise
                # A service that was removed has no version to come back to.
                continue
            yield one.service, found

    return converge(ctx, look, until=until, stable=stable)


def converge(
    ctx: StepContext,
    look: Callable[[], Iterable[tuple[str, Convergence]]],
    *,
    until: float,
    stable: float,
) -> str:
    """Wait until all services run the right tasks, the same ones for `stable` seconds.

    Returns
    -------
    str
        What could not be told of them, empty when all could.

    Raises
    ------
    VerifyError
        They do not in time, or `look` found that they never will.
    """
    since: float | None = None
    last: frozenset[str] = frozenset()
    why = "the server did not answer"
    while True:
        running: frozenset[str] | None = frozenset()
        settled, notes = True, list[str]()
        try:
            for service, seen in look():
                settled = settled and seen.settled
                notes += [f"{service}: {seen.note}"] if seen.note else []
                why = f"{service}: {seen.why}" if seen.why else why
                if seen.running is None:
                    running = None
                    break
                running |= seen.running
        except TRANSIENT as error:
            running, why = None, str(error)
        now = time.monotonic()
        if running is None or running != last:
            since, last = None, running or frozenset()
        if running is not None:
            since = now if since is None else since
            if settled and now - since >= stable:
                return "; ".join(notes)
        if now >= until:
            told = "; ".join([why, *notes])
            raise VerifyError(f"{ctx.engine.server} did not converge in time: {told}.")
        ctx.keep_lock()
        ctx.wait(_POLL_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """A service now: the right tasks that run when none is missing, and what is still amiss.

    A rollout goes on for the monitoring time of its update after its last task runs; the tasks
    count as stable from when they run, the rollout as settled from when it has ended. `note` says
    what nobody can tell of it.
    """

    running: frozenset[str] | None
    settled: bool = True
    why: str = ""
    note: str = ""


def _look(ctx: StepContext, one: Watched, new: list[str], *, forward: bool) -> Convergence:
    service = ctx.engine.raw_service(one.service_id).service
    tasks = ctx.engine.tasks(one.service_id)
    if forward:
        failures = [task for task in tasks if _is_new(task, new) and has_failed(task)]
        check_rollout(ctx, service, tasks, failures, on="the new version")
    others = [
        task for task in tasks if is_alive(task) and not _is_right(task, one, new, forward=forward)
    ]
    left, note = still_there(ctx, others)
    if left:
        why = f"tasks of the other version are still there; {complaint(tasks)}"
        return Convergence(running=None, why=why, note=note)
    right = [task for task in tasks if task.desired_state == "running"]
    running = [task for task in right if task.status.state == "running"]
    return replace(seen(service, tasks, running, wanted(ctx, service, right)), note=note)


def still_there(ctx: StepContext, others: Sequence[model.Task]) -> tuple[bool, str]:
    """Return whether tasks that should have ended must be waited for, and what to note of others.

    Those on a node that is down are not waited for: a rotation must be possible while a node is
    dead, above all for a secret that leaked. Pruning still counts them as users.
    """
    if not others:
        return False, ""
    gone = lost(others, ctx.engine.nodes())
    kept = (
        "; prune keeps what it mounts until the node is back, or removed (docker node rm --force)"
    )
    return len(gone) < len(others), about_lost(gone) + kept if gone else ""


def check_rollout(
    ctx: StepContext,
    service: model.Service,
    tasks: Sequence[model.Task],
    failures: Sequence[model.Task],
    *,
    on: str,
    forward: bool = True,
) -> None:
    """Raise when Swarm gave a rollout up, or when its tasks keep failing.

    When a run is undone, not `forward`, a rollback of Swarm's own is the way there, no fault.

    Raises
    ------
    VerifyError
        Says what a task complained of.
    """
    where = f"{service.spec.name} on {ctx.engine.server}"
    state = service.update_status.state if service.update_status else ""
    if forward and state in _BAD_UPDATES:
        raise VerifyError(
            f"{where} did not take the change: its update is {state.replace('_', ' ')} "
            f"({complaint(tasks)})."
        )
    if len(failures) >= _ENOUGH_FAILURES:
        raise VerifyError(f"{where} keeps failing on {on}: {complaint(failures)}.")


def seen(
    service: model.Service,
    tasks: Sequence[model.Task],
    running: Sequence[model.Task],
    needed: int,
) -> Convergence:
    """Return how a service stands of which `needed` tasks should run."""
    if len(running) < needed:
        return Convergence(
            running=None, why=f"{len(running)} of {needed} tasks run; {complaint(tasks)}"
        )
    state = service.update_status.state if service.update_status else ""
    settled = state not in ("updating", "rollback_started")
    why = "" if settled else f"its update is still {state.replace('_', ' ')}; {complaint(tasks)}"
    return Convergence(running=frozenset(task.id for task in running), settled=settled, why=why)


def wanted(ctx: StepContext, service: model.Service, right: Sequence[model.Task]) -> int:
    """Return how many tasks a service should have."""
    mode = service.spec.mode
    if mode.replicated is not None:
        return mode.replicated.replicas
    # A global service wants as many tasks as Swarm gave it: one on each fitting node. It gets
    # them at once; when it still has none a while later, no node fits.
    if not right and mode.global_ is not None and _has_rested(ctx, service):
        return 0
    return max(1, len(right))


def _has_rested(ctx: StepContext, service: model.Service) -> bool:
    now = ctx.engine.info().system_time or datetime.now(UTC)
    return now - (service.updated_at or service.created_at) >= _AT_ONCE


def _id_of(ctx: StepContext, name: str) -> str:
    there = ctx.patiently(lambda: stored(ctx.engine, name))
    return there.id if there is not None else ""


def _is_new(task: model.Task, new: list[str]) -> bool:
    return bool(new) and _ids(task).issuperset(new)


def _is_right(task: model.Task, one: Watched, new: list[str], *, forward: bool) -> bool:
    if not new:
        return True
    if forward and _ids(task) & set(one.old_ids):
        return False
    return _is_new(task, new) is forward


def _ids(task: model.Task) -> set[str]:
    container = task.spec.container_spec
    return {reference.secret_id for reference in (container and container.secrets) or ()}
