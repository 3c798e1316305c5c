"""Steps that move services from one version of a secret to another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from opskit.errors import NotFoundError, StaleIndexError, StalePlanError, StepError
from opskit.steps.base import TRANSIENT, Detail, Step, StepContext
from opskit.steps.secrets import stored
from opskit.swarm.engine import RawSpec

_TRIES = 8


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """References to replace: those of a version in these files, in any when none is named."""

    from_id: str
    from_name: str
    to_name: str
    # Plans that older journals hold name none.
    files: tuple[str, ...] = ()


class Replacement(NamedTuple):
    """What `swapped` puts in the place of which version, and in which files."""

    old_id: str
    files: tuple[str, ...]
    new_id: str
    new_name: str


class SwitchService(Step, frozen=True, kw_only=True, tag="switch-service"):
    """Point one service at new versions, changing nothing else of its spec.

    The mounted file keeps its name, owner and mode, so the app finds it where it was.
    """

    service: str
    service_id: str
    spec_digest: str
    swaps: tuple[Swap, ...]

    def subject(self) -> str:
        """Name the service."""
        return self.service

    def calls(self) -> list[str]:
        """Show the update call and the references it changes."""
        changes = ", ".join(f"{swap.from_name} → {swap.to_name}" for swap in self.swaps)
        return [f"POST /services/{self.service_id}/update ({self.service}: {changes})"]

    def do(self, ctx: StepContext) -> Detail:
        """Update the whole spec with its version index, or find it updated."""
        ids = {swap.to_name: _id_of(ctx, swap.to_name) for swap in self.swaps}
        replacements = [
            Replacement(swap.from_id, swap.files, ids[swap.to_name], swap.to_name)
            for swap in self.swaps
        ]
        return self._replace(ctx, replacements, expected=self.spec_digest)

    def undo(self, ctx: StepContext) -> Detail:
        """Point the service back at the versions it came from."""
        replacements: list[Replacement] = []
        for swap in self.swaps:
            new = ctx.patiently(lambda name=swap.to_name: stored(ctx.engine, name))
            if new is not None:
                back = Replacement(new.id, swap.files, swap.from_id, swap.from_name)
                replacements.append(back)
        try:
            return self._replace(ctx, replacements, expected=None)
        except NotFoundError:
            return {"gone": True}

    def undo_conflict(self, ctx: StepContext) -> str:
        """Say so when a version to return to is gone, or the service was deployed anew."""
        now = next(
            (s for s in ctx.patiently(ctx.engine.services) if s.spec.name == self.service), None
        )
        if now is not None and now.id != self.service_id:
            return (
                f"{self.service} on {ctx.engine.server} was removed and deployed anew since. "
                "Rotate to a new version instead."
            )
        for swap in self.swaps:
            old = ctx.patiently(lambda name=swap.from_name: stored(ctx.engine, name))
            if old is None or old.id != swap.from_id:
                return (
                    f"{swap.from_name} is no longer on {ctx.engine.server}, and its value cannot "
                    "be read back. Rotate to a new version instead."
                )
        return ""

    def _replace(
        self, ctx: StepContext, replacements: Sequence[Replacement], expected: str | None
    ) -> Detail:
        return replace_spec(
            ctx, self.service_id, lambda spec: swapped(spec, replacements), expected=expected
        )


class RestartService(Step, frozen=True, kw_only=True, tag="restart-service"):
    """Replace a service's tasks by new ones of the same spec.

    `forced` is the number Swarm counts such restarts by, as it is to be.
    """

    service: str
    service_id: str
    spec_digest: str
    forced: int

    def subject(self) -> str:
        """Name the service."""
        return self.service

    def calls(self) -> list[str]:
        """Show the update call."""
        return [f"POST /services/{self.service_id}/update ({self.service}: new tasks)"]

    def do(self, ctx: StepContext) -> Detail:
        """Count the restart, or find it counted."""

        def force(spec: RawSpec) -> RawSpec:
            template = {**spec["TaskTemplate"], "ForceUpdate": self.forced}
            return {**spec, "TaskTemplate": template}

        return replace_spec(ctx, self.service_id, force, expected=self.spec_digest)

    def undo(self, ctx: StepContext) -> Detail:
        """Do nothing: the new tasks are as the old ones were."""
        return {}


def replace_spec(
    ctx: StepContext,
    service_id: str,
    change: Callable[[RawSpec], RawSpec],
    *,
    expected: str | None = None,
) -> Detail:
    """Update a whole spec with its version index, or find it changed already.

    Parameters
    ----------
    ctx
        Where.
    service_id
        Which service.
    change
        Gives the spec to have from the one there is.
    expected
        Digest of the spec that may be changed; any when ``None``.

    Raises
    ------
    StalePlanError
        The spec is neither the expected nor the wanted one.
    StepError
        The version index kept moving, or the connection kept breaking.
    """
    unsure, name, server = False, service_id, ctx.engine.server
    for _ in range(_TRIES):
        raw = ctx.patiently(lambda: ctx.engine.raw_service(service_id))
        name = raw.service.spec.name
        spec = change(raw.spec)
        if spec == raw.spec:
            return {"updated": unsure}
        if expected is not None and raw.service.spec_digest != expected:
            raise StalePlanError(
                f"service {name} on {server} changed since the plan was made. Plan again."
            )
        try:
            ctx.engine.update_service(service_id, raw.service.version.index, spec)
        except StaleIndexError:
            # The orchestrator moves the index when it writes the update's status; only a
            # changed spec is a conflict, and the next turn sees that.
            continue
        except TRANSIENT:
            unsure = True
            continue
        return {"updated": True}
    raise StepError(
        f"service {name} on {server} could not be updated in {_TRIES} tries: its version index "
        "kept moving, or the connection kept breaking."
    )


def swapped(spec: RawSpec, replacements: Sequence[Replacement]) -> RawSpec:
    """Return a copy of a spec with secret references replaced, files kept as they are.

    Parameters
    ----------
    spec
        As the engine stores it.
    replacements
        By what, each reference at most once.
    """
    changed = copy.deepcopy(spec)
    template: dict[str, Any] = changed.get("TaskTemplate") or {}
    container: dict[str, Any] = template.get("ContainerSpec") or {}
    references: list[dict[str, Any]] = container.get("Secrets") or []
    for reference in references:
        file: dict[str, Any] = reference.get("File") or {}
        name = file.get("Name") or reference.get("SecretName", "")
        for one in replacements:
            if reference["SecretID"] == one.old_id and (not one.files or name in one.files):
                reference["SecretID"], reference["SecretName"] = one.new_id, one.new_name
                break
    return changed


def _id_of(ctx: StepContext, name: str) -> str:
    there = ctx.patiently(lambda: stored(ctx.engine, name))
    if there is None:
        raise StepError(f"{name} is not on {ctx.engine.server}; the service cannot use it.")
    return there.id
