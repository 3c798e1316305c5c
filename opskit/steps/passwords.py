"""Steps that keep the password store in step with the swarm.

The new value is stored beside the old one first, and takes its place only when the services
have proved it: at every moment the store holds the value that is in use. The entry it replaced
is kept as ``<path>.previous`` so that the run can be undone.
"""

from __future__ import annotations

from shlex import quote

from opskit.errors import StepError
from opskit.secrets.generate import PlannedPolicy, generate
from opskit.secrets.passstore import NEXT, PREVIOUS, PassStore
from opskit.secrets.value import Secret
from opskit.steps.base import CannotUndoError, Detail, Step, StepContext, joined


def staged_value(ctx: StepContext, path: str) -> Secret | None:
    """Read what a crashed process had staged; nothing without an entry's `path`."""
    if not path or not ctx.password_store().exists(path + NEXT):
        return None
    return ctx.password_store().read(path + NEXT)


class StagePassword(Step, frozen=True, kw_only=True, tag="stage-password"):
    """Store the new value at ``<path>.next``."""

    path: str
    swarm_name: str
    policy: PlannedPolicy | None

    def subject(self) -> str:
        """Name the entry."""
        return self.path

    def calls(self) -> list[str]:
        """Show the entry that is written."""
        return [f"pass insert {quote(self.path + NEXT)} (value on stdin)"]

    def touches_pass(self) -> bool:
        """Say that an entry of the store changes."""
        return True

    def do(self, ctx: StepContext) -> Detail:
        """Store it, or take up what a crashed process had stored."""
        store = ctx.password_store()
        # Only a run that is taken up again: what another run left there is not this one's.
        if ctx.retry and self.swarm_name not in ctx.values and store.exists(self.path + NEXT):
            ctx.values[self.swarm_name] = store.read(self.path + NEXT)
            return {"found": True}
        if self.swarm_name not in ctx.values and self.policy is not None:
            ctx.values[self.swarm_name] = generate(self.policy)
        note = ""
        if self.swarm_name in ctx.values:
            note = store.store(self.path + NEXT, ctx.values[self.swarm_name])
        return {"found": False, "note": note}

    def undo(self, ctx: StepContext) -> Detail:
        """Remove the entry."""
        store = ctx.password_store()
        found = store.exists(self.path + NEXT)
        note = store.remove(self.path + NEXT) if found else ""
        return {"removed": found, "note": note}


class PromotePassword(Step, frozen=True, kw_only=True, tag="promote-password"):
    """Let ``<path>.next`` take the place of ``<path>``; keep the old as ``<path>.previous``."""

    path: str

    def subject(self) -> str:
        """Name the entry."""
        return self.path

    def calls(self) -> list[str]:
        """Show what moves where."""
        return [
            f"pass cp {quote(self.path)} {quote(self.path + PREVIOUS)}",
            f"pass mv {quote(self.path + NEXT)} {quote(self.path)}",
        ]

    def touches_pass(self) -> bool:
        """Say that an entry of the store changes."""
        return True

    def do(self, ctx: StepContext) -> Detail:
        """Move it, or find it moved."""
        store = ctx.password_store()
        if not store.exists(self.path + NEXT):
            if ctx.retry:
                return {"found": True}
            raise StepError(
                f"{self.path + NEXT} is gone from the password store: somebody else changed it "
                f"meanwhile, and whose value {self.path} holds is not known."
            )
        new, replaced = store.read(self.path + NEXT), store.exists(self.path)
        notes = list[str]()
        if not replaced:
            # What an earlier run kept must not be mistaken for what this one replaces.
            notes.append(self._forget(store))
        # After a crash half-way the entry may hold the new value already; the old one is then
        # safe in .previous and must not be overwritten.
        elif (old := store.read(self.path)) != new or not ctx.retry:
            notes.append(store.store(self.path + PREVIOUS, old))
        notes += [store.store(self.path, new), store.remove(self.path + NEXT)]
        return {"found": False, "replaced": replaced, "note": joined(notes)}

    def undo(self, ctx: StepContext) -> Detail:
        """Put the previous value back."""
        store = ctx.password_store()
        there = store.read(self.path) if store.exists(self.path) else None
        if store.exists(self.path + NEXT) and there != store.read(self.path + NEXT):
            note = ""
            if store.exists(self.path + PREVIOUS) and store.read(self.path + PREVIOUS) == there:
                note = self._forget(store)
            return {"restored": False, "note": note}
        if not ctx.outcome and ctx.values and there not in ctx.values.values():
            # None of this run's values is there: it never moved one, whoever took it away.
            return {"restored": False}
        notes = list[str]()
        if store.exists(self.path + PREVIOUS):
            notes.append(store.store(self.path, store.read(self.path + PREVIOUS)))
            notes.append(self._forget(store))
        elif ctx.outcome.get("replaced"):
            raise CannotUndoError(
                f"{self.path} in the password store is still the newer value: the one before was "
                "kept for the last change only. If the store is a git checkout, its history has "
                "it: pass git log."
            )
        elif there is not None:
            notes.append(store.remove(self.path))
        return {"restored": True, "note": joined(notes)}

    def _forget(self, store: PassStore) -> str:
        if not store.exists(self.path + PREVIOUS):
            return ""
        return store.remove(self.path + PREVIOUS)


class RemovePassword(Step, frozen=True, kw_only=True, tag="remove-password"):
    """Remove an entry from the store; only the store's own git history still has it."""

    path: str

    def subject(self) -> str:
        """Name the entry."""
        return self.path

    def calls(self) -> list[str]:
        """Show the removal."""
        return [f"pass rm {quote(self.path)}"]

    def touches_pass(self) -> bool:
        """Say that an entry of the store changes."""
        return True

    def warning(self) -> str:
        """Return what is gone."""
        return "Entries of the password store go: only its git history, if it has one, keeps them."

    def is_irreversible(self) -> bool:
        """Say that only the store's own history, if it has one, still knows the value."""
        return True

    def do(self, ctx: StepContext) -> Detail:
        """Remove it, or find it gone."""
        store = ctx.password_store()
        found = store.exists(self.path)
        note = store.remove(self.path) if found else ""
        return {"removed": found, "note": note}

    def undo(self, ctx: StepContext) -> Detail:
        """Say that there is no way back, if it is gone."""
        if ctx.password_store().exists(self.path):
            return {}
        raise CannotUndoError(
            f"{self.path} was removed from the password store. If the store is a git checkout, "
            "its history still has it: pass git log."
        )
