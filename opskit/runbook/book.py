"""A runbook: steps, checks, decisions and signatures of a procedure, journalled at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self, Unpack

from opskit.arguments import check_count, check_flag, check_kind, check_text, names_in, path_in
from opskit.errors import InputError, RunbookError
from opskit.journal.runbooks import BookLog
from opskit.progress import in_notebook
from opskit.run.options import RunOptions, takes_run_options
from opskit.run.run import Plan, Run
from opskit.runbook.approval import LEAVE, SHOWN, Approval, digests_in
from opskit.runbook.carry import PlanStep
from opskit.runbook.planform import show_plan_form
from opskit.runbook.questions import Decision, SignOff
from opskit.runbook.record import Record, checked_title
from opskit.runbook.standing import dry_banner, failures, show_banner, show_below, show_outcome
from opskit.runbook.step import Step, guard_cells


class Runbook(Record):
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
        Who carries it out, for the record; by default who runs the cell, where a Jupyter server
        says so, else the operating system's user.
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
        title = checked_title(title, "runbook")
        self._approved, self._who = digests_in(names_in("approved", approved)), who
        super().__init__(BookLog(title, fresh=fresh, dry_run=dry_run, identity=who))
        self._known = max((one.entry for one in self._log.entries_of("step")), default=0)
        guard_cells()
        if self._log.resumed and not dry_run:
            done = [one.step for one in self._step_log.attempts.values() if one.status == "done"]
            print(
                f"Goes on with runbook {self.id}: "
                + (f"finished are {', '.join(done)}." if done else "no step is finished yet.")
            )

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
        confirm: str = "",
        **options: Unpack[RunOptions],
    ) -> Run | None:
        """Carry a plan out as a step, once somebody says so for exactly this plan.

        The form below the cell shows the plan under a button, how far it is, and how it ended;
        the cells after it wait. Whoever approves or applies a plan that warns types its word;
        `approved` covers all but a value that can be guessed. Run again, the cell goes on: the
        plan of a finished step is not carried out again. In another runbook of this title it is
        asked about anew. In a dry run the plan is kept and nothing is done.

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
        confirm
            The word of ``plan.data.consequences.confirm``, which a value that can be guessed
            needs when nobody has typed it.
        **options
            See `opskit.RunOptions`.

        Raises
        ------
        UndecidedError
            Nobody has said so yet; nothing was changed.
        OpskitError
            It was carried out, and did not end well; or the word is not given that is needed.

        Examples
        --------
        >>> plan = fleet.plan_restart("notes.coop.example")
        >>> rb = opskit.Runbook("Restart the notes", approved=[plan.digest])  # somebody read it
        >>> rb.apply(plan, "Restart").status
        Restart: plan ... was approved by ...
        'done'
        """
        if plan is not None:
            check_kind("plan", plan, Plan, "Give what fleet.plan_…(…) gave.")
        check_text("question", question, "Ask something.", empty=True)
        check_count("needed", needed, least=1)
        check_text("confirm", confirm, "Give the word as a text.", empty=True)
        title = checked_title(step, "step")
        with self._step_log.alone():
            due = self._due(title, after, plan)
            if self._dry_run and plan:
                self.keep(plan, step=title)
                show_banner(
                    f"Dry run: {title} is left out, nothing is changed. Carried out as it is, it "
                    f"would be plan {plan.digest[:SHOWN]}."
                )
                return None
            if not due.due:
                self._tell_done(title, due, plan)
                return None
            if not plan:
                left_alone = plan.data.left_alone if plan is not None else ()
                self._step_log.pass_over(title, left_alone)
                return None
            since = self._step_log.done(after)
            carried = PlanStep(
                self._log,
                self._step_log,
                Approval(self._log, title, plan, question=question, since=since, needed=needed),
                plan,
                begin=lambda: self._due(title, after, plan),
                still=lambda: self._step_log.moved(after, since),
                options={**options},
            )
            decision = carried.approval.decision
            self._questions[f"plan {title}"] = decision
            carried.approval.take(self._approved, in_time=since <= self._known)
            if (entry := decision.entry) is None:
                show_plan_form(carried)
                raise carried.approval.undecided
            if decision.choice == LEAVE:
                self._step_log.leave(title, entry)
                print(f"{title}: left, as {entry.who} decided.")
                return None
            word = confirm or decision.confirmed
            plan.check_confirmed(word)
            print(f"{title}: plan {plan.digest[:SHOWN]} was approved by {decision.agreed_by}.")
            who = options.get("identity", self._who or entry.identity)
            return carried.carry_out(confirm=word, identity=who)

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
        title = checked_title(title, "step")
        with self._step_log.alone():
            """What a form carries out has ended before the next step is looked at."""
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
        wrong = failures(self._step_log.attempts.values(), self._log)
        self._step_log.add_runs()
        for missing in self._unanswered():
            self.note(f"Open at the end: {missing}")
        self._log.close("failed" if wrong else "done")
        if (banner := dry_banner(self._log)) and not in_notebook():
            print(banner)
        try:
            if report:
                show_below(self.report(report))
        finally:
            if wrong:
                raise RunbookError(f"runbook {self.id} ended badly: {'; '.join(wrong)}.")
        return self

    # -- within ---------------------------------------------------------------------------

    def _due(self, title: str, after: str, plan: Plan | None) -> Step:
        # What had nothing to do before may have by now.
        again = bool(plan) and self._step_log.done(title) == 0
        return self.step(title, after=after, rerun=again)

    def _tell_done(self, title: str, due: Step, plan: Plan | None) -> None:
        """Say why a plan is not carried out, and show the run that did before."""
        print(due.left_out)
        before = self._log.applied(title, "") if self._step_log.done(title) > 0 else None
        if before is None:
            return
        show_outcome(before.run)
        if plan and before.plan_digest != plan.digest:
            print(
                f"Plan {plan.digest[:SHOWN]} is another one than was applied: it is not "
                "applied. When this runbook is finished, a new one asks about it."
            )
