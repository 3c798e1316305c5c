"""Steps that move services from one version of a secret to another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from opskit.errors import NotFoundError, StaleIndexError, StalePlanError, StepError
from opskit.facts.join import stack_of
from opskit.steps.base import TRANSIENT, CannotUndoError, Detail, Step, StepContext
from opskit.steps.secrets import stored
from opskit.swarm import model
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

        def switch(spec: RawSpec) -> RawSpec:
            if other := self._other(ctx, spec, replacements, absent=True):
                raise StalePlanError(f"{other} Plan again.")
            return swapped(spec, replacements)

        return replace_spec(ctx, self.service_id, switch, expected=self.spec_digest)

    def undo(self, ctx: StepContext) -> Detail:
        """Point the service back at the versions it came from."""
        replacements: list[Replacement] = []
        for swap in self.swaps:
            new = ctx.patiently(lambda name=swap.to_name: stored(ctx.engine, name))
            ident = new.id if new is not None else ""
            replacements.append(Replacement(ident, swap.files, swap.from_id, swap.from_name))

        def switch_back(spec: RawSpec) -> RawSpec:
            if other := self._other(ctx, spec, replacements, absent=False):
                raise CannotUndoError(f"{other} It was left as it is.")
            return swapped(spec, replacements)

        try:
            return replace_spec(ctx, self.service_id, switch_back)
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

    def _other(
        self,
        ctx: StepContext,
        spec: RawSpec,
        replacements: Sequence[Replacement],
        *,
        absent: bool,
    ) -> str:
        """Say so when a file is of a version that is neither to be replaced nor to be there.

        With `absent` a file that is not mounted any more is told of, too.
        """
        there = {_file_of(reference): reference for reference in _references(spec)}
        for swap, one in zip(self.swaps, replacements, strict=True):
            for file in one.files:
                reference = there.get(file)
                uses = reference["SecretName"] if reference else "nothing"
                if (reference or absent) and (
                    reference is None or reference["SecretID"] not in (one.old_id, one.new_id)
                ):
                    return (
                        f"{self.service} on {ctx.engine.server} uses {uses} as {file} by now, "
                        f"neither {swap.from_name} nor {swap.to_name}."
                    )
        return ""


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


def services_of(ctx: StepContext, stack: str) -> list[model.Service]:
    """Read the services of a stack."""
    return [s for s in ctx.engine.services() if stack_of(s.spec.labels) == stack]


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
    for reference in _references(changed):
        name = _file_of(reference)
        for one in replacements:
            if reference["SecretID"] == one.old_id and (not one.files or name in one.files):
                reference["SecretID"], reference["SecretName"] = one.new_id, one.new_name
                break
    return changed


def _references(spec: RawSpec) -> list[dict[str, Any]]:
    template: dict[str, Any] = spec.get("TaskTemplate") or {}
    container: dict[str, Any] = template.get("ContainerSpec") or {}
    return container.get("Secrets") or []


def _file_of(reference: dict[str, Any]) -> str:
    file: dict[str, Any] = reference.get("File") or {}
    return file.get("Name") or reference.get("SecretName", "")


def _id_of(ctx: StepContext, name: str) -> str:
    there = ctx.patiently(lambda: stored(ctx.engine, name))
    if there is None:
        raise StepError(f"{name} is not on {ctx.engine.server}; the service cannot use it.")
    return there.id
