"""A runbook: steps, checks, decisions and signatures of a procedure, journalled at once."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self, Unpack

from opskit.arguments import check_count, check_flag, check_kind, check_text, names_in, path_in
from opskit.errors import InputError, RunbookError
from opskit.journal.runbooks import BookLog, masked
from opskit.run.options import RunOptions, takes_run_options
from opskit.run.run import Plan, Run
from opskit.runbook.approval import LEAVE, SHOWN, Approval, digests_in
from opskit.runbook.attachments import attachment
from opskit.runbook.questions import Decision, SignOff
from opskit.runbook.report import Timeline, write_report
from opskit.runbook.step import Step, StepLog, guard_cells
from opskit.secrets.redact import redact
from opskit.views.columns import Column, Row
from opskit.views.frame import About, View

_LONGEST = 300
_BANNER = (
    "margin:0 0 .5em;padding:.4em .8em;border:2px solid #9a6700;border-radius:4px;font-weight:600"
)


class AttemptsRow(Row, frozen=True, kw_only=True):
    """A row of a runbook's steps: the last attempt of one."""

    step: Annotated[str, Column("Its title.")]
    status: Annotated[str, Column("running, done, failed, interrupted or skipped.")]
    who: Annotated[str, Column("Who carried it out, as claimed.")]
    started_at: Annotated[datetime, Column("When it was begun.")]
    seconds: Annotated[float | None, Column("How long it took.", unit="seconds")]


