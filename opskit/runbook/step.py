"""One step of a runbook: what ``with rb.step("…"):`` enters, leaves, or leaves out when finished.

Leaving out a body is what Python's ``with`` cannot do by itself. In IPython each
``with rb.step("…"):`` of a later cell is read as if its body began with ``if the step is due:``.
That is done on the syntax tree, with IPython's own hook for it. Where there is no IPython, a
finished step raises instead of doing its work twice.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from opskit.errors import RunbookError, UndecidedError
from opskit.journal.records import Entry, EntryStatus
from opskit.journal.runbooks import BookLog, masked
from opskit.progress import Line, shell
from opskit.secrets.redact import redact

_T = TypeVar("_T")
_NOTHING = "There was nothing to apply"
_HAD_NOTHING = "had_nothing_to_apply"
"""Marks the entry of a step that had nothing to do."""
_GUARD = "__import__('opskit.runbook.step').runbook.step.guard"
"""How the rewritten cell finds `guard`, whatever names it uses itself."""


class StepLog:
    """The steps of a book as this process carries them out, one at a time.

    A form carries out its step in a thread of its own: steps of cells wait until it has ended.

    Parameters
    ----------
    log
        The book they are written to.
    """

    def __init__(self, log: BookLog) -> None:
        self._log = log
        self._done_in: dict[str, int] = {}
        self._one = threading.RLock()
        self._thread = threading.local()
        self._running = ""

    @property
    def current(self) -> str:
        """The title of the step that this thread carries out; empty between them."""
        return getattr(self._thread, "step", "")

    @property
    def book(self) -> str:
        """The id of the book."""
        return self._log.book

    def begin(self, title: str, identity: str = "", data: Mapping[str, Any] | None = None) -> int:
        """Write that somebody begins a step, and return its entry's number."""
        self._one.acquire()
        try:
            entry = self._log.begin("step", step=title, text="", data=data, identity=identity)
        except BaseException:
            self._one.release()
            raise
        self._running = self._thread.step = title
        return entry

    def end(self, entry: int, since: datetime, status: EntryStatus, why: str) -> None:
        """Write the outcome of the current step, and the runs that began during it."""
        try:
            self.add_runs(since)
            self._log.end(entry, status, why)
            if status == "done":
                self._done_in[self.current] = current_cell()
        finally:
            self._running = self._thread.step = ""
            self._one.release()

    @contextmanager
    def alone(self, title: str = "") -> Generator[None]:
        """Wait until the step that another thread carries out has ended, and say so.

        Parameters
        ----------
        title
            What others are then told that they wait for.
        """
        if not self._one.acquire(blocking=False):
            if threading.current_thread() is threading.main_thread():
                print(f"{self._running or 'A step'} is being carried out: this waits for its end.")
            self._one.acquire()
        before, self._running = self._running, title or self._running
        try:
            yield
        finally:
            # A step that was refused, before it was begun, is none that is carried out.
            self._running = before
            self._one.release()

    def add_runs(self, since: datetime | None = None) -> None:
        """Write the runs that this process began or ended: those since then to the current step.

        A form or a cell outside of all steps may have begun the others.
        """
        written = {(one.data.get("run"), one.status) for one in self._log.entries_of("run")}
        for one in self._log.runs_since(self._log.record.started_at):
            if (one.run, one.outcome) in written:
                continue
            latest = one.finished_at or one.started_at
            step = self.current if since is None or latest >= since else ""
            data = {"run": one.run}
            self._log.add("run", step=step, text=one.text, status=one.outcome, data=data)

    @property
    def attempts(self) -> dict[str, Entry]:
        """The last attempt of each step, by title."""
        return {one.step: one for one in self._log.entries_of("step")}

    def done(self, title: str) -> int:
        """Return the entry of a step that is done, -1 of one that is not.

        Of none, and of one that had nothing to do, it is 0: there is nothing to look at first.
        """
        last = self.attempts.get(masked(title))
        if not title:
            return 0
        if last is None or last.status != "done":
            return -1
        # Books of earlier versions say so in the text alone.
        had_nothing = last.data.get(_HAD_NOTHING, last.text.startswith(_NOTHING))
        return 0 if had_nothing else last.entry

    def moved(self, after: str, since: int) -> str:
        """Say so when a step was done, or begun, once more since it was looked at."""
        if self.done(after) == since:
            return ""
        return f"{after!r} was carried out once more since: run this cell again, and look first."

    def left_out(self, title: str, after: str, *, looks: bool, rerun: bool) -> str:
        """Say why a step has not to be done; nothing when it has.

        Parameters
        ----------
        title
            The step.
        after
            The one it follows.
        looks
            Whether it changes nothing, and is done whenever its cell is run.
        rerun
            Whether it is to be done once more.
        """
        attempts, dry = self.attempts, "Dry run: " if self._log.record.is_dry_run else ""
        last, before = attempts.get(title), attempts.get(masked(after))
        if last is not None and last.status == "done" and not (looks or rerun):
            return (
                f"✓ {title}: done by {last.who} at {last.started_at:%Y-%m-%d %H:%M} UTC. "
                "Left out; rerun=True repeats it."
            )
        if dry and not looks:
            return f"{dry}{title} is left out."
        was_left = before is not None and before.status == "skipped"
        if self.done(after) < 0 and not (looks and was_left):
            return f"{dry}{title} is left out, as {after!r} is not done."
        return ""

    def pass_over(self, title: str, why: Sequence[str]) -> None:
        """Write that a step has nothing to do, and why."""
        said = redact(f"{_NOTHING}{': ' if why else ''}{'; '.join(why)}.")
        entry = self.begin(title, data={_HAD_NOTHING: True})
        self.end(entry, datetime.now(UTC), "done", said)
        print(f"✓ {title}: {said}")

    def leave(self, title: str, decided: Entry) -> None:
        """Write once that a step is left, as somebody decided."""
        last = self.attempts.get(title)
        if last is None or last.entry < decided.entry:
            self._log.add("step", step=title, text="", status="skipped")

    def is_done_in_this_cell(self, title: str) -> bool:
        """Return whether the cell that is being run has already done a step of this title."""
        cell = current_cell()
        return bool(cell) and self._done_in.get(title) == cell


