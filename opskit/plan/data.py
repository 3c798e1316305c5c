"""A plan: what will happen, in order, as pure data that can be shown, saved and compared.

What it does to people and services is read off its steps and not stored beside them: a plan that
was approved or saved, by whatever opskit, has the consequences of the steps it holds, and several
plans joined have those of all. Every skin shows and asks the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeGuard, assert_never

import msgspec

from opskit.decoding import decode_json
from opskit.errors import InputError
from opskit.secrets.generate import FLOOR_BITS
from opskit.steps import AnyStep, CreateSecret, Step
from opskit.steps.base import joined
from opskit.steps.parts import Part, parts_in_words
from opskit.views.columns import Column, Row, columns_of
from opskit.views.frame import View
from opskit.views.table import About


class ChangesRow(Row, frozen=True, kw_only=True):
    """A row of a plan's changes: what becomes of one secret, or of an app.

    Services are named without their stack, which the app's name tells.
    """

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app's name; that of a stack without one.")]
    secret: Annotated[str | None, Column("The secret; NA when the app changes.")]
    from_version: Annotated[str | None, Column("The version before; NA if none.", name="from")]
    to_version: Annotated[str | None, Column("The version after; NA if none.", name="to")]
    restarts: Annotated[list[str], Column("The services that get new tasks.")]
    removes: Annotated[list[str], Column("The services that are taken away.")]
    bits: Annotated[float | None, Column("The entropy of a value that opskit makes.", unit="bits")]
    undone_by: Annotated[str | None, Column("What takes it back.")]
    note: Annotated[str | None, Column("What else there is to know.")]


class CallsRow(Row, frozen=True, kw_only=True):
    """A row of a plan's calls, in the order they are made."""

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app's name; that of a stack without one.")]
    step: Annotated[int, Column("Which step of this stack makes it, from 1.")]
    action: Annotated[str, Column("What kind of step that is.")]
    call: Annotated[str, Column("The request, command or file it is.")]


_GOES = ("bits", "server", "undone_by", "restarts")
_CALLS_GO = ("server", "app", "action", "step")
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

    `kinds` are those of the plans that it was joined from, else its own one. `left_alone` says of
    what was selected and stays as it is why it does. What applying the plan means, and what is
    asked before, is read off the steps: see `consequences`.
    """

    # Without one where an earlier version saved the plan: see `load_plan`.
    kinds: tuple[str, ...] = ()
    made_at: datetime
    units: tuple[Unit, ...]
    # Called so in the plans that journals hold.
    left_alone: tuple[str, ...] = msgspec.field(default=(), name="stays")

    @classmethod
    def made_now(cls, kind: str, units: Iterable[Unit], left_alone: Iterable[str] = ()) -> PlanData:
        """Return a plan of these units, dated now."""
        now = datetime.now(UTC)
        return cls(kinds=(kind,), made_at=now, units=tuple(units), left_alone=tuple(left_alone))

    @classmethod
    def join(cls, parts: Sequence[PlanData]) -> PlanData:
        """Return one plan of all units, as old as the oldest."""
        return cls(
            kinds=tuple(sorted({kind for part in parts for kind in part.kinds})),
            made_at=min(part.made_at for part in parts),
            units=tuple(unit for part in parts for unit in part.units),
            left_alone=tuple(one for part in parts for one in part.left_alone),
        )

    @property
    def kind(self) -> str:
        """Its kinds in words."""
        return " and ".join(self.kinds)

    @property
    def digest(self) -> str:
        """SHA-256 over all steps: object ids, spec digests and file hashes included."""
        return hashlib.sha256(msgspec.json.encode(self.units)).hexdigest()

    @property
    def consequences(self) -> Consequences:
        """What every skin shows and asks: equal for plans of equal steps."""
        return consequences_of(self)


def changes_view(data: PlanData) -> View:
    """List what becomes of each secret: from → to, what restarts, bits, what undoes it."""
    rows: list[ChangesRow] = []
    for unit in data.units:
        gone, renewed = removed(unit), restarted(unit)
        said = parts_in_words(part for step in unit.steps for part in step.parts())
        for change in unit.changes:
            touched = [name.removeprefix(f"{unit.stack}_") for name in change.services]
            rows.append(
                ChangesRow(
                    server=unit.server,
                    app=unit.app,
                    secret=change.secret or None,
                    from_version=change.from_version or None,
                    to_version=change.to_version or None,
                    restarts=[name for name in touched if name in renewed],
                    removes=[name for name in touched if name in gone],
                    bits=change.bits,
                    undone_by=change.undone_by or None,
                    # Of the stack there is one row, which stands for all that its files change.
                    note=joined((change.note, "" if change.secret else said)) or None,
                )
            )
    remark = f"{data.kind}, plan {data.digest[:12]}"
    if data.left_alone:
        more = len(data.left_alone) - _NAMED
        remark += f"; stays: {'; '.join(data.left_alone[:_NAMED])}"
        remark += f"; and {more} more" if more > 0 else ""
    about = About(noun="changes", remark=remark, shown=_shown(data), goes=_GOES)
    return View.from_rows(ChangesRow, rows, about)


class PartsRow(Row, frozen=True, kw_only=True):
    """A row of what a plan's deploys change: a part of a service, or a line of an ``.env``."""

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app's name; that of a stack without one.")]
    service: Annotated[str | None, Column("The service; NA for a line of the .env.")]
    what: Annotated[str, Column("What it is: an image, variables by name, a whole service.")]
    before: Annotated[list[str], Column("What is there, as far as it may be shown.")]
    after: Annotated[list[str], Column("What will be.")]