class Runbook:
    """A procedure that people carry out together, and its record.

    Everything is written to the journal as it happens. Made anew in another kernel, the runbook
    goes on where it stopped: steps that are finished are not done again. What changes something is
    given to `apply`, which asks; a dry run changes nothing, asks nothing and is never gone on with.

    Parameters
    ----------
    title
        What it is called; the open book of this title is gone on with.
    fresh
        Begin a new book all the same, as a scheduled notebook does.
    who
        Who carries it out, for the record; by default the operating system's user.
    dry_run
        Only show what would be done, in a book of its own.
    approved
        Digests of plans that somebody has read, where nobody is there to click; their first
        twelve characters will do. One counts once, and only for what follows a step that was
        done before the runbook was made.

    Raises
    ------
    LockHeldError
        Another kernel carries out the open book of this title.
    JournalError
        The journal cannot be written.

    Examples
    --------
    >>> rb = opskit.Runbook("Leaked SMTP key")
    >>> with rb.step("Revoke at the provider"):
    ...     rb.note("Revoked in their panel.")
    >>> rb.check("nobody uses the old key", True)
    True
    >>> rb.finish().steps[["step", "status"]].to_numpy().tolist()
    [['Revoke at the provider', 'done']]
    """

    def __init__(
        self,
        title: str,
        *,
        fresh: bool = False,
        who: str = "",
        dry_run: bool = False,
        approved: Sequence[str] = (),
    ) -> None:
        check_flag("fresh", fresh)
        check_flag("dry_run", dry_run)
        check_text("who", who, "Name the person.", empty=True)
        title = _checked_title(title, "runbook")
        self._approved, self._who = digests_in(names_in("approved", approved)), who
        self._log = BookLog(title, fresh=fresh, dry_run=dry_run, identity=who)
        self._known = max((one.entry for one in self._log.entries_of("step")), default=0)
        self._step_log = StepLog(self._log)
        self._questions: dict[str, Decision | SignOff] = {}
        guard_cells()
        if self._log.resumed and not dry_run:
            done = [one.step for one in self._step_log.attempts.values() if one.status == "done"]
            print(
                f"Goes on with runbook {self.id}: "
                + (f"finished are {', '.join(done)}." if done else "no step is finished yet.")
            )

    @property
    def id(self) -> str:
        """The book's id in the journal."""
        return self._log.book

    @property
    def title(self) -> str:
        """What it is called."""
        return self._log.record.title

    @property
    def steps(self) -> View:
        """Each step's last attempt: status, who, when, and how long in seconds."""
        rows = [
            AttemptsRow(
                step=one.step,
                status=one.status,
                who=one.identity,
                started_at=one.started_at,
                seconds=one.seconds,
            )
            for one in self._step_log.attempts.values()
        ]
        return View.from_rows(AttemptsRow, rows, About(noun="steps"))

    def __repr__(self) -> str:
        banner = f"{self._banner()}\n" if self._dry_run else ""
        return f"{banner}Runbook {self.title} ({self.id})\n{self.steps!r}"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        banner = f"<p style='{_BANNER}'>{html.escape(self._banner())}</p>" if self._dry_run else ""
        head = f"{banner}<p><b>{html.escape(self.title)}</b> · runbook {self.id}</p>"
        steps = self.steps
        return {
            "text/plain": repr(self),
            "text/html": head
            + (steps._repr_html_() if len(steps) else "<p>No step is begun yet.</p>"),  # pyright: ignore[reportPrivateUsage]
        }

    # -- what is done ---------------------------------------------------------------------

    @takes_run_options
    def apply(
        self,
        plan: Plan | None,
        step: str,
        *,
        after: str = "",
        question: str = "",
        needed: int = 1,
        **options: Unpack[RunOptions],
    ) -> Run | None:
        """Carry a plan out as a step, once somebody says so for exactly this plan.

        People are asked below the cell, and the cells after it wait. The plan of a finished step
        is not carried out again; in another runbook of this title it is asked about anew. In a
        dry run the plan is kept and nothing is done.

        Parameters
        ----------
        plan
            What to carry out; without one, or when it changes nothing, the step is done.
        step
            The step's title.
        after
            The step that it follows: left out until that is done, and a yes from before that does
            not count.
        question
            What is asked.
        needed
            So many different people must say so.
        **options
            See `opskit.RunOptions`.

        Raises
        ------
        UndecidedError
            Nobody has said so yet; nothing was changed.
        OpskitError
            It was carried out, and did not end well.

        Examples
        --------
        >>> plan = fleet.plan_restart("notes.coop.example")
        >>> rb = opskit.Runbook("Restart the notes", approved=[plan.digest])  # somebody read it
        >>> rb.apply(plan, "Restart").status
        Restart: apply plan ...? Apply this plan (...)
        'done'
        """
        if plan is not None:
            check_kind("plan", plan, Plan, "Give what fleet.plan_…(…) gave.")
        check_text("question", question, "Ask something.", empty=True)
        check_count("needed", needed, least=1)
        title = _checked_title(step, "step")
        done = self._step_log.done(title)
        # What had nothing to do before may have by now.
        due = self.step(title, after=after, rerun=bool(plan) and done == 0)
        if self._dry_run and plan:
            self.keep(plan, step=title)
            print(
                f"Dry run: {title} is left out, nothing is changed. Carried out as it is, it would "
                f"be plan {plan.digest[:SHOWN]}."
            )
            return None
        if not due.due:
            print(due.left_out)
            before = self._log.applied(title, "") if done > 0 else None
            if plan and before is not None and before.plan_digest != plan.digest:
                print(
                    f"Plan {plan.digest[:SHOWN]} is another one than was applied: it is not "
                    "applied. When this runbook is finished, a new one asks about it."
                )
            return None
        if not plan:
            self._step_log.pass_over(title, plan.data.left_alone if plan is not None else ())
            return None
        since = self._step_log.done(after)
        approval = Approval(self._log, title, plan, question=question, since=since, needed=needed)
        decision = approval.decision
        self._questions[f"plan {title}"] = decision
        approval.take(self._approved, in_time=since <= self._known)
        approval.ask()
        entry = decision.entry
        assert entry is not None, "it is asked for until it is made"
        if decision.choice == LEAVE:
            self._step_log.leave(title, entry)
            return None
        options.setdefault("identity", self._who or entry.identity)
        with due:
            self.keep(plan)
            # Whoever approved it was shown what it does.
            word = plan.data.consequences.confirm
            return plan.apply(confirm=word, **options).raise_for_status()

    def step(
        self,
        title: str,
        *,
        after: str = "",
        rerun: bool = False,
        repeat: bool = False,
        stop: bool = True,
    ) -> Step:
        """Return a step, to be used as ``with rb.step("…"):``; a dry run only does what looks.

        Parameters
        ----------
        title
            What it does; tells it from the others of the runbook.
        after
            The step that it follows: left out until that is done, or somebody decides to leave it.
        rerun
            Do it once more although it is finished.
        repeat
            It only looks: done whenever its cell is run.
        stop
            When it fails, raise; else say why, go on, and let `finish` fail.
        """
        title = _checked_title(title, "step")
        check_text("after", after, "Name the step that it follows.", empty=True)
        for name, flag in (("rerun", rerun), ("repeat", repeat), ("stop", stop)):
            check_flag(name, flag)
        if running := self._step_log.current:
            raise InputError(
                f"the step {title!r} begins inside of {running!r}.",
                remedy="Let one end before the next begins.",
            )
        if self._log.record.finished_at is not None:
            raise RunbookError(
                f"runbook {self.id} is finished: make it anew with opskit.Runbook({self.title!r})."
            )
        if not rerun and not repeat and self._step_log.is_done_in_this_cell(title):
            raise InputError(
                f"the step {title!r} is done already, a moment ago in this cell.",
                remedy='Give each its own title, as in rb.step(f"Restart {server}").',
            )
        left_out = self._step_log.left_out(title, after, looks=repeat, rerun=rerun)
        return Step(title, left_out, log=self._step_log, quiet=repeat, stop=stop)

    def check(self, what: str, ok: object, detail: str = "", *, stop: bool = True) -> bool:
        """Write whether something is as it must be.

        Parameters
        ----------
        what
            What must hold.
        ok
            Whether it does.
        detail
            What is seen instead, or how to mend it.
        stop
            When it does not hold, raise; else go on, and let `finish` fail.

        Raises
        ------
        RunbookError
            It does not hold.
        InputError
            It neither holds nor not, as a function that was not called or a whole table.
        """
        check_text("what", what, "Say what must hold.")
        check_flag("stop", stop)
        holds, detail = _checked_truth(what, ok), str(detail)
        self._log.add(
            "check", step=self._step_log.current, text=what, status="done" if holds else "failed",
            data={"detail": redact(detail)} if detail else {},
        )  # fmt: skip
        if not holds and stop:
            raise RunbookError(f"the check {what!r} failed.{' ' + detail if detail else ''}")
        return holds

    def note(self, text: str, *, who: str = "") -> None:
        """Write what somebody saw or said; the same note in the same step counts once."""
        check_text("text", text, "Say what was seen.")
        check_text("who", who, "Name the person.", empty=True)
        text = masked(text)
        known = {(one.step, one.text) for one in self._log.entries_of("note")}
        if (self._step_log.current, text) not in known:
            self._log.add("note", step=self._step_log.current, text=text, identity=who)

    def remember(self, what: str, names: Sequence[str]) -> list[str]:
        """Write names down, and return those that were written first in this runbook.

        What another kernel goes on with may look different by then.

        Parameters
        ----------
        what
            What they are, such as "versions that leaked".
        names
            What it is now; a list or a column.
        """
        check_text("what", what, "Say what they are.")
        found = names_in("names", names)
        for one in self._log.entries_of("note"):
            if one.data.get("what") == what:
                return list(one.data["names"])
        data = {"what": what, "names": found}
        text = f"{what}: {', '.join(found) or 'none'}"
        self._log.add("note", step=self._step_log.current, text=text, data=data)
        return list(found)

    def keep(self, thing: object, title: str = "", *, step: str = "") -> None:
        """Write a table, plan, run or picture to the record; nothing of it is a secret's value.

        Parameters
        ----------
        thing
            What to keep.
        title
            What it is.
        step
            The step it belongs to; else the one that runs.

        Raises
        ------
        InputError
            It is none of these.
        """
        check_text("title", title, "Say what it is.", empty=True)
        kind, text, data = attachment(thing, title)
        self._log.add(kind, step=step or self._step_log.current, text=text, data=data)

    def decision(
        self, question: str, options: Sequence[str], *, answer: str = "", after: str = ""
    ) -> Decision:
        """Ask people to decide; show what it gives as the last line of a cell.

        A dry run asks nobody. Whether a plan is to be carried out is asked by `apply`.

        Parameters
        ----------
        question
            What is to be decided; asked once in a runbook.
        options
            What may be chosen.
        answer
            The answer, when nobody is there to be asked; empty asks.
        after
            The step that it follows: an answer from before that does not count.

        Raises
        ------
        InputError
            The answer is none of the options.
        """
        check_text("question", question, "Ask something.")
        check_text("answer", answer, "Give one of the options.", empty=True)
        choices = names_in("options", options)
        if not choices:
            raise InputError("there is nothing to choose from.", remedy='Give ["yes", "no"].')
        check_text("after", after, "Name the step that it follows.", empty=True)
        since = self._step_log.done(after)
        made = Decision(self._log, self._step_log.current, question, choices, since=since)
        self._questions[f"decision {question}"] = made
        if answer and made.made and made.choice != answer:
            raise InputError(
                f"{question!r} was answered already: {made.choice}.",
                remedy="To decide anew, ask another question or begin a fresh runbook.",
            )
        if answer and since > self._known and not made.made:
            print(f"{answer!r} was given before {after!r} was done: look, then run all again.")
        elif answer and since >= 0 and not self._dry_run:
            made.decide(answer, source="a parameter")
        return made

    def sign_off(self, text: str = "I have read this record.", *, needed: int = 1) -> SignOff:
        """Ask people to sign what is written so far; show what it gives in a cell.

        A name is what a browser claims: a signature helps against haste, not against malice.

        Parameters
        ----------
        text
            What they sign.
        needed
            How many different people.
        """
        check_text("text", text, "Say what they sign.")
        check_count("needed", needed, least=0)
        sign_off = SignOff(self._log, text, needed)
        self._questions[f"signature {text}"] = sign_off
        return sign_off

    def finish(self, *, report: str | Path = "") -> Self:
        """End the book; a runbook of this title begins a new one from then on.

        What nobody has decided or signed until then is noted; it may still be. To finish it once
        more writes its report anew.

        Parameters
        ----------
        report
            Where to write the report of how it ended, also when it ended badly.

        Raises
        ------
        RunbookError
            A step failed or a check did not hold in the end.
        """
        if report != "":
            report = path_in("report", report)
        attempts = self._step_log.attempts.values()
        failures = [
            f"the step {one.step!r} {one.status}" + (f" ({_line(one.text)})" if one.text else "")
            for one in attempts
            if one.status not in ("done", "skipped")
        ]
        checks = {(one.step, one.text): one for one in self._log.entries_of("check")}
        failures += [
            f"the check {one.text!r} failed" for one in checks.values() if one.status != "done"
        ]
        self._step_log.add_runs()
        for missing in self._unanswered():
            self.note(f"Open at the end: {missing}")
        self._log.close("failed" if failures else "done")
        if self._dry_run:
            print(self._banner())
        try:
            if report:
                print(f"Report: {self.report(report)}")
        finally:
            if failures:
                raise RunbookError(f"runbook {self.id} ended badly: {'; '.join(failures)}.")
        return self

    # -- the record -----------------------------------------------------------------------

    def timeline(self) -> Timeline:
        """Return all that happened, a `TimelineRow` each, which shows itself as a picture."""
        return Timeline.of(self._log.record, self._log.entries)

    def report(self, path: str | Path) -> Path:
        """Write the whole record to one file that needs nothing else, for its owner to read.

        It says what nobody has decided or signed yet: written again later, it has that, too.

        Parameters
        ----------
        path
            ``.html`` or ``.md``.

        Raises
        ------
        InputError
            The file has another suffix, or cannot be written there.
        """
        return write_report(path_in("path", path), self._log, unanswered=self._unanswered())

    # -- within ---------------------------------------------------------------------------

    @property
    def _dry_run(self) -> bool:
        return self._log.record.is_dry_run

    def _banner(self) -> str:
        """Say that this is a dry run, and what was done beside it all the same."""
        record = self._log.record
        beside = [one.run for one in self._log.runs_since(record.started_at)]
        if beside:
            return f"Dry run: it changes nothing itself; begun beside it: run {', '.join(beside)}."
        return f"Dry run: nothing {'is' if record.finished_at is None else 'was'} changed."

    def _unanswered(self) -> list[str]:
        return list(filter(None, (one.missing() for one in self._questions.values())))


def _checked_title(title: object, kind: str) -> str:
    if not isinstance(title, str) or not title.strip():
        raise InputError(f"a {kind} needs a title.", remedy='Give a text, such as "Rotate".')
    if len(title) > _LONGEST:
        raise InputError(
            f"the title of the {kind} has {len(title):,} characters.",
            remedy=f"Keep it under {_LONGEST}.",
        )
    return masked(title)


def _checked_truth(what: str, ok: object) -> bool:
    try:
        if callable(ok) or ok != ok:
            raise ValueError
        return bool(ok)
    except (ValueError, TypeError):
        raise InputError(
            f"the check {what!r} got a {type(ok).__name__}, which is neither true nor false.",
            remedy="Say what of it must hold: f(), table.empty, len(table) == 3.",
        ) from None


def _line(text: str) -> str:
    return " ".join(text.split()).removesuffix(".")
