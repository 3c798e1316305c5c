"""Steps that create and remove secrets in the swarm."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version as package_version

import msgspec

from opskit.errors import AlreadyExistsError, InUseError, NotFoundError, StepError, UnreachableError
from opskit.facts.join import digests_among, uses
from opskit.facts.retention import FAILED_LABEL, is_failed
from opskit.secrets.generate import FLOOR_BITS, GUESSABLE_BITS, PlannedPolicy, generate
from opskit.secrets.value import Secret
from opskit.steps.base import CannotUndoError, Detail, Step, StepContext
from opskit.steps.passwords import staged_value
from opskit.swarm import model
from opskit.swarm.engine import Engine

RUN_LABEL = "opskit.run"
_REPLACES = "opskit.replaces"
LABELS = {
    "run": RUN_LABEL,
    "by": "opskit.created-by",
    "at": "opskit.created-at",
    "tool": "opskit.version",
    "policy": "opskit.policy",
}
# No digest of the value: who can list secrets could test guesses. No stack namespace:
# `docker stack rm` would take the secret along.
_NOT_KEPT = ("opskit.", "com.docker.stack.")


def _no_labels() -> dict[str, str]:
    return {}


class Preserved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a new version has of the one before it: the labels of others, and the templating."""

    labels: dict[str, str] = msgspec.field(default_factory=_no_labels)
    templating: model.Driver | None = None

    @classmethod
    def of(cls, before: model.StoredObject | None) -> Preserved:
        """Return what a version hands on; digests of its value would be another value's."""
        if before is None:
            return cls()
        labels = before.spec.labels or {}
        left = digests_among(labels)
        kept = {
            key: text
            for key, text in sorted(labels.items())
            if not key.startswith(_NOT_KEPT) and key not in left
        }
        return cls(labels=kept, templating=before.spec.templating)

    def describe(self) -> str:
        """Return what is handed on, in a few words; nothing when that is nothing."""
        parts = [f"labels {', '.join(self.labels)}"] if self.labels else []
        parts += [f"template driver {self.templating.name}"] if self.templating else []
        return "; ".join(parts)


def stored(engine: Engine, name: str) -> model.StoredObject | None:
    """Find a secret by its exact name."""
    return next(iter(engine.secrets(name)), None)


def made_by(secret: model.StoredObject, run: str) -> bool:
    """Return whether a run made this secret."""
    return (secret.spec.labels or {}).get(RUN_LABEL) == run


def replaced_by(secret: model.StoredObject) -> tuple[str, ...]:
    """Return the names of the versions that the run which made a secret took services from."""
    return tuple((secret.spec.labels or {}).get(_REPLACES, "").split())


