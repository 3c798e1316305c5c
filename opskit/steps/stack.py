"""Steps about whole stacks: all services converged, and back to the specs they had before."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from opskit.errors import NotFoundError, VerifyError
from opskit.join import stack_of
from opskit.steps.base import CannotUndoError, Detail, Step, StepContext
from opskit.steps.services import replace_spec
from opskit.steps.tasks import Probe, ask, complaint, has_failed, is_alive
from opskit.steps.verify import (
    Convergence,
    check_rollout,
    converge,
    seen,
    still_there,
    wanted,
)
from opskit.swarm import model
from opskit.swarm.engine import RawService, RawSpec

_COMPARED = ("ContainerSpec", "ForceUpdate")


class VerifyStack(Step, frozen=True, kw_only=True, tag="verify-stack"):
    """Wait until every service of a stack runs its current spec and stays so.

    With `back` it is the half that waits once the run is undone. `services` narrows it to some,
    by name; `timeout` and `stable` are in seconds.
    """

    stack: str
    services: tuple[str, ...] = ()
    timeout: float
    stable: float
    probe: Probe | None = None
    back: bool = False

    def subject(self) -> str:
        """Name what is watched."""
        return ", ".join(self.services) or self.stack

    def calls(self) -> list[str]:
        """Show what is waited for."""
        if self.back:
            return []
        lines = [
            f"GET /services, /tasks: {self.subject()} converged for {self.stable:g} s within "
            f"{self.timeout:g} s"
        ]
        if self.probe:
            lines.append(f"probe {self.probe.kind} {' '.join(self.probe.target)}")
        return lines

    def longest_wait(self) -> float:
        """Return the time it has."""
        return 0.0 if self.back else self.timeout

    def do(self, ctx: StepContext) -> Detail:
        """Watch until all is well, or say what is not."""
        if self.back:
            return {}
        started = time.monotonic()
        until = started + self.timeout
        note = wait_for(ctx, self.stack, self.services, until=until, stable=self.stable)
        if note is None:
            raise VerifyError(f"{self.stack} has no services on {ctx.engine.server}.")
        if self.probe is not None:
            ask(ctx, self.probe, until)
        return {"seconds": round(time.monotonic() - started, 2), "note": note}

    def undo(self, ctx: StepContext) -> Detail:
        """Wait once more if this is the half that stands before the change."""
        if not self.back:
            return {}
        until = time.monotonic() + self.timeout
        note = wait_for(ctx, self.stack, self.services, until=until, stable=0.0, forward=False)
        return {"note": note or ""}


class Was(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it was when the plan was made."""

    service: str
    service_id: str
    spec_digest: str


class PutBack(Step, frozen=True, kw_only=True, tag="put-back"):
    """The way back of a deploy: stands before it, so it is undone after it.

    Swarm keeps each service's previous spec, so nothing of it needs to be written down here.
    Services that the deploy made are removed; networks, configs and volumes stay.
    """

    stack: str
    before: tuple[Was, ...]
    timeout: float

    def subject(self) -> str:
        """Name the services."""
        return ", ".join(one.service for one in self.before) or self.stack

    def calls(self) -> list[str]:
        """Do nothing unless the run is undone."""
        return []

    def do(self, ctx: StepContext) -> Detail:
        """Do nothing; there is something to put back only when the run is undone."""
        return {}

    def undo(self, ctx: StepContext) -> Detail:
        """Give every service its previous spec, and remove those that were not there."""
        known = {one.service_id: one for one in self.before}
        there = {raw.service.id: raw for raw in self._present(ctx)}
        made = [raw.service for ident, raw in there.items() if ident not in known]
        changed = [ident for ident, one in known.items() if _is_changed(there.get(ident), one)]
        lost = [known[ident].service for ident in changed if _spec_before(
            there.get(ident), known[ident]) is None]  # fmt: skip
        for service in made:
            _remove(ctx, service.id)
        for ident in changed:
            spec = _spec_before(there.get(ident), known[ident])
            if spec is not None:
                seen_as = there[ident].service.spec_digest
                replace_spec(ctx, ident, lambda _, spec=spec: spec, expected=seen_as)
        if lost:
            raise CannotUndoError(
                f"{', '.join(lost)} on {ctx.engine.server} changed more than once since, so the "
                "spec before is gone."
            )
        names = tuple(one.service for one in self.before)
        until = time.monotonic() + self.timeout
        note = wait_for(ctx, self.stack, names, until=until, stable=0.0, forward=False)
        return {"put_back": len(changed), "removed": len(made), "note": note or ""}

    def undo_conflict(self, ctx: StepContext) -> str:
        """Say so when a service changed again later."""
        there = {raw.service.id: raw for raw in self._present(ctx)}
        for one in self.before:
            found = there.get(one.service_id)
            if _is_changed(found, one) and _spec_before(found, one) is None:
                return (
                    f"{one.service} on {ctx.engine.server} is gone or was updated again since. "
                    "Roll back the later run first, or deploy the version you want."
                )
        return ""

    def _present(self, ctx: StepContext) -> list[RawService]:
        found: list[RawService] = []
        for service in ctx.patiently(lambda: services_of(ctx, self.stack)):
            try:
                found.append(ctx.patiently(lambda ident=service.id: ctx.engine.raw_service(ident)))
            except NotFoundError:
                continue
        return found


