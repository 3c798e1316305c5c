"""What the journal remembers of runs and of runbooks, as it is read; never a secret's value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, assert_never

import msgspec

from opskit.kinds.statuses import STATUSES, RunStatus

Scalar = str | int | float | bool | None
Phase = Literal["do", "undo"]
StepStatus = Literal["running", "done", "failed", "skipped"]
BookStatus = Literal["open", "dry-run", "done", "failed", "abandoned"]
EntryKind = Literal[
    "step", "check", "note", "decision", "signature", "table", "picture", "plan", "run"
]  # fmt: skip
EntryStatus = Literal["running", "done", "failed", "interrupted", "skipped", "rolled-back"]


class _Worked(msgspec.Struct, frozen=True, kw_only=True):
    """Who worked on something, and when."""

    actor: str
    host: str
    pid: int
    identity: str
    tool_version: str
    started_at: datetime
    finished_at: datetime | None


class RunRecord(_Worked, frozen=True, kw_only=True):
    """One execution of a plan.

    Parameters
    ----------
    run
        The id; it begins with the second in which the run began.
    status
        ``crashed`` when it never ended and no process works on it any more.
    plan
        The plan as JSON, byte for byte as it was begun with.
    actor, identity
        The operating system user who began it, and the person they claimed to be, or empty.
    host, pid
        The machine and process that last worked on it.
    """

    run: str
    kind: str
    status: RunStatus
    plan_digest: str
    plan: bytes


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run, done or undone.

    Parameters
    ----------
    unit, step
        Its place in the plan; both count from 0.
    attempt
        How often it was begun, from 1.
    status
        ``running`` also when a crash left its outcome unknown.
    detail, result
        What it was about to do, and what it reported.
    """

    run: str
    unit: int
    step: int
    phase: Phase
    attempt: int
    status: StepStatus
    server: str
    app: str
    stack: str
    action: str
    subject: str
    detail: Mapping[str, Scalar]
    result: Mapping[str, Scalar]
    error: str
    started_at: datetime
    finished_at: datetime | None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wrote beside a run."""

    run: str
    at: datetime
    text: str
    identity: str


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed person's yes to a plan; `claimed_source` says who vouches for the name."""

    plan_digest: str
    identity: str
    claimed_source: str
    at: datetime


class BookRecord(_Worked, frozen=True, kw_only=True):
    """A runbook carried out once: its id begins with the second in which it was begun.

    A dry run is ``dry-run`` from its beginning, so that none is ever gone on with.
    """

    book: str
    title: str
    status: BookStatus

    @property
    def is_dry_run(self) -> bool:
        """Whether it only shows what would be done."""
        return self.status == "dry-run"


class RunInBook(msgspec.Struct, frozen=True, kw_only=True):
    """What a book says of a run.

    Parameters
    ----------
    plan_digest
        SHA-256 of the plan it carried out.
    faults
        How many steps failed on the way there.
    """

    run: str
    kind: str
    status: RunStatus
    plan_digest: str
    identity: str
    started_at: datetime
    finished_at: datetime | None
    faults: int

    @property
    def outcome(self) -> Literal["done", "failed", "rolled-back"]:
        """How it ended; undoing what went well is nothing that failed."""
        if self.status == "rolled-back" and not self.faults:
            return "rolled-back"
        return "done" if self.status == "done" else "failed"

    @property
    def text(self) -> str:
        """What and which it was, and how it ended where that is not well."""
        said = STATUSES[self.status].name(fault=self.faults > 0)
        match self.outcome:
            case "done":
                ended = ""
            case "rolled-back":
                ended = f", {said} on purpose"
            case "failed":
                ended = f", {said}"
            case _ as unknown:
                assert_never(unknown)
        return f"{self.kind} {self.run}{ended}"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a book.

    Parameters
    ----------
    entry
        Its number, from 1.
    step
        The step it belongs to, or is; empty outside of all.
    text, data
        What is said, and what belongs to it: a table's rows, a plan's digest, a run's id.
    identity
        The person, as claimed; else the operating system's user.
    """

    book: str
    entry: int
    kind: EntryKind
    step: str
    status: EntryStatus
    text: str
    data: Mapping[str, Any]
    identity: str
    started_at: datetime
    finished_at: datetime | None

    @property
    def who(self) -> str:
        """The person by name."""
        return name_in(self.identity)

    @property
    def seconds(self) -> float | None:
        """How long it took, once it is over."""
        ended = self.finished_at
        return None if ended is None else (ended - self.started_at).total_seconds()


def name_and_id(identity: str) -> tuple[str, str]:
    """Return a person's name and the server's id out of what a journal keeps of them as one text.

    Who has no other name is called by their id.
    """
    name, _, ident = identity.rpartition(" (")
    return (name, ident[:-1]) if name and ident.endswith(")") else (identity, identity)


def name_in(identity: str) -> str:
    """Return a person's name out of what a journal keeps of them: the server's id is left out."""
    return name_and_id(identity)[0]


def storable(text: str, redact: Callable[[str], str]) -> str:
    """Return a text as the journal may hold it: known values masked, and fit to be written."""
    # A file name may hold bytes that are not UTF-8.
    return redact(text).encode("utf-8", "backslashreplace").decode()
