"""A plan that a runbook carries out as a step: asked about, and carried out once.

It is carried out where somebody says so: by a click in the form below the cell, or by the cell
itself when the plan was approved before, as by a parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opskit.errors import RunbookError
from opskit.journal.runbooks import BookLog
from opskit.run.run import Plan, Run
from opskit.runbook.approval import APPLY, LEAVE, Approval
from opskit.runbook.attachments import attachment
from opskit.runbook.step import Step, StepLog
from opskit.widgets.person import Person


class PlanStep:
    """A step of a book that applies a plan.

    Parameters
    ----------
    log, steps
        The book, and its steps.
    approval
        The question whether the plan is to be applied.
    plan
        What the step does.
    begin
        Gives the step, if it is due now.
    still
        Says why it may not be carried out any more, as what it follows was done once more; else
        nothing.
    options
        How the plan is applied; see `opskit.RunOptions`.
    """

    def __init__(
        self,
        log: BookLog,
        steps: StepLog,
        approval: Approval,
        plan: Plan,
        *,
        begin: Callable[[], Step],
        still: Callable[[], str],
        options: dict[str, Any],
    ) -> None:
        self._log, self._steps, self._begin, self._still = log, steps, begin, still
        self.approval, self.plan, self._options = approval, plan, options
        self.run: Run | None = None
        """How it ended, once it was carried out, well or not."""

    def agree(self, who: Person, *, confirm: str) -> None:
        """Write that somebody wants it carried out, and which word they typed, if it needs one."""
        self.approval.decision.decide(APPLY, who, confirm=confirm)

    def leave(self, who: Person) -> None:
        """Write that somebody wants it left as it is."""
        decision = self.approval.decision
        decision.decide(LEAVE, who)
        if (entry := decision.entry) is not None and decision.choice == LEAVE:
            self._steps.leave(self.approval.step, entry)

    def carry_out(self, **options: Any) -> Run:
        """Carry the plan out as the step, and return how it ended.

        Raises
        ------
        RunbookError
            It is done already, or not to be done any more.
        OpskitError
            It could not be begun, or did not end well.
        """
        with self._steps.alone(self.approval.step):
            due, self.run = self._begin(), None
            if why := due.left_out or self._still():
                raise RunbookError(why)
            due.identity = str(options.get("identity", ""))
            with due:
                kind, text, data = attachment(self.plan, "")
                self._log.add(kind, step=due.title, text=text, data=data)
                self.run = self.plan.apply(**(self._options | options))
                return self.run.raise_for_status()
