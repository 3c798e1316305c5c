"""The durable record of every run: intent before a change, outcome after it, never a value.

Each call is its own commit, on the disk when it returns. A step whose intent cannot be written
is a step that must not be taken.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from opskit.errors import InputError, JournalError
from opskit.journal.database import SCHEMA, Database
from opskit.journal.history import facts, record, records, runs_view, steps_view
from opskit.journal.liveness import RunLocks
from opskit.journal.records import (
    Approval,
    Note,
    Phase,
    RunRecord,
    Scalar,
    StepRecord,
    storable,
)
from opskit.kinds.statuses import STATUSES, Ended
from opskit.secrets.redact import redact
from opskit.settings import journal_path
from opskit.views.frame import View

_ID_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"


def new_run_id() -> str:
    """Return a new id of a run: the second in UTC, and what makes it unique anywhere."""
    unique = "".join(secrets.choice(_ID_ALPHABET) for _ in range(6))
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{unique}"


class Journal:
    """The record of all runs of one operator, in one file.

    Any number of threads and processes may write at once. The object that begins or resumes a
    run holds it until `finish` or `close`, so that nobody else works on it meanwhile.

    Parameters
    ----------
    path
        The file; made at the first write, for its owner alone.
    redact
        Masks secrets' values; every text that a caller hands in goes through it, but for the
        run's id and its plan, which must be read back as they were.
    patience
        Seconds to wait while other processes write.
    """

    def __init__(
        self,
        path: Path,
        *,
        redact: Callable[[str], str] = lambda text: text,
        patience: float = 30.0,
    ) -> None:
        self.path, self._redact = path, redact
        self._database = Database(path, SCHEMA, patience=patience)
        self._locks = RunLocks(path.with_name(f"{path.name}.runs"))

    def __repr__(self) -> str:
        return f"<Journal {self.path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let go of the runs that have not finished."""
        self._locks.drop_all()
        self._database.close()

    # -- a run ----------------------------------------------------------------------------

    def begin(
        self,
        *,
        run: str,
        kind: str,
        plan_digest: str,
        plan: bytes,
        actor: str,
        host: str,
        pid: int,
        identity: str,
        tool_version: str,
    ) -> None:
        """Write that a run begins, and hold it.

        Raises
        ------
        JournalError
            It cannot be written; nothing may be changed.
        """
        self._locks.take(run)
        try:
            self._database.write(
                "INSERT INTO runs (run, status, started_at, kind, plan_digest, actor, host,"
                " identity, tool_version, pid, plan)"
                " VALUES (?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run,
                    time.time_ns(),
                    *map(self._text, (kind, plan_digest, actor, host, identity, tool_version)),
                    pid,
                    plan,
                ),
            )
        except JournalError:
            self._locks.drop(run, forget=True)
            raise

    def reopen(self, run: str, *, host: str, pid: int) -> RunRecord:
        """Write that a run which stopped is resumed or rolled back, and hold it.

        Who began it stays written; who takes or undoes a step stands beside that step.

        Raises
        ------
        LockHeldError
            A live process works on it.
        JournalError
            It cannot be written; nothing may be changed.
        """
        found = self._resolve(run)
        self._locks.take(found)
        try:
            self._database.write(
                "UPDATE runs SET status = 'running', finished_at = NULL,"
                " host = ?, pid = ? WHERE run = ?",
                (self._text(host), pid, found),
            )
        except JournalError:
            self._locks.drop(found, forget=False)
            raise
        return self.run(found)

    def finish(self, run: str, status: Ended) -> None:
        """Write how a run ended, and let it go."""
        try:
            self._database.write(
                "UPDATE runs SET status = ?, finished_at = ? WHERE run = ?",
                (status, time.time_ns(), run),
            )
        finally:
            self._locks.drop(run, forget=not STATUSES[status].stopped)

    # -- its steps ------------------------------------------------------------------------

    def intent(
        self,
        run: str,
        unit: int,
        step: int,
        phase: Phase,
        *,
        action: str,
        server: str,
        app: str,
        stack: str,
        subject: str,
        detail: Mapping[str, Scalar],
    ) -> None:
        """Write that a step is about to be taken, or retried when it did not end well.

        Raises
        ------
        JournalError
            It cannot be written, or the step is done already: do not take it.
        """
        texts = map(self._text, (server, app, stack, action, subject))
        begun = self._database.write(
            "INSERT INTO steps (run, unit, step, phase, started_at, attempt, status, result,"
            " error, server, app, stack, action, subject, detail)"
            " VALUES (?, ?, ?, ?, ?, 1, 'running', '{}', '', ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (run, unit, step, phase) DO UPDATE SET attempt = attempt + 1,"
            " status = 'running', started_at = excluded.started_at, finished_at = NULL,"
            " detail = excluded.detail, result = '{}', error = ''"
            " WHERE status NOT IN ('done', 'skipped')",
            (run, unit, step, phase, time.time_ns(), *texts, self._json(detail)),
        )
        if not begun:
            raise JournalError(f"step {unit}.{step} ({phase}) of run {run} was taken already.")

    def outcome(
        self,
        run: str,
        unit: int,
        step: int,
        phase: Phase,
        *,
        status: str,
        detail: Mapping[str, Scalar],
        error: str = "",
    ) -> None:
        """Write the outcome of a step: ``done``, ``failed`` or ``skipped``.

        Raises
        ------
        JournalError
            It cannot be written, or no such step was begun.
        """
        ended = self._database.write(
            "UPDATE steps SET status = ?, result = ?, error = ?, finished_at = ?"
            " WHERE run = ? AND unit = ? AND step = ? AND phase = ? AND status = 'running'",
            (status, self._json(detail), self._text(error), time.time_ns(), run, unit, step, phase),
        )
        if not ended:
            raise JournalError(f"step {unit}.{step} ({phase}) of run {run} was not begun.")

    def begun(self, run: str, unit: int) -> frozenset[int]:
        """Return the steps of a unit that were begun, whatever their outcome."""
        rows = self._database.read(
            "SELECT step FROM steps WHERE run = ? AND unit = ? AND phase = 'do'", (run, unit)
        )
        return frozenset(step for (step,) in rows)

    def was_undone(self, run: str, unit: int) -> bool:
        """Return whether undoing a unit was begun."""
        query = "SELECT 1 FROM steps WHERE run = ? AND unit = ? AND phase = 'undo' LIMIT 1"
        return bool(self._database.read(query, (run, unit)))

    def is_done(self, run: str, unit: int, step: int, phase: Phase) -> bool:
        """Return whether a step needs no retry: it is done, or was skipped."""
        query = (
            "SELECT 1 FROM steps WHERE run = ? AND unit = ? AND step = ? AND phase = ?"
            " AND status IN ('done', 'skipped')"
        )
        return bool(self._database.read(query, (run, unit, step, phase)))

    def result_of(self, run: str, unit: int, step: int) -> Mapping[str, Scalar]:
        """Return what doing a step reported; nothing when it did not end."""
        query = "SELECT result FROM steps WHERE run = ? AND unit = ? AND step = ? AND phase = 'do'"
        return facts(self._database, query, (run, unit, step)) or {}

    def reported(self, run: str, unit: int, action: str) -> Mapping[str, Scalar]:
        """Return what doing the last step of an action reported; nothing unless it is done."""
        query = (
            "SELECT result FROM steps WHERE run = ? AND unit = ? AND action = ? AND phase = 'do'"
            " AND status = 'done' ORDER BY step DESC LIMIT 1"
        )
        return facts(self._database, query, (run, unit, action)) or {}

    # -- what people say ------------------------------------------------------------------

    def intended(self, run: str, unit: int, action: str) -> Mapping[str, Scalar] | None:
        """Return what a unit's last step of an action was about to do; None if it never began."""
        query = (
            "SELECT detail FROM steps WHERE run = ? AND unit = ? AND action = ? AND phase = 'do'"
            " ORDER BY step DESC LIMIT 1"
        )
        return facts(self._database, query, (run, unit, action))

    def note(self, run: str, text: str, identity: str) -> None:
        """Write a person's words beside a run."""
        self._database.write(
            "INSERT INTO notes (run, at, text, identity) VALUES (?, ?, ?, ?)",
            (self._resolve(run), time.time_ns(), self._text(text), self._text(identity)),
        )

    def notes(self, run: str) -> list[Note]:
        """Return the notes of a run, oldest first."""
        return records(self._database, Note, "notes", run=self._resolve(run))

    def approve(self, plan_digest: str, identity: str, claimed_source: str) -> None:
        """Write that someone approved a plan, and who says that it was them."""
        self._database.write(
            "INSERT INTO approvals (plan_digest, identity, claimed_source, at) VALUES (?, ?, ?, ?)",
            (*map(self._text, (plan_digest, identity, claimed_source)), time.time_ns()),
        )

    def approvals(self, plan_digest: str) -> list[Approval]:
        """Return the approvals of exactly this plan, oldest first."""
        return records(self._database, Approval, "approvals", plan_digest=plan_digest)

    # -- reading --------------------------------------------------------------------------

    def run(self, run: str) -> RunRecord:
        """Return a run by its id or the beginning of it.

        Raises
        ------
        InputError
            No run, or more than one, begins so.
        """
        found = record(self._database, RunRecord, "runs", run=self._resolve(run))
        if found.status == "running" and not self.is_alive(found.run):
            return msgspec.structs.replace(found, status="crashed")
        return found

    def steps(self, run: str) -> list[StepRecord]:
        """Return the steps of a run, in the order they were first begun."""
        return records(self._database, StepRecord, "steps", run=self._resolve(run))

    def last_unfinished(self) -> RunRecord | None:
        """Return the latest run that stopped before its end and that nobody works on."""
        # What crashed could not write so.
        stopped = ["running", *(name for name, one in STATUSES.items() if one.stopped)]
        found = self._database.texts(
            f"SELECT run FROM runs WHERE status IN ({', '.join('?' * len(stopped))})"  # noqa: S608
            " ORDER BY started_at DESC",
            tuple(stopped),
        )
        return next((self.run(run) for run in found if not self.is_alive(run)), None)

    def last_done(self) -> str:
        """Return the id of the latest run that is done, or nothing."""
        found = self._database.texts(
            "SELECT run FROM runs WHERE status = 'done' ORDER BY started_at DESC LIMIT 1"
        )
        return next(iter(found), "")

    def later(self, run: str, *, server: str, stack: str) -> list[str]:
        """Return the ids of the runs that began after another and took steps on a stack."""
        return self._database.texts(
            "SELECT DISTINCT run FROM runs JOIN steps USING (run)"
            " WHERE runs.started_at > (SELECT started_at FROM runs WHERE run = ?)"
            " AND server = ? AND stack = ? ORDER BY runs.started_at",
            (run, server, stack),
        )

    def runs_of(self, *, server: str, app: str, most: int) -> list[RunRecord]:
        """Return the latest runs that took steps on an app, the newest first."""
        found = self._database.texts(
            "SELECT DISTINCT run FROM runs JOIN steps USING (run)"
            " WHERE server = ? AND app = ? ORDER BY runs.started_at DESC LIMIT ?",
            (server, app, most),
        )
        return [self.run(run) for run in found]

    def is_alive(self, run: str) -> bool:
        """Return whether a live process, this one included, works on a run (its whole id)."""
        return self._locks.is_held(run)

    def runs_frame(self) -> View:
        """Return all runs, oldest first."""
        return runs_view(self._database, self.is_alive)

    def steps_frame(self, run: str | None = None) -> View:
        """Return the steps of one run, or of all, in the order they were first begun."""
        return steps_view(self._database, None if run is None else self._resolve(run))

    def created_by(self, person: str) -> frozenset[tuple[str, str]]:
        """Return (server, swarm name) of the secrets made in runs of a user or claimed person."""
        rows = self._database.read(
            "SELECT server, subject FROM steps JOIN runs USING (run)"
            " WHERE action = 'create-secret' AND phase = 'do' AND ? IN (identity, actor)",
            (person,),
        )
        return frozenset((str(server), str(subject)) for server, subject in rows)

    # -- within ---------------------------------------------------------------------------

    def _resolve(self, beginning: str) -> str:
        fitting = self._database.texts(
            "SELECT run FROM runs WHERE instr(run, ?) = 1 ORDER BY run LIMIT 4",
            (beginning,),
        )
        found = fitting if beginning else []
        if beginning in found or len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"{beginning!r} fits several runs, {', '.join(found[:3])} among them.",
                remedy="Give more of the id.",
            )
        raise InputError(
            f"there is no run {beginning!r} in the journal {self.path}.",
            remedy="List the runs with: opskit journal",
        )

    def _text(self, text: str) -> str:
        return storable(text, self._redact)

    def _json(self, detail: Mapping[str, object]) -> str:
        for key, value in detail.items():
            if not isinstance(value, (str, int, float, bool, type(None))):
                raise TypeError(f"the journal takes plain facts; {key!r} is {type(value)}.")
        texts = {k: self._text(v) if isinstance(v, str) else v for k, v in detail.items()}
        return msgspec.json.encode(texts).decode()


def open_journal() -> Journal:
    """Return this operator's journal; the caller closes it."""
    return Journal(journal_path(), redact=redact)
