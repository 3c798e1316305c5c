"""What a run shows of itself: done, undone, and where."""

from __future__ import annotations

import opskit
from opskit.run.outcome import outcome_view
from tests.stage import APP, BAD, QUICK, SERVER, Stage


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
