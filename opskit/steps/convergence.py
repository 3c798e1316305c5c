"""What counts as converged, and how long to wait for it: one rule for every step and direction.

Right are the tasks of the spec that a service has now. A service has converged when none of
another spec is left and each of its places is filled: by a task that runs or, where a task is
there to end, by one that ended well. Deploy, rotate, restart and undo wait by this rule alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from opskit.errors import NotFoundError, VerifyError
from opskit.facts.places import (
    filled,
    has_ended_well,
    has_failed,
    has_failed_by_itself,
    is_alive,
    is_there_to_end,
    is_wanted,
)
from opskit.pace import Pace, longest
from opskit.steps.base import TRANSIENT, StepContext
from opskit.steps.complaint import complaint
from opskit.steps.pacing import asked_for, pace_of
from opskit.steps.tasks import about_lost, lost, without_secrets
from opskit.swarm import model
from opskit.swarm.engine import RawSpec
from opskit.swarm.lookout import Look, Seen

_AT_ONCE = timedelta(seconds=15)
_NOTED = timedelta(seconds=2)
"""Swarm makes the first tasks of an update a moment before it notes that the update began."""
_BAD_UPDATES = frozenset({"paused", "rollback_started", "rollback_paused", "rollback_completed"})
_UNDER_WAY = frozenset({"updating", "rollback_started"})
_ENOUGH_FAILURES = 3
_COMPARED = ("ContainerSpec", "ForceUpdate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A service to wait for.

    Parameters
    ----------
    service, service_id
        Its name and id.
    mounts, leaves
        Ids of secrets that its spec must name by then, and must not.
    ran
        Whether all its tasks ran before anything was changed: if not, the way back does not wait
        for what was not there.
    """

    service: str
    service_id: str
    mounts: frozenset[str] = frozenset()
    leaves: frozenset[str] = frozenset()
    ran: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Converged:
    """All services run as they should; `note` is what could not be told of them.

    There would have been time until `until`, on the clock of ``time.monotonic``.
    """

    note: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """A service now: its right tasks when none is missing, and what is still amiss.

    A rollout goes on for the monitoring time of its update after its last task runs; the tasks
    count as stable from when they run, the rollout as settled from when it has ended. `note` says
    what nobody can tell of it, `recent` are the tasks that may know why something is amiss.
    """

    service: model.Service
    pace: Pace
    asked_for: float
    right: frozenset[str] | None
    settled: bool = True
    why: str = ""
    note: str = ""
    recent: Sequence[model.Task] = ()