def parts_view(data: PlanData) -> View:
    """List what becomes of each service of the stacks that are deployed, and of their ``.env``."""
    rows = [
        PartsRow(
            server=unit.server,
            app=unit.app,
            service=part.service or None,
            what=_what(part),
            before=list(part.before),
            after=list(part.after),
        )
        for unit in data.units
        for step in unit.steps
        for part in step.parts()
    ]
    return View.from_rows(PartsRow, rows, About(noun="parts", remark=f"plan {data.digest[:12]}"))


def _what(part: Part) -> str:
    names = ", ".join(part.names)
    match part.kind:
        case ".env":
            return f"{names} of the .env"
        case "environment":
            return f"environment: {names}"
        case "other":
            return names
        case "new":
            return "comes anew"
        case "stays":
            return "stays, though the files have it no more"
        case "image" | "secrets" | "configs":
            return part.kind
        case _ as unknown:
            assert_never(unknown)


def calls_view(data: PlanData) -> View:
    """List every call that applying makes, in order: what ``--dry-run`` prints."""
    rows: list[CallsRow] = []
    for unit in data.units:
        # A step that only waits for the way back calls nothing on the way there.
        shown = (step for step in unit.steps if step.calls())
        for number, step in enumerate(shown, 1):
            rows += [
                CallsRow(
                    server=unit.server, app=unit.app, step=number, action=_action(step), call=call
                )
                for call in step.calls()
            ]
    return View.from_rows(
        CallsRow, rows, About(noun="calls", remark=f"plan {data.digest[:12]}", goes=_CALLS_GO)
    )


def is_creation(step: Step) -> TypeGuard[CreateSecret]:
    """Return whether a step creates a secret."""
    return isinstance(step, CreateSecret)


def _shown(data: PlanData) -> tuple[str, ...]:
    """Name the columns of the changes, without that of removed services where there are none."""
    gone, renewed = (any(map(look, data.units)) for look in (removed, restarted))
    hidden = {"removes": not gone, "restarts": gone and not renewed}
    names = (column.name for _, column in columns_of(ChangesRow).values())
    return tuple(name for name in names if not hidden.get(name))


def _action(step: AnyStep) -> str:
    return str(step.__struct_config__.tag)


class _Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """What plans of earlier versions say of their kinds: one text, joined of all."""

    kind: str


def load_plan(content: bytes) -> PlanData:
    """Read a plan back from the journal.

    Raises
    ------
    InputError
        A different opskit wrote it.
    """
    try:
        plan = decode_json(content, PlanData)
        if plan.kinds:
            return plan
        kinds = decode_json(content, _Earlier).kind.split(" and ")
        return msgspec.structs.replace(plan, kinds=tuple(kinds))
    except (msgspec.MsgspecError, InputError) as error:
        raise InputError(
            f"this run's plan was written by another opskit ({error}).",
            remedy="Finish the run with the version that began it (opskit journal shows which).",
        ) from error


_NAMED_AT_MOST = 4
"""So many services are named in a sentence, and the rest counted."""


