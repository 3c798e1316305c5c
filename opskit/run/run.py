"""Plans and runs as operators handle them: shown, joined, applied."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, Unpack

import msgspec

from opskit.arguments import check_function, check_kind, check_text
from opskit.errors import InputError, OpskitError
from opskit.inert import visible
from opskit.journal.runs import new_run_id, open_journal
from opskit.kinds.statuses import STATUSES, Ended, RunStatus, Way
from opskit.plan.data import Consequences, PlanData, Unit, calls_view, changes_view
from opskit.run.apply import Of, Runner, Values
from opskit.run.options import RunOptions, checked, takes_run_options
from opskit.run.outcome import shown_outcome
from opskit.run.shown import all_of, shown_to
from opskit.run.ways import ways_of
from opskit.run.work import Outcome
from opskit.secrets.passstore import PassStore
from opskit.secrets.redact import redact
from opskit.secrets.value import Secret
from opskit.steps import TakeLock
from opskit.views.frame import View


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run:
    """One execution of a plan, ended.

    `status` is ``done``, ``rolled-back``, ``partly-rolled-back``, ``failed`` or ``interrupted``;
    `stacks` counts how the stacks ended; `errors` names what went wrong in each, `notes` what
    could not be made sure of though it went well. `ways` is what may still be done about it.

    Examples
    --------
    >>> run = fleet.plan_restart("notes.coop.example").apply()
    >>> run
    <Run ...: done, stacks: 1 done>
    >>> run.steps[["action", "status"]].to_numpy().tolist()
    [...]
    """

    id: str
    status: RunStatus
    stacks: Mapping[str, int] = field(default_factory=dict[str, int])
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ways: tuple[Way, ...] | None = None

    def __repr__(self) -> str:
        stacks = ", ".join(f"{number} {status}" for status, number in sorted(self.stacks.items()))
        return f"<Run {self.id}: {self.status}{f', stacks: {stacks}' if stacks else ''}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        done = shown_outcome(self.id)
        table = done.as_html() if done is not None else f"<p>{html.escape(repr(self))}</p>"
        said = [visible(redact(one)) for one in (*self.errors, *self.notes)]
        lines = "".join(f"<li>{html.escape(one)}</li>" for one in said)
        return {
            "text/plain": repr(self),
            "text/html": f"{table}{f'<ul>{lines}</ul>' if lines else ''}",
        }

    @property
    def steps(self) -> View:
        """Every step of the run, as the journal has it."""
        with open_journal() as journal:
            return journal.steps_frame(self.id)

    def raise_for_status(self) -> Self:
        """Return the run itself if it is done, so that a cell or script goes on.

        Raises
        ------
        OpskitError
            It is not done; says what went wrong and how to go on.
        """
        if self.status == "done":
            return self
        went_wrong = " ".join(f"{error}." for error in self.errors).replace("..", ".")
        status = STATUSES[self.status]
        ways = ["" if status.stopped else "Mend the cause and plan again.",
                status.commands(self.id, self.ways)]  # fmt: skip
        said = [f"run {self.id} ended {self.status}.", went_wrong, *ways]
        raise OpskitError(" ".join(filter(None, said)))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plan:
    """What will happen, and nothing has yet.

    Show it, print its `calls`, or `apply` it. Values an operator gave live beside the data,
    never in it. A plan of nothing is false.

    Parameters
    ----------
    data
        The changes and the steps.
    root
        abra's folder of the fleet it was made for.
    values
        What an operator gave, by server, stack and name.

    Examples
    --------
    >>> plan = fleet.plan_generate("notes.garden.example")
    >>> plan
    <Plan to generate: 1 change of 1 stack on 1 server, ...>
    >>> plan.changes[["secret", "to"]].to_numpy().tolist()
    [['session', 'v1']]
    >>> plan.apply().raise_for_status().status
    'done'
    """

    data: PlanData
    root: Path
    values: Values = field(default_factory=dict[Of, Secret])

    @classmethod
    def join(cls, plans: Iterable[Plan]) -> Plan:
        """Return one plan of several, to be shown, approved and applied as one.

        Raises
        ------
        InputError
            There are none, they are of several fleets, or two of them change the same stack:
            apply those one after another.
        """
        remedy = "Give a list of plans."
        check_kind("plans", plans, Iterable, remedy)
        parts = list(plans)
        for part in parts:
            check_kind("one of the plans", part, Plan, remedy)
        if not parts:
            raise InputError("there is no plan to join.", remedy="Nothing needs to be done.")
        roots = sorted({str(part.root) for part in parts})
        if len(roots) > 1:
            raise InputError(
                f"the plans are of several fleets: {', '.join(roots)}.",
                remedy="Apply those of each by themselves.",
            )
        units = [unit for part in parts for unit in part.data.units]
        for (server, stack), number in Counter((one.server, one.stack) for one in units).items():
            if number > 1:
                raise InputError(
                    f"two of the plans change {stack} on {server}.",
                    remedy="Apply one, then plan and apply the other.",
                )
        return cls(
            data=PlanData.join([part.data for part in parts]),
            root=parts[0].root,
            values={key: value for part in parts for key, value in part.values.items()},
        )

    def __bool__(self) -> bool:
        return bool(self.data.units)

    def __repr__(self) -> str:
        changes = sum(len(unit.changes) for unit in self.data.units)
        servers = len({unit.server for unit in self.data.units})
        counted = (
            f"{_counted(changes, 'change')} of {_counted(len(self.data.units), 'stack')} on "
            f"{_counted(servers, 'server')}"
        )
        return f"<Plan to {self.data.kind}: {counted}, {self.digest[:12]}>"

    @property
    def digest(self) -> str:
        """SHA-256 over everything the plan will do."""
        return self.data.digest

    @property
    def changes(self) -> View:
        """One row per secret: from, to, what restarts, bits, what undoes it."""
        return changes_view(self.data)

    @property
    def calls(self) -> View:
        """Every call that applying makes, in order."""
        return calls_view(self.data)

    def to_json(self) -> str:
        """Return the plan with its consequences as JSON; it holds no value."""
        derived = {"kind": self.data.kind, "consequences": self.data.consequences}
        plan = msgspec.to_builtins(self.data) | derived
        return msgspec.json.format(msgspec.json.encode(plan)).decode()

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return with_sentences(self.changes, self.data.consequences)

    @takes_run_options
    def apply(
        self,
        *,
        confirm: str = "",
        on_made: Callable[[Unit, Mapping[str, Secret]], None] = lambda _unit, _values: None,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Carry the plan out.

        To call it is to agree: nothing is asked, whatever the plan takes away. Only a value that
        can be guessed is not made unless that is confirmed by its word, as in every skin.

        Parameters
        ----------
        confirm
            The word of ``plan.data.consequences.confirm``, which such a value needs.
        on_made
            Given a finished stack's new values by swarm name, to show them to one person once.
        **options
            See `opskit.RunOptions`.

        Raises
        ------
        StalePlanError
            The world moved since the plan was made; nothing was changed.
        JournalError
            The journal cannot be written; nothing was changed.
        InputError
            One of the arguments is not what it must be, or the word is not given that is needed.
        """
        check_text("confirm", confirm, "Give the word as a text.", empty=True)
        check_function("on_made", on_made)
        self.check_confirmed(confirm)
        how = checked(options)
        shown = shown_to(how["on_progress"], self.data.kind, all_of(self.data))
        with open_journal() as journal, shown as how["on_progress"]:
            runner = Runner(
                data=self.data,
                journal=journal,
                run=new_run_id(),
                values=self.values,
                store=store_of(self.data),
                on_made=on_made,
                **how,
            )
            return ended(runner, runner.start())

    def check_confirmed(self, confirm: str) -> None:
        """Refuse to make a value that can be guessed where its word was not given.

        Raises
        ------
        InputError
            `confirm` is not the word of ``plan.data.consequences.confirm``.
        """
        told = self.data.consequences
        if told.guessable and confirm != told.confirm:
            raise InputError(
                f"nothing was changed, as a value of this plan can be guessed: "
                f"{' '.join(told.warnings)}",
                remedy=f"Make it longer; or say confirm={told.confirm!r}.",
            )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else f'{noun}s'}"


