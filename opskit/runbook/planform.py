"""The form below a cell that carries out a plan: its button, how far it is, and how it ended."""

# IPython ships partial types.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from IPython.display import display

from opskit.errors import OpskitError
from opskit.fleet import Fleet
from opskit.progress import in_notebook
from opskit.run.run import Plan, Run
from opskit.runbook.approval import APPLY, LEAVE
from opskit.runbook.carry import PlanStep
from opskit.secrets.redact import redact
from opskit.widgets.form import Form
from opskit.widgets.kinds import FORMS, FormKind
from opskit.widgets.person import NOBODY, Person, person_named, read_person
from opskit.widgets.session import Send, Session

_GO_ON = "Run this cell and those below it to go on."


@dataclass(slots=True, kw_only=True)
class PlanSession(Session):
    """The state of the form: what is clicked is written to the runbook.

    Parameters
    ----------
    step
        The step that carries the plan out.
    """

    step: PlanStep

    def __post_init__(self) -> None:
        Session.__post_init__(self)
        self.state |= {"apply": APPLY, "leave": LEAVE, "go_on": ""}

    @property
    def form(self) -> FormKind:
        """What such a form shows: what is asked."""
        return replace(FORMS[self.kind], title=self.step.approval.decision.question)

    def handle(self, message: Mapping[str, Any], send: Send) -> None:
        """Act on a click; one that leaves the plan as it is has no counterpart in other forms."""
        if message.get("type") == "leave":
            self._leave(message, read_person(message.get("who")))
        else:
            Session.handle(self, message, send)

    def may_apply(self, message: Mapping[str, Any]) -> bool:
        """Take the click itself as the yes, where one person's is enough."""
        with self.lock:
            who = read_person(message.get("who"))
            if self.state["phase"] != "planned" or not Session.may_apply(self, message):
                return False
            # To undo what was carried out is none of the step's decisions.
            return self.rollback is not None or self._agrees(message, who)

    def approve(self, message: Mapping[str, Any], who: Person) -> None:
        """Write the approval to the runbook, where it counts."""
        with self.lock:
            if not self._is_asked(message) or not self.is_confirmed(message):
                return
            if self._agrees(message, who):
                self.change(approvals=self._approvals(self.step.plan), error="")

    def _leave(self, message: Mapping[str, Any], who: Person) -> None:
        with self.lock:
            if self._is_asked(message) and self._writes(self.step.leave, who):
                self.outcome = f"Left as it is, as {who} decided."
                self.change(phase="left", by=who.to_json(), error="", go_on=_GO_ON)

    def _is_asked(self, message: Mapping[str, Any]) -> bool:
        """Return whether a click is about the step's plan, rather than undoing what it did."""
        shown, is_planned = self.state["plan"], self.state["phase"] == "planned"
        is_same = is_planned and message.get("digest") == shown["digest"]
        return is_same and self.rollback is None

    def show_rollback(self, run: str) -> None:
        """Name the button after what it does now, and leave nothing else to click."""
        Session.show_rollback(self, run)
        self.change(leave="", apply="Roll back")

    def _agrees(self, message: Mapping[str, Any], who: Person) -> bool:
        # `is_confirmed` has looked at it.
        typed = self.step.plan.data.consequences.confirm and str(message.get("confirm"))
        return self._writes(partial(self.step.agree, confirm=typed), who)

    def _writes(self, write: Any, who: Person) -> bool:
        if who == NOBODY:
            self.change(error="The Jupyter server did not say who you are.")
            return False
        try:
            write(who)
        except OpskitError as error:
            self.change(error=redact(str(error)))
            return False
        return True

    def _approvals(self, plan: Plan) -> list[dict[str, str]]:
        del plan
        return [person_named(one.identity).to_json() for one in self.step.approval.decision.agreed]

    def show_end(self, run: Run, who: Person, tab: str) -> None:
        """Say that the cell goes on, too, once the step is done."""
        self.change(go_on=_GO_ON if run.status == "done" else "")
        Session.show_end(self, run, who, tab)

    def carry_out(self, plan: Plan, **options: Any) -> Run:
        """Carry the step out, which applies its plan."""
        del plan
        try:
            return self.step.carry_out(**options)
        except OpskitError:
            if self.step.run is None:
                raise
            return self.step.run


class PlanForm(Form):
    """The form itself.

    Parameters
    ----------
    step
        The step that carries the plan out.
    """

    _session_type = PlanSession

    def __init__(self, step: PlanStep) -> None:
        needed = step.approval.decision.needed
        self._approval = step.approval
        super().__init__(
            fleet=Fleet(step.plan.root),
            kind="approve",
            plan=step.plan,
            needed=needed if needed > 1 else 0,
            step=step,
        )

    def as_text(self) -> str:
        """Say what is asked, and what became of it."""
        decision = self._approval.decision
        waits = (
            f"Nobody has applied it here. Where nobody can click: approved={self._approval.shown}"
        )
        said = self._session.outcome or waits
        return " ".join((repr(decision), decision.text, said))


def show_plan_form(step: PlanStep) -> None:
    """Show the form where it can be clicked, else say in words what is asked."""
    for remark in step.approval.remarks:
        print(f"{step.approval.step}: {remark}")
    if in_notebook():
        display(PlanForm(step))
    else:
        print(repr(step.approval.decision))
