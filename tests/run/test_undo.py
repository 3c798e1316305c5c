"""What undoing a run takes back, what it leaves, and who is named for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

import opskit
from opskit.errors import StepError
from opskit.steps import PutBack, StepContext
from opskit.steps.base import Detail
from opskit.steps.made import kind_of
from tests.run.test_overtaken import take_down
from tests.stage import APP, QUICK, SERVER, Stage
from tests.waiting import LIMIT

TOKEN = (SERVER, APP, "token")


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    embedded_stage.set_up()
    return embedded_stage


def generated(stage: Stage) -> opskit.Run:
    """Make the token anew, by a run, and let the services use it."""
    fleet = opskit.Fleet.from_abra()
    take_down(stage, "app", "worker")
    fleet.plan_remove([TOKEN]).apply().raise_for_status()
    run = fleet.plan_generate(APP, None, QUICK).apply().raise_for_status()
    stage.deploy("app", ["token"])
    stage.deploy("worker", ["token"])
    stage.wait_until_converged()
    return run


def rotate() -> opskit.Run:
    return opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK).apply().raise_for_status()


@pytest.mark.slow
def test_a_generated_version_stays_until_all_that_came_from_it_is_undone(stage: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    made = generated(stage)
    later = [rotate(), rotate()]
    before = stage.state()
    with pytest.raises(StepError, match=f"token_v1 is needed by the way back of run {later[0].id}"):
        fleet.rollback(made.id)
    assert stage.state() == before

    for run in reversed(later):
        assert fleet.rollback(run.id).status == "rolled-back"
    assert {name for name, *_ in stage.state()["uses"]["_worker"]} == {f"{stage.stack}_token_v1"}


def test_a_generated_version_stays_while_a_later_undeploy_may_be_undone(stage: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    made = generated(stage)
    down = fleet.plan_undeploy(APP, QUICK).apply().raise_for_status()
    assert stage.services() == []
    with pytest.raises(StepError, match=f"token_v1 is needed by the way back of run {down.id}"):
        fleet.rollback(made.id)
    assert f"{stage.stack}_token_v1" in stage.state()["secrets"]


def test_a_rollback_says_whose_values_are_gone_and_asks_for_a_word_where_none_is_left(
    stage: Stage,
) -> None:
    fleet = opskit.Fleet.from_abra()
    made = fleet.plan_rollback(generated(stage).id).data.consequences
    said = f"Removes {stage.stack}_token_v1: what is removed cannot be read back."
    assert (made.irreversible, made.confirm, made.warnings) == (True, APP, (said,))

    back_to_the_one_before = fleet.plan_rollback(rotate().id).data.consequences
    assert back_to_the_one_before.irreversible
    assert back_to_the_one_before.confirm == ""
    assert f"Removes {stage.stack}_token_v2:" in back_to_the_one_before.warnings[0]


@pytest.mark.slow
def test_who_made_a_run_stays_written_beside_who_undid_it(stage: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_rotate([TOKEN], QUICK).apply(identity="Ada")
    assert fleet.rollback(run.id, identity="Kim").status == "rolled-back"

    (row,) = fleet.journal().records()
    assert (row.status, row.identity, row.undone_by) == ("rolled-back", "Ada", "Kim")
    by = run.steps.groupby("phase")["detail"].unique()
    assert {phase: list(found) for phase, found in by.items()} == {
        "do": ['{"by":"Ada"}'],
        "undo": ['{"by":"Kim"}'],
    }


def way_back(stage: Stage, noted: Detail) -> tuple[PutBack, StepContext]:
    """Give the way back of a first deploy, which noted this when it was done."""
    ctx = StepContext(engine=stage.engine, run="run", actor="kim", host="laptop")
    ctx.reported = lambda action: noted if action == "deploy" else {}
    return PutBack(stack=stage.stack, before=(), timeout=LIMIT), ctx


def as_noted(stage: Stage, *services: str) -> Detail:
    found = {one.spec.name: one for one in stage.services()}
    chosen = [found[f"{stage.stack}_{name}"] for name in services]
    specs = {one.id: stage.engine.raw_service(one.id).spec for one in chosen}
    return {"services": " ".join(f"{ident}:{kind_of(spec)}" for ident, spec in specs.items())}


def test_a_deploy_that_is_undone_leaves_what_a_later_one_made(stage: Stage) -> None:
    back, ctx = way_back(stage, as_noted(stage, "app"))
    why = back.undo_conflict(ctx)
    assert f"{stage.stack}_worker on {SERVER} was made later, by another deploy" in why
    assert "Roll back the later run first" in why

    assert back.undo(ctx) == {"put_back": 0, "removed": 1, "note": ""}
    assert [one.spec.name for one in stage.services()] == [f"{stage.stack}_worker"]


@pytest.mark.parametrize("moments", [(-60, 60), (60, 120), (-120, -60)])
def test_of_a_deploy_that_was_killed_what_came_while_it_may_have_gone_on_is_removed(
    stage: Stage, moments: tuple[int, int]
) -> None:
    back, ctx = way_back(stage, {})
    made = min(one.created_at for one in stage.services())
    since, until = ((made + timedelta(seconds=one)).isoformat() for one in moments)
    ctx.intended = lambda action: {"since": since, "until": until}
    if moments[0] < 0 < moments[1]:
        assert back.undo_conflict(ctx) == ""
        assert back.undo(ctx)["removed"] == 2
        return
    assert "was made later, by another deploy" in back.undo_conflict(ctx)
    assert back.undo(ctx)["removed"] == 0


def test_a_deploy_that_never_began_made_nothing(stage: Stage) -> None:
    back, ctx = way_back(stage, {})
    ctx.intended = lambda action: None
    assert back.undo(ctx)["removed"] == 0


def test_a_deploy_is_not_undone_below_the_way_back_of_a_later_one(stage: Stage) -> None:
    back, ctx = way_back(stage, {})
    (app, worker) = (one.id for one in stage.services())
    ctx.needed_later = lambda what: ["another"] if what in (app, worker) else []
    assert "is needed by the way back of run another" in back.undo_conflict(ctx)


@pytest.mark.slow
def test_a_deploy_can_be_undone_once_later_runs_were_undone(stage: Stage) -> None:
    back, ctx = way_back(stage, as_noted(stage, "app", "worker"))
    later = [rotate(), rotate()]
    assert "was updated since it was made" in back.undo_conflict(ctx)
    for run in reversed(later):
        assert opskit.Fleet.from_abra().rollback(run.id).status == "rolled-back"

    assert back.undo_conflict(ctx) == ""
    opskit.Fleet.from_abra().plan_restart(APP, None, QUICK).apply().raise_for_status()
    assert back.undo_conflict(ctx) == "", "a restart makes it no other"
    back.undo(ctx)
    assert stage.services() == []