class Step:
    """One step of a runbook; `due` says whether it has to be done.

    Parameters
    ----------
    title
        What it does.
    left_out
        Why it has not to be done; empty when it has.
    log
        Where its beginning and its outcome are written.
    quiet
        Print nothing when it is done.
    stop
        When it fails, raise; else print why and go on.
    """

    def __init__(
        self,
        title: str,
        left_out: str,
        *,
        log: StepLog,
        quiet: bool = False,
        stop: bool = True,
    ) -> None:
        self.title, self.left_out, self._log = title, left_out, log
        self._quiet, self._stop = quiet, stop
        self.guarded, self.identity = False, ""
        self._entry, self._line = 0, Line("")
        self._since = datetime.now(UTC)

    @property
    def due(self) -> bool:
        """Whether it has to be done: it is not finished, or was asked for again."""
        return not self.left_out

    def __enter__(self) -> Self:
        if self.due:
            self._since = datetime.now(UTC)
            self._entry = self._log.begin(self.title, self.identity)
            self._line = Line(f"… {self.title}")
            return self
        if not self.guarded:
            raise RunbookError(
                f"{self.left_out} In a notebook it is left out by itself, where the Runbook is "
                "made in an earlier cell and the step stands in the with."
            )
        print(self.left_out)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if not self.due:
            return None
        status: EntryStatus = "done"
        if error is not None:
            waits = not isinstance(error, Exception) or isinstance(error, UndecidedError)
            status = "interrupted" if waits else "failed"
            error.add_note(
                f"The step {self.title!r} of runbook {self._log.book} did not finish. Mend the "
                "cause and run this cell again; in a new kernel run the notebook from its "
                "beginning: what is finished is left out."
            )
        why = _error_text(error) if error is not None else ""
        self._log.end(self._entry, self._since, status, redact(why))
        seconds = (datetime.now(UTC) - self._since).total_seconds()
        is_told = error is None and not self._quiet
        self._line.becomes(f"✓ {self.title}: done in {seconds:,.1f} s." if is_told else "")
        if status == "failed" and not self._stop:
            print(redact(f"✗ {self.title}: {why}"))
            return True
        return None


def guard(thing: _T) -> _T:
    """Return a step, told that its body is guarded; whatever else it is stays untouched."""
    if hasattr(thing, "guarded"):
        setattr(thing, "guarded", True)  # noqa: B010 (of a type that is not known here)
    return thing


class StepGuards(ast.NodeTransformer):
    """Puts a condition before the body of each ``with ….step(…):``."""

    def __init__(self) -> None:
        self._count = 0

    def visit_With(self, node: ast.With) -> ast.With:
        """Guard one ``with``, and those inside it."""
        self.generic_visit(node)
        for item in node.items:
            called = item.context_expr
            if not (
                isinstance(called, ast.Call)
                and isinstance(called.func, ast.Attribute)
                and called.func.attr == "step"
            ):
                continue
            self._count += 1
            name = f"_opskit_step_{self._count}"
            made = ast.parse(f"({name} := {_GUARD}(0))")
            expression = made.body[0]
            assert isinstance(expression, ast.Expr)
            walrus = expression.value
            assert isinstance(walrus, ast.NamedExpr)
            assert isinstance(walrus.value, ast.Call)
            walrus.value.args = [called]
            item.context_expr = walrus
            condition = ast.parse(f"getattr({name}, 'due', True)", mode="eval").body
            node.body = [ast.If(test=condition, body=node.body, orelse=[])]
            for new in (item.context_expr, node.body[0]):
                ast.copy_location(new, called)
            ast.fix_missing_locations(node)
        return node


def current_cell() -> int:
    """Return the number of the cell that is being run; 0 where there is none, as in a thread."""
    here = shell()
    if here is None or threading.current_thread() is not threading.main_thread():
        return 0
    return int(here.execution_count)


def guard_cells() -> None:
    """Have IPython guard the steps of the cells to come; elsewhere do nothing."""
    here = shell()
    if here is None:
        return
    if not any(isinstance(one, StepGuards) for one in here.ast_transformers):
        here.ast_transformers.append(StepGuards())


def _error_text(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 (a broken __str__ must not hide the error itself)
        return type(error).__name__