def with_sentences(changes: View, consequences: Consequences) -> dict[str, str]:
    """Return changes as notebooks show them, with what is to be read before somebody agrees."""
    said = [visible(line) for one in consequences.sentences for line in one.splitlines()]
    lines = html.escape("\n".join(said))
    return {
        "text/plain": "\n".join((repr(changes), *said)),
        "text/html": f"{changes.as_html()}<p style='white-space: pre-wrap'>{lines}</p>",
    }


def store_of(data: PlanData) -> PassStore | None:
    """Return the password store for a plan that changes it."""
    return PassStore() if data.consequences.touches_pass else None


def ended(runner: Runner, status: Ended) -> Run:
    """Return a run that is over, as its units ended."""
    units = runner.data.units
    errors = tuple(
        f"{units[outcome.unit].server} {units[outcome.unit].app}: "
        f"{_untouched(runner, outcome)}{outcome.error or outcome.status}"
        for outcome in runner.outcomes
        if outcome.status != "done" and (outcome.error or outcome.status == "skipped")
    )
    notes = tuple(
        f"{units[outcome.unit].server} {units[outcome.unit].app}: {outcome.note}"
        for outcome in runner.outcomes
        if outcome.note
    )
    stacks = Counter(outcome.status for outcome in runner.outcomes)
    return Run(
        id=runner.run,
        status=status,
        stacks=dict(stacks),
        errors=errors,
        notes=notes,
        ways=ways_of(runner.journal, runner.journal.run(runner.run)),
    )


def _untouched(runner: Runner, outcome: Outcome) -> str:
    """Say so when a stack was given back before anything but its lock was asked for."""
    begun = runner.journal.begun(runner.run, outcome.unit)
    only_lock = isinstance(
        runner.data.units[outcome.unit].steps[0], TakeLock
    ) and begun == frozenset({0})
    return "nothing was changed: " if outcome.status == "rolled-back" and only_lock else ""