class Consequences(msgspec.Struct, frozen=True, kw_only=True):
    """What skins show beside a plan's changes, and ask before it is applied.

    Parameters
    ----------
    irreversible
        Whether something of it can never be taken back.
    confirm
        What somebody types before it is applied; empty when a yes will do.
    guessable
        Whether it makes a value that can be guessed: a yes that is given beforehand does not
        cover that, and `opskit.Plan.apply` takes the word in Python, too.
    warnings
        Sentences about what is gone or down afterwards.
    impact
        Sentences about everything else that is touched.
    lasting
        Sentences about what undoing it does not bring back.
    reading
        What others wrote about it, to be read before: release notes and the like, with their lines.
    restarts, removes
        Services, each after its app's name.
    servers, stacks
        Where; a stack is named after its server.
    touches_pass
        Whether entries of the password store are written or removed.
    longest_wait
        Seconds that the steps of one stack may wait for it, at most.
    """

    irreversible: bool
    confirm: str
    warnings: tuple[str, ...]
    impact: tuple[str, ...]
    restarts: tuple[str, ...]
    removes: tuple[str, ...]
    servers: tuple[str, ...]
    stacks: tuple[str, ...]
    touches_pass: bool
    longest_wait: float
    lasting: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    guessable: bool = False

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is to be read before somebody agrees, the gravest first."""
        return (*self.warnings, *self.impact, *self.lasting, *self.reading)


def consequences_of(plan: PlanData) -> Consequences:
    """Read off a plan's steps what applying it does."""
    units, steps = plan.units, [step for unit in plan.units for step in unit.steps]
    restarts = _distinct(f"{u.app} {name}" for u in units for name in restarted(u))
    removes = _distinct(f"{u.app} {name}" for u in units for name in removed(u))
    warnings = _distinct(step.warning() for step in steps)
    servers = _distinct(unit.server for unit in units)
    stacks = _distinct(f"{unit.server}/{unit.stack}" for unit in units)
    touches_pass = any(step.touches_pass() for step in steps)
    waits = [sum(step.longest_wait() for step in unit.steps) for unit in units]
    longest = max(waits, default=0.0)
    services = [
        *_counted("Removes", removes),
        *_counted("Restarts", restarts),
        *_distinct(step.impact() for step in steps),
    ]
    impact = [*(services or ["Restarts nothing."])]
    if len(stacks) > 1:
        where = servers[0] if len(servers) == 1 else f"{len(servers)} servers"
        impact.append(f"Changes {len(stacks)} stacks on {where}.")
    if touches_pass:
        impact.append("Changes entries of your password store.")
    if weak := _weakest(steps):
        impact.append(f"Makes a value of {weak:.0f} bits; {FLOOR_BITS:.0f} and more are safe.")
    if longest:
        each = " of each stack" if len(stacks) > 1 else ""
        impact.append(f"Waits for services{each}, at most {longest:,.0f} s.")
    return Consequences(
        irreversible=any(step.is_irreversible() for step in steps),
        confirm=word_of(plan) if warnings else "",
        warnings=warnings,
        impact=tuple(impact),
        restarts=restarts,
        removes=removes,
        servers=servers,
        stacks=stacks,
        touches_pass=touches_pass,
        longest_wait=longest,
        lasting=_distinct(step.lasting() for step in steps),
        reading=_distinct(text for step in steps for text in step.reading()),
        guessable=any(
            step.policy.is_guessable() for step in steps if is_creation(step) and step.policy
        ),
    )


def _weakest(steps: Iterable[AnyStep]) -> float | None:
    """Return the bits of the weakest value below the floor; what can be guessed has a warning."""
    policies = [step.policy for step in steps if is_creation(step) and step.policy]
    bits = [one.entropy_bits() for one in policies if one.is_weak() and not one.is_guessable()]
    return min((one for one in bits if one is not None), default=None)


def removed(unit: Unit) -> tuple[str, ...]:
    """Return the services that a unit takes away, named without their stack."""
    return _short(unit, (name for step in unit.steps for name in step.removes_services()))


def restarted(unit: Unit) -> tuple[str, ...]:
    """Return the services that a unit gives new tasks, named without their stack."""
    gone = removed(unit)
    names = _short(unit, (name for change in unit.changes for name in change.services))
    return tuple(name for name in names if name not in gone)


def _short(unit: Unit, names: Iterable[str]) -> tuple[str, ...]:
    return _distinct(name.removeprefix(f"{unit.stack}_") for name in names)


def word_of(plan: PlanData) -> str:
    """Return the app's name, or the number of changes when several apps are concerned."""
    apps = {unit.app for unit in plan.units}
    count = sum(len(unit.changes) for unit in plan.units)
    return apps.pop() if len(apps) == 1 else f"{plan.kind} {count}"


def _counted(verb: str, services: tuple[str, ...]) -> list[str]:
    if not services:
        return []
    many = len(services) > _NAMED_AT_MOST
    return [f"{verb} {f'{len(services)} services, named above' if many else ', '.join(services)}."]


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
