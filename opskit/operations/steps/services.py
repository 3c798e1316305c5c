"""Steps that move services from one version of a secret to another."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from opskit.errors import StaleIndexError, StalePlanError, StepError
from opskit.operations.steps.base import TRANSIENT, Detail, Site, Step
from opskit.operations.steps.secrets import stored
from opskit.swarm.engine import RawSpec

_TRIES = 8


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """One reference to replace."""

    from_id: str
    from_name: str
    to_name: str


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

    def do(self, site: Site) -> Detail:
        """Update the whole spec with its version index, or find it updated."""
        ids = {swap.to_name: _id_of(site, swap.to_name) for swap in self.swaps}
        targets = {swap.from_id: (ids[swap.to_name], swap.to_name) for swap in self.swaps}
        return self._replace(site, targets, expected=self.spec_digest)

    def undo(self, site: Site) -> Detail:
        """Point the service back at the versions it came from."""
        targets: dict[str, tuple[str, str]] = {}
        for swap in self.swaps:
            new = site.patiently(lambda name=swap.to_name: stored(site.engine, name))
            if new is not None:
                targets[new.id] = (swap.from_id, swap.from_name)
        return self._replace(site, targets, expected=None)

    def hindrance(self, site: Site) -> str:
        """Say so when a version to return to is gone."""
        for swap in self.swaps:
            old = site.patiently(lambda name=swap.from_name: stored(site.engine, name))
            if old is None or old.id != swap.from_id:
                return (
                    f"{swap.from_name} is no longer on {site.engine.server}, and its value cannot "
                    "be read back. Rotate to a new version instead."
                )
        return ""

    def _replace(
        self, site: Site, targets: dict[str, tuple[str, str]], expected: str | None
    ) -> Detail:
        unsure = False
        for _ in range(_TRIES):
            raw = site.patiently(lambda: site.engine.raw_service(self.service_id))
            spec = swapped(raw.spec, targets)
            if spec == raw.spec:
                return {"updated": unsure}
            if expected is not None and raw.service.spec_digest != expected:
                raise StalePlanError(
                    f"service {self.service} on {site.engine.server} changed since the plan "
                    "was made. Plan again."
                )
            try:
                site.engine.update_service(self.service_id, raw.service.version.index, spec)
            except StaleIndexError:
                # The orchestrator moves the index when it writes the update's status; only a
                # changed spec is a conflict, and the next turn sees that.
                continue
            except TRANSIENT:
                unsure = True
                continue
            return {"updated": True}
        raise StepError(
            f"service {self.service} on {site.engine.server} could not be updated in "
            f"{_TRIES} tries: its version index kept moving, or the connection kept breaking."
        )


def swapped(spec: RawSpec, targets: dict[str, tuple[str, str]]) -> RawSpec:
    """Give a copy of a spec with secret references replaced by id, files kept as they are.

    Parameters
    ----------
    spec
        As the engine stores it.
    targets
        Old secret id → (new id, new name).
    """
    changed = copy.deepcopy(spec)
    template: dict[str, Any] = changed.get("TaskTemplate") or {}
    container: dict[str, Any] = template.get("ContainerSpec") or {}
    references: list[dict[str, Any]] = container.get("Secrets") or []
    for reference in references:
        if reference["SecretID"] in targets:
            reference["SecretID"], reference["SecretName"] = targets[reference["SecretID"]]
    return changed


def _id_of(site: Site, name: str) -> str:
    there = site.patiently(lambda: stored(site.engine, name))
    if there is None:
        raise StepError(f"{name} is not on {site.engine.server}; the service cannot use it.")
    return there.id