@dataclass(slots=True, kw_only=True)
class Wait:
    """Waits until services have converged.

    Parameters
    ----------
    ctx
        Where.
    patience
        Seconds that the operator or the recipe gives them.
    planned
        Seconds that the plan named; what their specs make necessary may be more.
    forward
        Whether a change is made rather than taken back.
    quotes
        Whether to repeat what tasks wrote. Values made or given in this run are masked; one that
        the swarm has held longer is not known here.
    """

    ctx: StepContext
    patience: float
    planned: float = 0.0
    forward: bool = True
    quotes: bool = True
    _nodes: int = field(default=0, init=False)

    def until_converged(self, goals: Callable[[], Sequence[Goal]], *, stable: float) -> Converged:
        """Wait until all services have their right tasks, the same ones for `stable` seconds.

        Parameters
        ----------
        goals
            Reads which services to wait for, once.
        stable
            Seconds that they must stay converged.

        Raises
        ------
        VerifyError
            They do not in time, or one of them never will; says what a task complained of.
        """
        started, chosen = time.monotonic(), self.ctx.patiently(goals)
        lookout = self.ctx.lookout or self.ctx.engine.lookout()
        services = [goal.service_id for goal in chosen]
        with lookout.attended(services):
            return self._watched(chosen, partial(lookout.look, services), started, stable)

    def _attend(self) -> None:
        self.ctx.check_stop()
        self.ctx.keep_lock()

    def _watched(
        self, chosen: Sequence[Goal], look: Callable[..., Look], started: float, stable: float
    ) -> Converged:
        patience = self.patience
        until = started + max(self.patience, self.planned)
        no_task: Sequence[model.Task] = ()
        since: float | None = None
        last: frozenset[str] = frozenset()
        why, blamed = "the server did not answer", no_task
        told = ""
        after, by = time.monotonic(), 0.0
        # Told to stop, it still looks once: what has converged is not waited for.
        attend = self.ctx.keep_lock
        while True:
            attend()
            right: frozenset[str] | None = frozenset()
            settled, notes, paces = True, list[str](), list[Pace]()
            services: list[model.Service] = []
            try:
                found = look(after=after, by=by, attend=attend)
                after, ended = found.begun, found.ended
                for goal, seen in self._standings(chosen, found):
                    paces.append(seen.pace)
                    services.append(seen.service)
                    patience = max(patience, seen.asked_for)
                    settled = settled and seen.settled
                    notes += [f"{goal.service}: {seen.note}"] if seen.note else []
                    if seen.why:
                        why, blamed = f"{goal.service}: {seen.why}", seen.recent
                    if seen.right is None:
                        right = None
                        break
                    right |= seen.right
                until = max(until, started + longest(patience, paces, nodes=self._nodes))
            except TRANSIENT as error:
                right, why, blamed = None, str(error), no_task
                after = ended = time.monotonic()
            now = time.monotonic()
            if right is None or right != last:
                since, last = None, right or frozenset()
            awaited = why
            if right is not None:
                held = 0.0 if since is None else after - since
                since = ended if since is None else since
                awaited = f"{stable:g} s without a change" if settled else why
                if settled and held >= stable:
                    self._check_files(services, right)
                    return Converged(note="; ".join(notes), until=until)
            if now >= until:
                said = [why, *([self._complaint(blamed)] if blamed else []), *notes]
                where = self.ctx.engine.server
                raise VerifyError(f"{where} did not converge in time: {'; '.join(said)}.")
            if awaited != told:
                told = awaited
                self.ctx.waits_for(told)
            steady = until if since is None else since + stable
            by = min(steady, until) if steady > after else until
            attend = self._attend

    def _standings(self, goals: Sequence[Goal], look: Look) -> Iterable[tuple[Goal, _Standing]]:
        self._nodes = self._nodes or len(look.nodes)
        for goal in goals:
            try:
                yield goal, self._standing(goal, look)
            except NotFoundError:
                if self.forward:
                    raise
                # A service that was removed has nothing to come back to.

    def _standing(self, goal: Goal, look: Look) -> _Standing:
        seen = look.services.get(goal.service_id)
        if seen is None:
            # It is gone: that is for the engine to say.
            raw = self.ctx.engine.raw_service(goal.service_id)
            seen = Seen(raw.service, raw.spec)
        service = seen.typed
        template: RawSpec = seen.spec.get("TaskTemplate") or {}
        found = look.tasks.get(goal.service_id, ())
        tasks = [task.typed for task in found]
        current = [task.typed for task in found if _fits(task.spec, template)]
        since = _changed_at(service)
        recent = [task for task in tasks if is_alive(task) or task.created_at >= since]
        pace, asked = pace_of(service.spec, undoing=not self.forward), asked_for(service)
        ends = is_there_to_end(service, tasks, current)
        over = _is_over(service, tasks, current)
        if self.forward:
            failures = [
                task for task in current if has_failed_by_itself(task) and task.created_at >= since
            ]
            stopped = ends and not any(map(has_failed, current))
            self._check_rollout(service, recent, failures, over=over, stopped_by_success=stopped)

        def lacking(why: str, note: str = "") -> _Standing:
            return _Standing(
                service=service, pace=pace, asked_for=asked, right=None, why=why, note=note,
                recent=recent,
            )  # fmt: skip

        if amiss := _mounts_amiss(goal, service):
            return lacking(amiss)
        left, note = still_there(
            [task for task in tasks if is_alive(task) and task not in current], lambda: look.nodes
        )
        if left:
            return lacking("tasks of its other spec are still there", note)
        right = frozenset(task.id for task in filled(service, current, ends=ends).values())
        needed = self._needed(service, current)
        if len(right) < needed and not self.forward and (over or not goal.ran):
            needed, said = 0, "it did not run before either, and was not waited for"
            said = "it failed and is not tried again" if over else said
            note = "; ".join(text for text in (said, note) if text)
        if len(right) < needed:
            return lacking(f"{len(right)} of {needed} tasks run", note)
        state = service.update_status.state if service.update_status else ""
        settled = state not in _UNDER_WAY
        return _Standing(
            service=service,
            pace=pace,
            asked_for=asked,
            right=right,
            settled=settled,
            why="" if settled else f"its update is still {state.replace('_', ' ')}",
            note=note,
            recent=recent,
        )

    def _check_rollout(
        self,
        service: model.Service,
        recent: Sequence[model.Task],
        failures: Sequence[model.Task],
        *,
        over: bool,
        stopped_by_success: bool,
    ) -> None:
        """Raise when Swarm gave a rollout up, or when its tasks keep failing.

        To Swarm a task that has done what it was for ended early, and the update pauses at it.
        When a run is undone a rollback of Swarm's own is the way there, no fault, and what failed
        may come up once all it needs is back.
        """
        where = f"{service.spec.name} on {self.ctx.engine.server}"
        state = service.update_status.state if service.update_status else ""
        if state in _BAD_UPDATES and not (stopped_by_success and state == "paused"):
            raise VerifyError(
                f"{where} did not take the change: its update is {state.replace('_', ' ')} "
                f"({self._complaint(recent)})."
            )
        if len(failures) >= _ENOUGH_FAILURES:
            raise VerifyError(
                f"{where} keeps failing on its new spec: {self._complaint(failures)}."
            )
        if over:
            raise VerifyError(
                f"{where} failed on its spec and is not tried again: {self._complaint(recent)}."
            )

    def _check_files(self, services: Sequence[model.Service], right: frozenset[str]) -> None:
        """Raise when a task that runs has none of its service's secrets."""
        engine = self.ctx.engine
        found = self.ctx.patiently(partial(without_secrets, engine, services, right))
        if found is not None:
            service, container = found
            raise VerifyError(
                f"{service} on {engine.server} runs without its secrets: its engine was killed as "
                f"it made the container {container[:12]}. Restart the service, which makes a new "
                "one."
            )

    def _needed(self, service: model.Service, current: Sequence[model.Task]) -> int:
        """Return how many places a service should have filled."""
        mode = service.spec.mode
        if mode.replicated is not None:
            return mode.replicated.replicas
        if (job := mode.replicated_job) is not None:
            done = sum(map(has_ended_well, current))
            return min(job.total_completions, done + job.max_concurrent)
        # One on every fitting node wants as many tasks as Swarm gave it. It gets them at once;
        # when it still has none a while later, no node fits.
        wanted = [task for task in current if is_wanted(task)]
        if not wanted and self._has_rested(service):
            return 0
        return max(1, len(wanted))

    def _has_rested(self, service: model.Service) -> bool:
        now = self.ctx.engine.info().system_time or datetime.now(UTC)
        return now - (service.updated_at or service.created_at) >= _AT_ONCE

    def _complaint(self, tasks: Sequence[model.Task]) -> str:
        return complaint(self.ctx.engine, tasks, quotes=self.quotes)


