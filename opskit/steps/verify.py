"""The step that makes sure a change works: services converged, stable, old version gone."""

from __future__ import annotations

import time

import msgspec

from opskit.steps.base import Detail, Step, StepContext
from opskit.steps.convergence import Converged, Goal, Wait, secrets_of
from opskit.steps.secrets import stored
from opskit.steps.tasks import PlannedProbe, ask


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A service to watch, and the secrets it must, and must not, use.

    `ran` says whether all its tasks ran when the plan was made.
    """

    service: str
    service_id: str
    new: tuple[str, ...]
    old_ids: tuple[str, ...]
    ran: bool = True


class Verify(Step, frozen=True, kw_only=True, tag="verify"):
    """Wait until every service runs on the new versions and stays so.

    `timeout` is the seconds that operator or recipe give the app, `planned` those that its
    services need as well, as far as the plan could know; `stable` is in seconds too.
    """

    watched: tuple[Watched, ...]
    timeout: float
    planned: float = 0.0
    stable: float
    probe: PlannedProbe | None = None

    def subject(self) -> str:
        """Name the services."""
        return ", ".join(one.service for one in self.watched) or "probe"

    def calls(self) -> list[str]:
        """Show what is waited for."""
        lines = [
            f"GET /services/{one.service_id}, /tasks: {one.service} converged for "
            f"{self.stable:g} s within {self.longest_wait():g} s"
            for one in self.watched
        ]
        if self.probe:
            lines.append(f"probe {self.probe.kind} {' '.join(self.probe.target)}")
        return lines

    def longest_wait(self) -> float:
        """Return the time it has."""
        return max(self.timeout, self.planned)

    def do(self, ctx: StepContext) -> Detail:
        """Watch until all is well, or say what is not."""
        started = time.monotonic()
        wait = Wait(
            ctx=ctx, patience=self.timeout, planned=self.planned, quotes=_knows(ctx, self.watched)
        )
        found = _converge(wait, self.watched, stable=self.stable)
        if self.probe is not None:
            ask(ctx, self.probe, found.until)
        return {"seconds": round(time.monotonic() - started, 2), "note": found.note}

    def undo(self, ctx: StepContext) -> Detail:
        """Do nothing: `ConvergeBack` waits once the services are switched back."""
        return {}


class ConvergeBack(Step, frozen=True, kw_only=True, tag="converge-back"):
    """The other half of `Verify`: stands before the switches, so it is undone after them."""

    watched: tuple[Watched, ...]
    timeout: float
    planned: float = 0.0

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
        wait = Wait(
            ctx=ctx,
            patience=self.timeout,
            planned=self.planned,
            forward=False,
            quotes=_knows(ctx, self.watched),
        )
        return {"note": _converge(wait, self.watched, stable=0.0).note}

    def overtaken(self, ctx: StepContext) -> str:
        """Say so when a service has gone on to versions that this run neither found nor made."""
        services = {one.id: one for one in ctx.patiently(ctx.engine.services)}
        for one in self.watched:
            if one.service_id not in services:
                continue
            used = secrets_of(services[one.service_id])
            new = {ctx.patiently(lambda name=name: _id_of(ctx, name)): name for name in one.new}
            if set(one.old_ids) <= used.keys() or new.keys() <= used.keys():
                continue
            like = tuple(name.rpartition("_")[0] for name in one.new)
            others = [name for name in sorted(used.values()) if name.startswith(like)]
            return (
                f"{one.service} on {ctx.engine.server} uses "
                f"{', '.join(others) or 'other secrets'} by now, not {', '.join(one.new)}."
            )
        return ""


def _converge(wait: Wait, watched: tuple[Watched, ...], *, stable: float) -> Converged:
    """Wait until all services run on the right versions."""

    def goals() -> list[Goal]:
        # By id, as a version that failed before may have been made anew under its name.
        new = {name: _id_of(wait.ctx, name) for one in watched for name in one.new}
        return [
            _goal(one, {new[name] for name in one.new}, forward=wait.forward) for one in watched
        ]

    return wait.until_converged(goals, stable=stable)


def _goal(one: Watched, new: set[str], *, forward: bool) -> Goal:
    return Goal(
        service=one.service,
        service_id=one.service_id,
        mounts=frozenset(new if forward else ()),
        leaves=frozenset(one.old_ids if forward else new),
        ran=one.ran,
    )


def _knows(ctx: StepContext, watched: tuple[Watched, ...]) -> bool:
    """Return whether every new value is known, so that it would be masked; not after a crash."""
    return all(name in ctx.values for one in watched for name in one.new)


def _id_of(ctx: StepContext, name: str) -> str:
    there = stored(ctx.engine, name)
    return there.id if there is not None else ""