def services_of(ctx: StepContext, stack: str) -> list[model.Service]:
    """Read the services of a stack."""
    return [s for s in ctx.engine.services() if stack_of(s.spec.labels) == stack]


def wait_for(
    ctx: StepContext,
    stack: str,
    names: tuple[str, ...],
    *,
    until: float,
    stable: float,
    forward: bool = True,
) -> str | None:
    """Wait until services of a stack run their current specs, and say what cannot be told.

    Gives ``None`` when there are no services.
    """
    found = [
        service
        for service in ctx.patiently(lambda: services_of(ctx, stack))
        if not names or service.spec.name in names
    ]

    def look() -> Iterable[tuple[str, Convergence]]:
        for service in found:
            yield service.spec.name, _look(ctx, service.id, forward=forward)

    return converge(ctx, look, until=until, stable=stable) if found else None


def _look(ctx: StepContext, service_id: str, *, forward: bool) -> Convergence:
    raw = ctx.engine.raw_service(service_id)
    service = raw.service
    template: RawSpec = raw.spec.get("TaskTemplate") or {}
    tasks = ctx.engine.tasks(service_id)
    specs = ctx.engine.task_specs(service_id)
    current = [task for task in tasks if _fits(specs.get(task.id), template)]
    # What failed before the service was last touched says nothing of its spec now.
    since = service.updated_at or service.created_at
    failures = [task for task in current if has_failed(task) and task.created_at >= since]
    check_rollout(ctx, service, tasks, failures, on="its new spec", forward=forward)
    others = [task for task in tasks if is_alive(task) and task not in current]
    left, note = still_there(ctx, others)
    if left:
        why = f"tasks of its old spec are still there; {complaint(tasks)}"
        return Convergence(running=None, why=why, note=note)
    right = [task for task in current if task.desired_state == "running"]
    running = [task for task in right if task.status.state == "running"]
    if _may_end(service, template):
        running += [task for task in current if task.status.state == "complete"]
    return replace(seen(service, tasks, running, wanted(ctx, service, right)), note=note)


def _fits(spec: RawSpec | None, template: RawSpec) -> bool:
    return spec is not None and all(
        (spec.get(key) or None) == (template.get(key) or None) for key in _COMPARED
    )


def _may_end(service: model.Service, template: RawSpec) -> bool:
    """Return whether a task that ended well has done what it was for."""
    mode = service.spec.mode
    policy: RawSpec = template.get("RestartPolicy") or {}
    is_job = mode.replicated_job is not None or mode.global_job is not None
    return is_job or policy.get("Condition") in ("none", "on-failure")


def _is_changed(found: RawService | None, before: Was) -> bool:
    return found is None or found.service.spec_digest != before.spec_digest


def _spec_before(found: RawService | None, before: Was) -> RawSpec | None:
    if found is None or found.previous_digest != before.spec_digest:
        return None
    return found.previous


def _remove(ctx: StepContext, service_id: str) -> None:
    try:
        ctx.engine.remove_service(service_id)
    except NotFoundError:
        return
