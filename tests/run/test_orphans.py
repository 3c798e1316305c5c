"""Removing what no app declares, on the embedded and on a real engine."""

from __future__ import annotations

import pytest

import opskit
from opskit.errors import InputError, StepError
from opskit.steps import lock
from opskit.views.frame import View
from tests.stage import APP, QUICK, SERVER, Stage
from tests.waiting import eventually


@pytest.fixture
def stage(stage_at_night: Stage) -> Stage:
    stage_at_night.set_up()
    # Of the app's stack, and of a stack that nobody knows (it still carries the stage's name).
    stage_at_night.create("other_v1", "other_v2")
    stage_at_night.engine.create_secret(f"{stage_at_night.stack}-gone_db_v1", b"x", {})
    return stage_at_night


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def orphans(stage: Stage) -> View:
    view = fleet().snapshot().secrets
    return view.keep((view["state"] == "orphan") & view["swarm_name"].str.startswith(stage.stack))


def test_those_of_a_stack_go_together_and_those_of_none_each_by_itself(stage: Stage) -> None:
    before = stage.state()
    plan = fleet().plan_remove(orphans(stage))

    assert {unit.stack: len(unit.changes) for unit in plan.data.units} == {
        stage.stack: 2,
        f"{stage.stack}-gone_db_v1": 1,
    }
    assert set(plan.changes["undone_by"]) == {"nothing: the value cannot be read back"}
    assert set(plan.changes["note"]) == {"orphan"}
    run = plan.apply()
    assert run.status == "done", run.errors
    assert stage.state() == before | {
        "secrets": [f"{stage.stack}_key_v1", f"{stage.stack}_token_v1"]
    }
    # There is no way back: none is offered, and asking for it changes nothing.
    assert run.ways == ()
    with pytest.raises(StepError, match="cannot be brought back"):
        fleet().rollback(run.id)
    with pytest.raises(InputError, match="gone for good"):
        fleet().plan_rollback(run.id)
    assert fleet().journal()["status"].tolist() == ["done"]


def test_the_lock_of_the_app_keeps_them_too(stage: Stage) -> None:
    lock.take(stage.engine, stage.stack, run="other-run", owner="alice", host="her-machine")
    before = stage.state()
    run = fleet().plan_remove(orphans(stage).query("secret == 'other'")).apply()

    assert run.status == "rolled-back"
    assert "alice@her-machine" in run.errors[0]
    assert stage.state() == before


def test_what_a_service_needs_stays_and_the_plan_says_so(stage: Stage) -> None:
    stage.deploy("odd", ["other"])
    stage.wait_until_converged()
    plan = fleet().plan_remove(orphans(stage))
    assert f"{stage.stack}_other_v1" not in {s.subject() for u in plan.data.units for s in u.steps}
    said = f"stays: {stage.stack}_other_v1 on {SERVER} is needed by {stage.stack}_odd"
    assert said in plan.changes.caption
    with pytest.raises(InputError, match=r"nothing to remove: .*_other_v1 .* is needed by"):
        fleet().plan_remove(orphans(stage).query("version == 'v1' and secret == 'other'"))

    # A service that has let go of it could still go back to it.
    raw = stage.engine.raw_service(f"{stage.stack}_odd")
    raw.spec["TaskTemplate"]["ContainerSpec"]["Secrets"] = []
    stage.put("odd", raw.spec)
    stage.wait_until_converged()
    eventually(lambda: orphans(stage)["used_by"], "no use", lambda used: used.str.len().sum() == 0)
    with pytest.raises(InputError, match="its previous spec"):
        fleet().plan_remove(orphans(stage).query("version == 'v1' and secret == 'other'"))


def test_a_plan_of_nothing_is_made_when_asked_and_says_why(stage: Stage) -> None:
    stage.deploy("odd", ["other"])
    held = orphans(stage).query("version == 'v1' and secret == 'other'")
    with pytest.raises(InputError, match="there is nothing to remove"):
        fleet().plan_remove(held)
    plan = fleet().plan_remove(held, may_be_empty=True)
    assert not plan
    assert f"{stage.stack}_other_v1" in plan.changes.caption
    assert not fleet().plan_remove(held.iloc[:0], may_be_empty=True)
    assert not fleet().plan_prune(held.iloc[:0], may_be_empty=True)


def test_what_an_app_whose_files_are_not_read_whole_may_declare_stays(stage: Stage) -> None:
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text + b"\r\nOTHER='never closed")
    view = fleet().snapshot().secrets
    mine = view.keep(view["swarm_name"].str.startswith(stage.stack) & ~view["declared"])
    assert set(mine["state"]) == {"unknown"}
    with pytest.raises(InputError, match=r"shop\.example may declare it"):
        fleet().plan_remove(mine)


def test_what_is_declared_by_now_is_no_orphan_any_more(stage: Stage) -> None:
    seen = orphans(stage)
    other = stage.env_file.with_name("other.example.env")
    other.write_bytes(b"TYPE=shop\nSTACK_NAME=%s-gone\n" % stage.stack.encode())
    compose = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    compose.write_text(compose.read_text().replace("_key_${SECRET_KEY_VERSION}", "_db_v1"))
    with pytest.raises(InputError, match="no orphan"):
        fleet().plan_remove(seen)


def test_a_declared_secret_that_a_previous_spec_needs_is_not_removed(stage: Stage) -> None:
    for service in ("app", "worker"):
        raw = stage.engine.raw_service(f"{stage.stack}_{service}")
        raw.spec["TaskTemplate"]["ContainerSpec"]["Secrets"] = []
        stage.put(service, raw.spec)
    stage.wait_until_converged()
    eventually(
        lambda: fleet().snapshot().secrets.query("declared")["used_by"],
        "no use",
        lambda used: used.str.len().sum() == 0,
    )
    with pytest.raises(InputError, match="its previous spec"):
        fleet().plan_remove([(SERVER, APP, "token")])
    assert fleet().plan_restart(APP, options=QUICK).apply().status == "done"
    assert fleet().plan_remove([(SERVER, APP, "token")]).changes["from"].tolist() == ["v1"]
