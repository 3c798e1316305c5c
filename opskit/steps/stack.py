"""Steps about whole stacks: all services converged, and back to the specs they had before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from opskit.abra.env import parse_env
from opskit.abra.names import label, pinned_version
from opskit.errors import NotFoundError, VerifyError
from opskit.steps.base import CannotUndoError, Detail, Step, StepContext
from opskit.steps.convergence import Goal, Wait, secrets_of
from opskit.steps.deploy import Deploy
from opskit.steps.env import read_env
from opskit.steps.made import made_by
from opskit.steps.services import replace_spec, services_of
from opskit.steps.tasks import PlannedProbe, ask
from opskit.swarm import model
from opskit.swarm.engine import RawService, RawSpec


class VerifyStack(Step, frozen=True, kw_only=True, tag="verify-stack"):
    """Wait until every service of a stack runs its current spec and stays so.

    With `back` it is the half that waits once the run is undone; `idle` did not run before.
    `services` narrows it to some, by name. `timeout` is the seconds that operator or recipe give
    the app, `planned` those that its services need as well, as far as the plan could know;
    `stable` is in seconds too.
    """

    stack: str
    services: tuple[str, ...] = ()
    timeout: float
    planned: float = 0.0
    stable: float
    probe: PlannedProbe | None = None
    back: bool = False
    idle: tuple[str, ...] = ()

    def subject(self) -> str:
        """Name what is watched."""
        return ", ".join(self.services) or self.stack

    def calls(self) -> list[str]:
        """Show what is waited for."""
        if self.back:
            return []
        lines = [
            f"GET /services, /tasks: {self.subject()} converged for {self.stable:g} s within "
            f"{self.longest_wait():g} s"
        ]
        if self.probe:
            lines.append(f"probe {self.probe.kind} {' '.join(self.probe.target)}")
        return lines

    def longest_wait(self) -> float:
        """Return the time it has."""
        return 0.0 if self.back else max(self.timeout, self.planned)

    def do(self, ctx: StepContext) -> Detail:
        """Watch until all is well, or say what is not."""
        if self.back:
            return {}
        started = time.monotonic()
        wait = Wait(ctx=ctx, patience=self.timeout, planned=self.planned)
        found = wait.until_converged(lambda: self._goals(ctx), stable=self.stable)
        if self.probe is not None:
            ask(ctx, self.probe, found.until)
        return {"seconds": round(time.monotonic() - started, 2), "note": found.note}

    def undo(self, ctx: StepContext) -> Detail:
        """Wait once more if this is the half that stands before the change."""
        if not self.back:
            return {}
        wait = Wait(ctx=ctx, patience=self.timeout, planned=self.planned, forward=False)
        return {"note": wait.until_converged(lambda: self._goals(ctx), stable=0.0).note}

    def _goals(self, ctx: StepContext) -> list[Goal]:
        found = [
            Goal(
                service=service.spec.name,
                service_id=service.id,
                ran=service.spec.name not in self.idle,
            )
            for service in services_of(ctx, self.stack)
            if not self.services or service.spec.name in self.services
        ]
        if not found and not self.back:
            raise VerifyError(f"{self.stack} has no services on {ctx.engine.server}.")
        return found


class Was(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it was when the plan was made; `ran` says whether all its tasks did."""

    service: str
    service_id: str
    spec_digest: str
    ran: bool = True


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A version that the ``.env`` named when the plan was made.

    It is that of a secret, with its variable and what stands before it in the swarm's name; or of
    the recipe, with neither.
    """

    version: str
    key: str = ""
    prefix: str = ""

    def named_by(self, values: Mapping[str, str | None]) -> str:
        """Return the version that the file names now."""
        named = {key: value or "" for key, value in values.items()}
        return named.get(self.key, "") if self.key else pinned_version(named)


class PutBack(Step, frozen=True, kw_only=True, tag="put-back"):
    """The way back of a deploy: stands before it, so it is undone after it.

    Swarm keeps each service's previous spec, so nothing of it needs to be written down here.
    Services that the deploy made are removed; networks, configs and volumes stay. `timeout` and
    `planned` are as `VerifyStack` has them. `declared` is what the specs before went with, in the
    ``.env`` at `path`.

    `otherwise` deploys the files again where Swarm has not all the specs before any more. What
    runs afterwards is then waited for by another step, as more may have to go back before.
    """

    stack: str
    before: tuple[Was, ...]
    timeout: float
    planned: float = 0.0
    path: str = ""
    declared: tuple[Declared, ...] = ()
    otherwise: Deploy | None = None

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
        """Give every service its previous spec, and remove those that the deploy made."""
        there = self._present(ctx)
        if self.otherwise is not None and self._moved_on(ctx, there):
            return self.otherwise.undo(ctx)
        if why := self._passed(there.values()):
            raise CannotUndoError(f"{why} They were left as they are.")
        known = {one.service_id: one for one in self.before}
        own = made_by(ctx)
        made = [ident for ident, one in there.items() if ident not in known and own.has(one)]
        changed = [ident for ident, one in known.items() if _is_changed(there.get(ident), one)]
        lost = [known[ident].service for ident in changed if _spec_before(
            there.get(ident), known[ident]) is None]  # fmt: skip
        for ident in made:
            _remove(ctx, ident)
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
        detail = {"put_back": len(changed), "removed": len(made)}
        if self.otherwise is not None:
            return detail
        goals = [
            Goal(service=one.service, service_id=one.service_id, ran=one.ran) for one in self.before
        ]
        wait = Wait(ctx=ctx, patience=self.timeout, planned=self.planned, forward=False)
        return {**detail, "note": wait.until_converged(lambda: goals, stable=0.0).note}

    def needs_to_undo(self) -> tuple[str, ...]:
        """Return the services that are given their specs before."""
        return () if self.otherwise is not None else tuple(one.service_id for one in self.before)

    def undo_conflict(self, ctx: StepContext) -> str:
        """Say so when a service changed again later, or came later."""
        return "" if self.otherwise is not None else self._moved_on(ctx, self._present(ctx))

    def _moved_on(self, ctx: StepContext, there: Mapping[str, RawService]) -> str:
        """Return what happened to the stack since the deploy; nothing when all can go back."""
        if why := self._passed(there.values()):
            return f"{why} Roll back the later run first, or deploy the version you want."
        known = {one.service_id for one in self.before}
        own = made_by(ctx)
        for ident, found in there.items():
            if ident in known:
                continue
            name = f"{found.service.spec.name} on {ctx.engine.server}"
            if not own.has(found):
                return (
                    f"{name} was made later, by another deploy. Roll back the later run first. To "
                    "take all of it down, undeploy the app."
                )
            if later := ctx.needed_later(ident):
                return (
                    f"{name} would be removed, and is needed by the way back of run "
                    f"{', '.join(later)}. Roll back the later run first. To take all of it down, "
                    "undeploy the app."
                )
            if own.was_updated(found):
                return (
                    f"{name} was updated since it was made, and would be removed. Roll back the "
                    "later run first. To take it down all the same, undeploy the app."
                )
        for one in self.before:
            found = there.get(one.service_id)
            if _is_changed(found, one) and _spec_before(found, one) is None:
                return (
                    f"{one.service} on {ctx.engine.server} is gone or was updated again since. "
                    "Roll back the later run first, or deploy the version you want."
                )
        return ""

    def _passed(self, there: Iterable[RawService]) -> str:
        """Return which version was declared and deployed since; the specs before have another."""
        if not self.declared:
            return ""
        values = parse_env(read_env(Path(self.path)), Path(self.path)).values
        for one in self.declared:
            now = one.named_by(values)
            if now != one.version and any(self._runs(raw.service, one, now) for raw in there):
                return (
                    f"{self.path} declares {one.key or 'the release'} {now} by now, not "
                    f"{one.version}, and services run that."
                )
        return ""

    def _runs(self, service: model.Service, one: Declared, now: str) -> bool:
        if one.key:
            return one.prefix + now in secrets_of(service).values()
        return (service.spec.labels or {}).get(label(self.stack, "version")) == now

    def _present(self, ctx: StepContext) -> dict[str, RawService]:
        found: dict[str, RawService] = {}
        for service in ctx.patiently(lambda: services_of(ctx, self.stack)):
            try:
                raw = ctx.patiently(lambda ident=service.id: ctx.engine.raw_service(ident))
            except NotFoundError:
                continue
            found[raw.service.id] = raw
        return found


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
