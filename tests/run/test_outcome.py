"""What a run shows of itself: done, undone, and where."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import opskit
from opskit.run.outcome import outcome_view, unit_outcome
from tests.stage import APP, BAD, QUICK, SERVER, Stage


@pytest.mark.slow
def test_a_run_shows_what_it_did_to_which_app_and_then_what_was_undone(
    embedded_stage: Stage,
) -> None:
    embedded_stage.set_up()
    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_rotate(APP, "token", QUICK).apply(identity="Ada (a4519f)")
    shown = run._repr_mimebundle_()["text/html"]
    for said in (SERVER, APP, "token v1 → v2", f"run {run.id}: done, by Ada"):
        assert said in shown
    assert "a4519f" not in shown
    fleet.rollback(run.id, identity="Ben (b)")
    (row,) = outcome_view(run.id).records()
    assert (row.status, row.app, row.what) == ("undone", APP, "token v1 → v2")

    (line,) = fleet.journal().records()
    assert (line.apps, line.secrets, line.who) == (APP, "token", "Ada, undone by Ben")
    assert line.identity == "Ada (a4519f)"
    assert fleet.journal(run.id)["action"].tolist() == run.steps["action"].tolist()


def test_a_run_says_what_went_wrong_where(embedded_stage: Stage) -> None:
    embedded_stage.set_up(fails=True)
    bad = opskit.Options(stable=0.2, timeout=2.0, policy=BAD)
    plan = opskit.Fleet.from_abra().plan_rotate(APP, "token", bad)
    run = plan.apply(confirm=plan.data.consequences.confirm)
    (row,) = outcome_view(run.id).records()
    assert run.status == "rolled-back"
    assert row.status == "undone"
    assert row.error


# -- what becomes of one stack ------------------------------------------------------------


@dataclass(frozen=True)
class Taken:
    """A step as the journal has it."""

    step: int
    phase: str
    status: str
    action: str


ACTIONS = ("take-lock", "create-secret", "update-service", "release-lock")


def taken(there: str, back: str = "") -> list[Taken]:
    """Take the first steps there, and the last of those back: d(one), f(ailed), r(unning)."""
    words = {"d": "done", "f": "failed", "r": "running"}
    steps = range(len(ACTIONS))
    begun = [(n, "do", words[c]) for n, c in zip(steps, there, strict=False)]
    last = reversed(range(len(there)))
    begun += [(n, "undo", words[c]) for n, c in zip(last, back, strict=False)]
    return [Taken(n, phase, status, ACTIONS[n]) for n, phase, status in begun]


@pytest.mark.parametrize(
    ("there", "back", "outcome"),
    [
        ("", "", "skipped"),
        ("dddd", "", "done"),
        # Stopped between two steps, no step tells of it.
        ("dd", "", "interrupted"),
        ("ddr", "", "interrupted"),
        ("ddf", "", "failed"),
        # The lock is left, and all is done and proved.
        ("dddf", "", "done"),
        ("dddr", "", "interrupted"),
        ("dddd", "dddd", "undone"),
        ("ddf", "ddd", "undone"),
        ("ddd", "dd", "partly undone"),
        ("ddd", "dfd", "partly undone"),
        ("ddd", "dr", "partly undone"),
        # All is as it was but for the lock.
        ("ddd", "ddf", "undone"),
    ],
)
def test_a_stack_is_done_or_undone_only_if_all_of_it_is(
    there: str, back: str, outcome: str
) -> None:
    assert unit_outcome(len(ACTIONS), taken(there, back)) == outcome


def test_a_stack_that_is_worked_on_is_running() -> None:
    for there, back in (("dd", ""), ("ddr", ""), ("ddf", "d")):
        assert unit_outcome(len(ACTIONS), taken(there, back), is_at_work=True) == "running"
    assert unit_outcome(len(ACTIONS), taken("ddf"), is_at_work=True) == "failed"
