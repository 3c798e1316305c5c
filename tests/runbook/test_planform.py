"""The form below a runbook's cell carries its plan out once, and the cell then goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import opskit
from opskit.errors import UndecidedError
from opskit.runbook.carry import PlanStep
from opskit.runbook.planform import PlanForm, PlanSession
from opskit.runbook.step import Step
from tests.runbook.test_apply import (
    TITLE,
    another_kernel,
    generation,
    rotation,
    runs,
    statuses,
)
from tests.stage import APP, BAD, Stage
from tests.waiting import eventually

pytestmark = pytest.mark.slow

ADA = {"username": "ada", "name": "Ada"}
BEN = {"username": "ben", "name": "Ben"}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[PlanStep]:
    """The steps whose form is shown."""
    steps: list[PlanStep] = []
    monkeypatch.setattr("opskit.runbook.book.show_plan_form", steps.append)
    return steps


@pytest.fixture
def shop(embedded_stage: Stage) -> Iterator[Stage]:
    embedded_stage.set_up()
    yield embedded_stage
    another_kernel()


class Form:
    """A form that a cell shows, and people who click in it."""

    def __init__(
        self, rb: opskit.Runbook, plan: opskit.Plan, shown: list[PlanStep], **more: Any
    ) -> None:
        with pytest.raises(UndecidedError, match="then run this cell and those below it"):
            rb.apply(plan, "Rotate", **more)
        needed = more.get("needed", 1)
        self.session = PlanSession(
            fleet=None, kind="approve", plan=plan, publish=lambda: None, step=shown[-1],
            needed=needed if needed > 1 else 0,
        )  # fmt: skip
        self.session.begin()
        self.digest = plan.digest

    def click(self, type: str, who: Any = ADA, **more: Any) -> None:  # noqa: A002
        said = {"type": type, "who": who, "tab": "1", "digest": self.digest, **more}
        self.session.handle(said, lambda _: None)

    def until(self, phase: str) -> dict[str, Any]:
        return eventually(
            lambda: self.session.state, f"the phase {phase}", lambda state: state["phase"] == phase
        )

    def until_error(self) -> str:
        return str(eventually(lambda: self.session.state["error"], "an error"))


def test_a_click_carries_the_step_out_and_the_cell_run_again_goes_on(
    shop: Stage, shown: list[PlanStep], capsys: pytest.CaptureFixture[str]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    form = Form(rb, plan, shown)
    assert form.session.state["apply"] == "Apply this plan"
    form.click("apply")
    result = form.until("ended")["result"]

    assert result["status"] == "done"
    assert form.session.state["go_on"] == "Run this cell and those below it to go on."
    assert form.session.steps[-1]["action"] == "release-lock"
    assert statuses(rb) == {"Rotate": "done"}
    assert opskit.Fleet.from_abra().journal()["identity"].tolist() == ["Ada (ada)"]
    (run,) = rb._log.entries_of("run")
    assert (run.step, run.data["run"]) == ("Rotate", result["run"])
    for again in (plan, rotation()):
        assert rb.apply(again, "Rotate") is None
    said = capsys.readouterr().out
    assert "✓ Rotate: done by Ada at " in said
    assert "is another one than was applied: it is not applied" in said
    assert len(runs()) == 1


def test_two_forms_of_one_plan_and_every_second_click_carry_it_out_once(
    shop: Stage, shown: list[PlanStep]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    first, second = Form(rb, plan, shown), Form(rb, plan, shown)
    for form in (first, first, second):
        form.click("apply")
    first.until("ended")

    assert "✓ Rotate: done by " in second.until_error()
    assert len(runs()) == 1


def test_a_cell_that_is_run_meanwhile_waits_for_the_form(
    shop: Stage, shown: list[PlanStep], capsys: pytest.CaptureFixture[str]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    form = Form(rb, plan, shown)
    held, go_on = threading.Event(), threading.Event()
    begin = shown[-1]._begin

    def slowly() -> Step:
        held.set()
        eventually(go_on.is_set, "the cell to be run")
        return begin()

    shown[-1]._begin = slowly
    form.click("apply")
    eventually(held.is_set, "the form to be at work")
    threading.Timer(0.2, go_on.set).start()
    assert rb.step("Verify", repeat=True, after="Rotate").due
    assert "Rotate is being carried out: this waits for its end." in capsys.readouterr().out
    assert form.until("ended")["result"]["status"] == "done"


def test_as_many_people_approve_as_are_needed_before_it_can_be_applied(
    shop: Stage, shown: list[PlanStep]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    form = Form(rb, plan, shown, needed=2)
    form.click("apply")
    form.click("approve")
    form.click("approve")
    assert [one["name"] for one in form.session.state["approvals"]] == ["Ada"]
    form.click("apply")
    assert runs() == []
    form.click("approve", BEN)
    form.click("apply", BEN)
    assert form.until("ended")["result"]["status"] == "done"
    assert opskit.Fleet.from_abra().journal()["who"].tolist() == ["Ben"]


def test_each_who_approves_or_applies_what_cannot_be_undone_types_its_word(
    shop: Stage, shown: list[PlanStep]
) -> None:
    shop.create("token_v0")
    rb, plan = opskit.Runbook(TITLE), opskit.Fleet.from_abra().plan_prune(APP, "token", keep=0)
    alone, form = Form(rb, plan, shown), Form(rb, plan, shown, needed=2)
    for one, click in ((alone, "apply"), (form, "approve")):
        for word in ({}, {"confirm": "another"}):
            one.click(click, **word)
            assert one.session.state["error"] == f"Type {APP} to confirm."
    assert (rb._log.entries_of("decision"), runs()) == ([], [])

    form.click("approve", confirm=APP)
    assert form.session.state["error"] == ""
    form.click("approve", BEN)
    assert [one["name"] for one in form.session.state["approvals"]] == ["Ada"]
    form.click("approve", BEN, confirm=APP)
    assert [one.data["confirm"] for one in rb._log.entries_of("decision")] == [APP, APP]
    assert runs() == []
    assert rb.apply(plan, "Rotate", needed=2) is not None


def test_a_value_that_can_be_guessed_is_made_by_the_word_that_was_typed_when_it_was_approved(
    shop: Stage, shown: list[PlanStep]
) -> None:
    rb = opskit.Runbook(TITLE)
    plan = generation(shop, opskit.Options(policy=opskit.Policy(length=4)))
    form = Form(rb, plan, shown, needed=2)
    for who in (ADA, BEN):
        form.click("approve", who, confirm=APP)
    another_kernel()
    assert opskit.Runbook(TITLE).apply(plan, "Rotate", needed=2) is not None


def test_a_plan_is_left_by_a_click_and_whoever_the_server_does_not_name_decides_nothing(
    shop: Stage, shown: list[PlanStep], capsys: pytest.CaptureFixture[str]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    form = Form(rb, plan, shown)
    for kind in ("apply", "leave"):
        form.click(kind, who=None)
        assert "did not say who you are" in form.session.state["error"]
    form.click("leave", digest="another")
    form.click("leave")
    assert form.until("left")["by"]["name"] == "Ada"
    form.click("apply")
    assert rb.apply(plan, "Rotate") is None
    assert "Rotate: left, as Ada decided." in capsys.readouterr().out
    assert (runs(), statuses(rb)) == ([], {"Rotate": "skipped"})


def test_undoing_what_was_carried_out_decides_nothing_about_the_step(
    shop: Stage, shown: list[PlanStep]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    form = Form(rb, plan, shown)
    form.session.fleet = opskit.Fleet.from_abra()
    form.click("apply")
    run = form.until("ended")["result"]["run"]
    said, decided = form.session.outcome, rb._log.entries_of("decision")
    form.click("rollback", run=run)
    asked = eventually(
        lambda: form.session.state, "the way back", lambda now: now["phase"] == "planned"
    )
    assert eventually(lambda: form.session.state["apply"], "its button", "Roll back".__eq__)
    assert not form.session.state["leave"]
    for kind in ("leave", "approve"):
        form.click(kind, digest=asked["plan"]["digest"])
    assert (form.session.state["phase"], form.session.outcome) == ("planned", said)
    form.click("apply", digest=asked["plan"]["digest"], confirm=asked["plan"]["confirm"])
    assert form.until("ended")["result"]["status"] == "rolled-back"
    assert rb._log.entries_of("decision") == decided


def test_a_yes_from_before_what_it_follows_was_done_again_carries_nothing_out(
    shop: Stage, shown: list[PlanStep]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    with rb.step("Look"):
        pass
    form = Form(rb, plan, shown, after="Look")
    with rb.step("Look", rerun=True):
        pass
    form.click("apply")
    assert "'Look' was carried out once more since" in form.until_error()
    assert runs() == []
    # Whoever waits next is not told of a step that was refused.
    with shown[-1]._steps.alone():
        assert shown[-1]._steps._running == ""


def test_a_run_that_fails_is_shown_with_its_reason_and_its_step_is_failed(
    embedded_stage: Stage, shown: list[PlanStep]
) -> None:
    embedded_stage.set_up(fails=True)
    plan = opskit.Fleet.from_abra().plan_rotate(
        APP, "token", opskit.Options(stable=0.2, timeout=2.0, policy=BAD)
    )
    rb = opskit.Runbook(TITLE)
    form = Form(rb, plan, shown)
    form.click("apply", confirm=plan.data.consequences.confirm)
    result = form.until("ended")["result"]
    assert result["status"] == "rolled-back"
    assert result["errors"]
    assert statuses(rb) == {"Rotate": "failed"}
    another_kernel()


def test_the_form_says_in_words_what_is_asked_and_what_became_of_it(
    shop: Stage, shown: list[PlanStep]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    Form(rb, plan, shown)
    form = PlanForm(shown[-1])
    asked = f"Rotate: apply plan {plan.digest[:12]}? not decided"
    assert repr(form).startswith(asked)
    assert f"approved={plan.digest[:12]}" in repr(form)
    assert form.title == f"Rotate: apply plan {plan.digest[:12]}?"