def still_there(
    others: Sequence[model.Task], nodes: Callable[[], Iterable[model.Node]]
) -> tuple[bool, str]:
    """Return whether tasks that should have ended must be waited for, and what to note of others.

    Those on a node that is down are not waited for: a rotation must be possible while a node is
    dead, above all for a secret that leaked. Pruning still counts them as users.
    """
    if not others:
        return False, ""
    gone = lost(others, nodes())
    kept = (
        "; prune keeps what it mounts until the node is back, or removed (docker node rm --force)"
    )
    return len(gone) < len(others), about_lost(gone) + kept if gone else ""


def _fits(spec: RawSpec, template: RawSpec) -> bool:
    return all((spec.get(key) or None) == (template.get(key) or None) for key in _COMPARED)


def _changed_at(service: model.Service) -> datetime:
    """Return when a service got its spec: what failed before says nothing of it."""
    status = service.update_status
    begun = status.started_at if status else None
    return (begun or service.updated_at or service.created_at) - _NOTED


def _mounts_amiss(goal: Goal, service: model.Service) -> str:
    names = secrets_of(service)
    if goal.mounts - names.keys():
        return "its spec does not name the new version"
    kept = sorted(names[ident] for ident in goal.leaves & names.keys())
    return f"its spec still names {', '.join(kept)}" if kept else ""


def secrets_of(service: model.Service) -> dict[str, str]:
    """Return the names of the secrets that a service's spec names, by their ids."""
    container = service.spec.task_template.container_spec
    return {ref.secret_id: ref.secret_name for ref in (container and container.secrets) or ()}


def _is_over(
    service: model.Service, tasks: Sequence[model.Task], current: Sequence[model.Task]
) -> bool:
    """Return whether the newest task failed and Swarm will make no other."""
    policy = service.spec.task_template.restart_policy
    if policy is None or not current or any(map(is_alive, current)):
        return False
    newest = max(tasks, key=lambda task: task.created_at)
    if newest not in current or not has_failed(newest):
        return False
    failed = sum(has_failed(task) for task in current if task.slot == newest.slot)
    return policy.condition == "none" or 0 < policy.max_attempts < failed
