"""The yes to a plan that a runbook carries out: given for exactly it, after what it follows.

A yes that was clicked for another plan, before the step it follows, in a dry run or in an earlier
runbook does not count. Who runs all cells once more is asked once more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from opskit.errors import InputError, UndecidedError
from opskit.journal.records import name_in
from opskit.journal.runbooks import BookLog
from opskit.run.run import Plan
from opskit.runbook.questions import Decision

APPLY, LEAVE = "Apply this plan", "Leave it"
SHOWN = 12
"""So much of a digest is shown, and tells one plan from another."""


def digests_in(given: Collection[str]) -> tuple[str, ...]:
    """Return beginnings of digests as somebody gives them.

    Raises
    ------
    InputError
        One is too short to tell one plan from another.
    """
    for one in given:
        if len(one) < SHOWN:
            raise InputError(
                f"{one!r} is no plan that somebody has read.",
                remedy=f"Give the first {SHOWN} characters of its digest, as below its table.",
            )
    return tuple(given)


class Approval:
    """The question whether a plan is to be applied.

    Parameters
    ----------
    log
        The book it is asked in.
    step
        The step that applies the plan.
    plan
        What it is about.
    question
        What is asked.
    since
        The entry that an answer must follow.
    needed
        So many different people must agree.
    """

    def __init__(
        self, log: BookLog, step: str, plan: Plan, *, question: str, since: int, needed: int
    ) -> None:
        self.step, self._plan = step, plan
        self.shown = plan.digest[:SHOWN]
        self._remarks: list[str] = []
        self.before = log.applied(step, plan.digest)
        """The run that carried out this plan or step before."""
        self.decision = Decision(
            log,
            step,
            question or f"{step}: apply plan {self.shown}?",
            (APPLY, LEAVE),
            text=" ".join((f"Plan {self.shown}.", *plan.data.consequences.sentences)),
            plan_digest=plan.digest,
            since=since,
            agree=APPLY,
            needed=needed,
        )

    def take(self, given: Collection[str], *, in_time: bool) -> None:
        """Count a digest that was given as a parameter as a yes, once.

        Parameters
        ----------
        given
            Beginnings of digests.
        in_time
            Whether they were given after what the plan follows.
        """
        if self.decision.made or not any(self._plan.digest.startswith(one) for one in given):
            return
        if not in_time:
            self._remarks.append(
                f"plan {self.shown} was approved before the step that it follows was done: look "
                "at that first, then run everything again, as it is."
            )
        elif self.before is None or self.before.plan_digest != self._plan.digest:
            self.decision.decide(APPLY, source="a parameter")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of earlier answers, before somebody says so."""
        return (*self._remarks, *self._outdated())

    @property
    def undecided(self) -> UndecidedError:
        """The error that stops the cells below until somebody has said so."""
        told = self._plan.data.consequences
        word = (
            f" to the runbook, and confirm={told.confirm!r} to this step" if told.guessable else ""
        )
        return UndecidedError(
            f"{self.step}: the cells below wait until somebody applies the plan above, or leaves "
            "it; then run this cell and those below it. Where nobody can click, give the plan that "
            f"was read: approved={self.shown}{word}"
        )

    def _outdated(self) -> Iterator[str]:
        if (run := self.before) is not None:
            by = f" by {name_in(run.identity)}" if run.identity else ""
            undone = "" if run.status == "done" else ", rolled back since"
            again = (
                "This is the same plan: it is"
                if run.plan_digest == self._plan.digest
                else f"This is another plan, {self.shown}: it is shown, and"
            )
            yield (
                f"plan {run.plan_digest[:SHOWN]} was applied{by} at "
                f"{run.started_at:%Y-%m-%d %H:%M} UTC (run {run.run}{undone}). {again} applied "
                "only when somebody says so here."
            )
        for one in self.decision.outdated()[-1:]:
            yield (
                f"{one.who} answered {one.data['choice']!r} for plan "
                f"{one.data['digest'][:SHOWN]}. This is another plan, {self.shown}: that answer "
                "does not count."
            )