class CreateSecret(Step, frozen=True, kw_only=True, tag="create-secret"):
    """Create one version of a secret; never overwrites.

    `policy` says how the value is made; ``None`` when the operator gives it. `entry` is where the
    password store has it already, empty without a store. `keep_failed` leaves the version in the
    swarm, labelled as failed, when the change is undone. `preserved` is what it has of the version
    before it, `replaces` names those that its run takes services from: the way back needs them.
    """

    swarm_name: str
    policy: PlannedPolicy | None
    entry: str = ""
    keep_failed: bool = False
    # Plans and journals have it under the older name.
    preserved: Preserved = msgspec.field(default=Preserved(), name="kept")
    replaces: tuple[str, ...] = ()

    def subject(self) -> str:
        """Name the secret."""
        return self.swarm_name

    def calls(self) -> list[str]:
        """Show the create call; the value is never part of it."""
        how = self.policy.describe() if self.policy else "value given by the operator"
        kept = self.preserved.describe()
        more = f"; keeps {kept}" if kept else ""
        return [f"POST /secrets/create Name={self.swarm_name} ({how}{more})"]

    def warning(self) -> str:
        """Return how easily a value is guessed, where it is."""
        if self.policy is None or not self.policy.is_guessable():
            return ""
        return (
            f"A new value has only {self.policy.entropy_bits():.0f} bits and can be guessed: "
            f"at least {GUESSABLE_BITS:.0f} are needed, {FLOOR_BITS:.0f} are safe."
        )

    def do(self, ctx: StepContext) -> Detail:
        """Create it, or recognise it as made by this run before a crash."""
        there = stored(ctx.engine, self.swarm_name)
        if there is not None:
            if not made_by(there, ctx.run):
                raise _taken(self.swarm_name, ctx)
            return {"secret_id": there.id, "found": True}
        value = self._value(ctx)
        try:
            created = ctx.engine.create_secret(
                self.swarm_name,
                value.reveal(),
                self._labels(ctx),
                templating=self.preserved.templating,
            )
        except AlreadyExistsError:
            raise _taken(self.swarm_name, ctx) from None
        except UnreachableError:
            there = ctx.patiently(lambda: stored(ctx.engine, self.swarm_name))
            if there is None or not made_by(there, ctx.run):
                raise
            created = there.id
        return {"secret_id": created, "found": False}

    def undo(self, ctx: StepContext) -> Detail:
        """Remove it, or label it as failed, if this run made it."""
        there = ctx.patiently(lambda: stored(ctx.engine, self.swarm_name))
        if there is None or not made_by(there, ctx.run):
            return {"removed": False}
        if self.keep_failed:
            self._label_failed(ctx, there)
            return {"removed": False, "kept": there.id}
        if users := self._needed_by(ctx, there, alive=True):
            note = f"{self.swarm_name} stays, as it is needed by {', '.join(users)}"
            return {"removed": False, "note": note}
        _remove(ctx, there.id, self.swarm_name)
        return {"removed": True}

    def undo_conflict(self, ctx: StepContext) -> str:
        """Say so when others need it than services that the run takes back to another version."""
        there = ctx.patiently(lambda: stored(ctx.engine, self.swarm_name))
        if self.keep_failed or there is None or not made_by(there, ctx.run):
            return ""
        users = self._needed_by(ctx, there, alive=False)
        if not users:
            return ""
        return (
            f"{self.swarm_name} is needed by {', '.join(users)} on {ctx.engine.server} by now. "
            "Undeploy the app first, or rotate to a new version."
        )

    def _needed_by(self, ctx: StepContext, there: model.StoredObject, *, alive: bool) -> list[str]:
        """List who needs it beside the services that the run takes back.

        That their previous specs name it is this run's own trace. With `alive`, once they have
        gone back, their tasks count: one on a node that is down may still live.
        """
        services = ctx.patiently(ctx.engine.services)
        switched = ctx.switched()
        mine = {one.id for one in services if one.spec.name in switched}
        found = uses([one for one in services if one.id not in mine], ())
        tasks = ctx.patiently(ctx.engine.tasks)
        lives = uses(services, [one for one in tasks if alive or one.service_id not in mine])
        users = dict.fromkeys([*found.needed_by(there.id), *lives.tasks.get(there.id, ())])
        later = [
            f"the way back of run {(one.spec.labels or {}).get(RUN_LABEL)}"
            for one in ctx.patiently(ctx.engine.secrets)
            if there.spec.name in replaced_by(one)
        ]
        later += [f"the way back of run {run}" for run in ctx.needed_later(self.swarm_name)]
        return [*users, *dict.fromkeys(later)]

    def _label_failed(self, ctx: StepContext, there: model.StoredObject) -> None:
        labels = there.spec.labels or {}
        if is_failed(there):
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            ctx.engine.label_secret(there, {**labels, FAILED_LABEL: now})
        except UnreachableError:
            again = ctx.patiently(lambda: stored(ctx.engine, self.swarm_name))
            if again is not None and not is_failed(again):
                ctx.engine.label_secret(again, {**labels, FAILED_LABEL: now})

    def _value(self, ctx: StepContext) -> Secret:
        if self.swarm_name not in ctx.values:
            staged = staged_value(ctx, self.entry)
            if staged is not None:
                ctx.values[self.swarm_name] = staged
                return staged
            if self.policy is None:
                raise StepError(
                    f"the value of {self.swarm_name} was never stored and is not kept anywhere. "
                    f"Roll this run back ({ctx.run}) and insert the value again."
                )
            ctx.values[self.swarm_name] = generate(self.policy)
        return ctx.values[self.swarm_name]

    def _labels(self, ctx: StepContext) -> dict[str, str]:
        return {
            **self.preserved.labels,
            LABELS["run"]: ctx.run,
            LABELS["by"]: f"{ctx.actor}@{ctx.host}",
            LABELS["at"]: datetime.now(UTC).isoformat(timespec="seconds"),
            LABELS["tool"]: package_version("opskit"),
            LABELS["policy"]: self.policy.describe() if self.policy else "given",
            **({_REPLACES: " ".join(self.replaces)} if self.replaces else {}),
        }


class RemoveSecret(Step, frozen=True, kw_only=True, tag="remove-secret"):
    """Remove one version that nothing needs; its value is gone for good."""

    swarm_name: str
    secret_id: str

    def subject(self) -> str:
        """Name the secret."""
        return self.swarm_name

    def calls(self) -> list[str]:
        """Show the delete call."""
        return [f"DELETE /secrets/{self.secret_id} ({self.swarm_name})"]

    def warning(self) -> str:
        """Return what is gone."""
        return "This cannot be undone: the values cannot be read back."

    def is_irreversible(self) -> bool:
        """Say that a swarm never gives a value back."""
        return True

    def do(self, ctx: StepContext) -> Detail:
        """Remove it, unless a current spec, a previous spec or a live task needs it."""
        users = still_needed(ctx.engine, self.secret_id)
        if users:
            raise StepError(f"{self.swarm_name} stays: it is still needed by {', '.join(users)}.")
        _remove(ctx, self.secret_id, self.swarm_name)
        ctx.ask_lock()
        return {"removed": True}

    def undo(self, ctx: StepContext) -> Detail:
        """Say that there is no way back, if it is gone."""
        there = ctx.patiently(lambda: stored(ctx.engine, self.swarm_name))
        if there is not None and there.id == self.secret_id:
            return {"removed": False}
        raise CannotUndoError(
            f"{self.swarm_name} was removed and its value cannot be read back. "
            "Insert or generate it again if it is needed."
        )


def still_needed(engine: Engine, secret_id: str) -> list[str]:
    """List who needs a secret, and how: by its spec, its previous spec or a live task."""
    found = uses(engine.services(), engine.tasks())
    return found.needed_by(secret_id)


def _remove(ctx: StepContext, secret_id: str, name: str) -> None:
    try:
        ctx.engine.remove_secret(secret_id)
    except NotFoundError:
        return
    except InUseError as error:
        raise StepError(f"{name} stays: {error}") from error
    except UnreachableError:
        if ctx.patiently(lambda: stored(ctx.engine, name)) is not None:
            ctx.engine.remove_secret(secret_id)


def _taken(name: str, ctx: StepContext) -> StepError:
    return StepError(
        f"{name} exists already on {ctx.engine.server}, and existing versions are never "
        "overwritten. Plan again: the next free version will be proposed."
    )
