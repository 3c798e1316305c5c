"""A plan: what will happen, in order, as pure data that can be shown, saved and compared."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TypeGuard

import msgspec

from opskit.decoding import ready
from opskit.errors import InputError
from opskit.operations.consequences import Consequences, consequences_of, removed, restarted
from opskit.operations.steps import AnyStep, CreateSecret
from opskit.views.frame import About, Columns, View

CHANGES = {
    "server": "string",
    "app": "string",
    "secret": "string",
    "from": "string",
    "to": "string",
    "restarts": "object",
    "removes": "object",
    "bits": "float",
    "undone_by": "string",
    "note": "string",
}

STEPS = {
    "server": "string",
    "app": "string",
    "step": "Int64",
    "action": "string",
    "call": "string",
}

_NAMED = 5
"""So many of what is left alone are named below a plan."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one secret; `bits` is the new value's entropy, if opskit makes it.

    `services` get new tasks, or are removed where a step of the unit takes them away.
    """

    secret: str
    from_version: str = ""
    to_version: str = ""
    # Called so in the plans that journals hold.
    services: tuple[str, ...] = msgspec.field(default=(), name="restarts")
    bits: float | None = None
    undone_by: str = ""
    note: str = ""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that happens to one stack; units run in parallel, steps in order."""

    server: str
    app: str
    stack: str
    changes: tuple[Change, ...]
    steps: tuple[AnyStep, ...]


class PlanData(msgspec.Struct, frozen=True, kw_only=True):
    """A plan without behaviour; holds names, ids and hashes, never a value.

    `left_alone` says of what was selected and stays as it is why it does. What applying the plan
    means, and what is asked before, is read off the steps: see `consequences`.
    """

    kind: str
    made_at: datetime
    units: tuple[Unit, ...]
    # Called so in the plans that journals hold.
    left_alone: tuple[str, ...] = msgspec.field(default=(), name="stays")

    @property
    def digest(self) -> str:
        """SHA-256 over all steps: object ids, spec digests and file hashes included."""
        return hashlib.sha256(msgspec.json.encode(self.units)).hexdigest()

    @property
    def consequences(self) -> Consequences:
        """What every skin shows and asks: equal for plans of equal steps."""
        return consequences_of(self)


def changes_view(data: PlanData) -> View:
    """List what becomes of each secret: from → to, what restarts, bits, what undoes it.

    Services are named without their stack, which the app's name tells.
    """
    columns = Columns(CHANGES)
    for unit in data.units:
        gone, renewed = removed(unit), restarted(unit)
        for change in unit.changes:
            touched = [name.removeprefix(f"{unit.stack}_") for name in change.services]
            columns.add(
                unit.server,
                unit.app,
                change.secret or None,
                change.from_version or None,
                change.to_version or None,
                [name for name in touched if name in renewed],
                [name for name in touched if name in gone],
                change.bits,
                change.undone_by or None,
                change.note or None,
            )
    remark = f"{data.kind}, plan {data.digest[:12]}"
    if data.left_alone:
        more = len(data.left_alone) - _NAMED
        remark += f"; stays: {'; '.join(data.left_alone[:_NAMED])}"
        remark += f"; and {more} more" if more > 0 else ""
    return columns.view(About(noun="changes", remark=remark, shown=_shown(data)))


def steps_view(data: PlanData) -> View:
    """List every call that applying makes, in order: what ``--dry-run`` prints."""
    columns = Columns(STEPS)
    for unit in data.units:
        # A step that only waits for the way back calls nothing on the way there.
        shown = (step for step in unit.steps if step.calls())
        for number, step in enumerate(shown, 1):
            for call in step.calls():
                columns.add(unit.server, unit.app, number, _action(step), call)
    return columns.view(About(noun="calls", remark=f"plan {data.digest[:12]}"))


def is_creation(step: AnyStep) -> TypeGuard[CreateSecret]:
    """Tell whether a step creates a secret."""
    return isinstance(step, CreateSecret)


def _shown(data: PlanData) -> tuple[str, ...]:
    """Name the columns of the changes, without that of removed services where there are none."""
    gone, renewed = (any(map(look, data.units)) for look in (removed, restarted))
    hidden = {"removes": not gone, "restarts": gone and not renewed}
    return tuple(name for name in CHANGES if not hidden.get(name))


def _action(step: AnyStep) -> str:
    return str(step.__struct_config__.tag)


def load_plan(content: bytes) -> PlanData:
    """Read a plan back from the journal.

    Raises
    ------
    InputError
        A different opskit wrote it.
    """
    try:
        return msgspec.json.decode(content, type=ready(PlanData))
    except msgspec.MsgspecError as error:
        raise InputError(
            f"this run's plan was written by another opskit ({error}).",
            remedy="Finish the run with the version that began it (opskit journal shows which).",
        ) from error
