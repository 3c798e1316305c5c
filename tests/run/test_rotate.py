"""Changing secrets, on the embedded and on a real engine."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

import opskit
from opskit.errors import InputError, StalePlanError
from opskit.plan.options import Options
from opskit.run.work import Progressed
from opskit.secrets.generate import Policy
from opskit.secrets.value import Secret
from opskit.steps import lock
from tests.stage import APP, BAD, FAILING, QUICK, SERVER, Stage

TOKEN = (SERVER, APP, "token")
KEY = (SERVER, APP, "key")


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def test_a_rotation_changes_the_version_everywhere_and_nothing_else(stage: Stage) -> None:
    stage.set_up()
    before = stage.state()
    plan = fleet().plan_rotate([TOKEN], QUICK)
    run = plan.apply()
    after = stage.state()

    assert run.status == "done", run.errors
    assert after["env"] == before["env"].replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v2'")
    assert after["secrets"] == sorted([*before["secrets"], f"{stage.stack}_token_v2"])
    assert after["locks"] == []
    for service, uses in before["uses"].items():
        assert after["uses"][service] == sorted(
            (name.replace("token_v1", "token_v2"), *rest) for name, *rest in uses
        )
    states = fleet().snapshot().secrets.query("secret == 'token'")[["version", "state"]]
    assert dict(states.itertuples(index=False, name=None)) == {
        "v1": "superseded",
        "v2": "current",
    }


def test_the_new_secret_says_who_made_it_and_nothing_of_its_value(stage: Stage) -> None:
    stage.set_up()
    run = fleet().plan_rotate([TOKEN], QUICK).apply()
    (made,) = stage.engine.secrets(f"{stage.stack}_token_v2")
    labels = made.spec.labels or {}

    assert labels["opskit.run"] == run.id
    assert set(labels) == {
        "opskit.run", "opskit.created-by", "opskit.created-at", "opskit.version", "opskit.policy",
        "opskit.replaces",
    }  # fmt: skip
    assert labels["opskit.replaces"] == f"{stage.stack}_token_v1"
    assert labels["opskit.policy"] == "40 characters alphanumeric, 238 bits"


def test_what_is_applied_is_exactly_what_was_shown(stage: Stage) -> None:
    stage.set_up()
    plan = fleet().plan_rotate([TOKEN], QUICK)
    calls = plan.calls.drop_duplicates("step")
    shown = [row.action for row in calls.itertuples()]
    assert calls["step"].tolist() == list(range(1, len(shown) + 1))
    run = plan.apply()
    done = [row.action for row in run.steps.query("phase == 'do'").itertuples()]

    assert [action for action in done if action != "converge-back"] == shown
    assert json.loads(plan.to_json())["kind"] == "rotate"


@pytest.mark.slow
def test_a_finished_rotation_can_be_rolled_back(stage: Stage) -> None:
    stage.set_up()
    before = stage.state()
    run = fleet().plan_rotate([TOKEN, KEY], QUICK).apply()
    assert run.status == "done", run.errors
    back = fleet().rollback(run.id)

    assert back.status == "rolled-back", back.errors
    assert stage.state() == before
    stage.wait_until_converged()


def test_a_version_that_does_not_work_is_undone_and_said(stage: Stage) -> None:
    stage.set_up(fails=True)
    before = stage.state()
    run = fleet().plan_rotate([TOKEN], replace(FAILING, policy=BAD)).apply()

    assert run.status == "rolled-back"
    assert stage.state() == before
    assert any(stage.stack in error for error in run.errors)
    assert not any("bad-value" in error for error in run.errors)
    stage.wait_until_converged()


@pytest.mark.slow
def test_a_failed_version_may_be_kept_labelled_and_does_not_count_when_pruning(
    stage: Stage,
) -> None:
    stage.set_up(fails=True)
    before = stage.state()
    options = replace(FAILING, policy=BAD, keep_failed=True)
    plan = fleet().plan_rotate([TOKEN], options)
    assert "v2 kept and labelled failed" in plan.changes.undone_by.iloc[0]
    run = plan.apply()
    after = stage.state()

    assert run.status == "rolled-back"
    assert after["secrets"] == sorted([*before["secrets"], f"{stage.stack}_token_v2"])
    assert {**after, "secrets": 0} == {**before, "secrets": 0}
    (kept,) = stage.engine.secrets(f"{stage.stack}_token_v2")
    assert "opskit.failed" in (kept.spec.labels or {})

    stage.wait_until_converged()
    again = fleet().plan_rotate([TOKEN], QUICK)
    assert again.changes["to"].tolist() == ["v3"]
    assert again.apply().status == "done"
    assert fleet().plan_prune([TOKEN], keep=1).changes["from"].tolist() == ["v2"]


def move(stage: Stage, what: str) -> None:
    """Change something that a plan for the token relies on."""
    match what:
        case "env":
            stage.env_file.write_bytes(stage.env_file.read_bytes() + b"\r\nNEW=1")
        case "service":
            stage.touch("worker")
        case _:
            stage.engine.create_secret(f"{stage.stack}_token_v2", b"x", {})


@pytest.mark.parametrize("moved", ["env", "service", "secret"])
def test_a_plan_the_world_has_left_behind_is_refused_whole(stage: Stage, moved: str) -> None:
    stage.set_up()
    plan = fleet().plan_rotate([TOKEN], QUICK)
    move(stage, moved)
    before = stage.state()
    with pytest.raises(StalePlanError, match="nothing was changed"):
        plan.apply()

    assert stage.state() == before


@pytest.mark.parametrize("moved", ["env", "service", "secret"])
def test_what_moves_before_the_stack_is_locked_is_seen_and_left_alone(
    stage: Stage, moved: str
) -> None:
    stage.set_up()
    states: list[dict[str, Any]] = []

    def meanwhile(step: Progressed) -> None:
        if (step.action, step.phase, step.status) == ("take-lock", "do", "running"):
            move(stage, moved)
            states.append(stage.state())

    run = fleet().plan_rotate([TOKEN], QUICK).apply(on_progress=meanwhile)

    assert run.status == "rolled-back"
    (said,) = run.errors
    assert "nothing was changed: the plan no longer fits" in said
    assert [stage.state()] == states


def test_a_taken_version_is_passed_over(stage: Stage) -> None:
    stage.set_up()
    stage.engine.create_secret(f"{stage.stack}_token_v2", b"x", {})
    changes = fleet().plan_rotate([TOKEN], QUICK).changes

    assert changes["to"].tolist() == ["v3"]


def test_a_stack_that_is_locked_is_left_alone_and_the_holder_named(stage: Stage) -> None:
    stage.set_up()
    lock.take(stage.engine, stage.stack, run="other-run", owner="alice", host="her-machine")
    before = stage.state()
    run = fleet().plan_rotate([TOKEN], QUICK).apply()

    assert run.status == "rolled-back"
    assert any("alice@her-machine" in error for error in run.errors)
    assert all("nothing was changed" in error for error in run.errors)
    assert stage.state() == before
    assert fleet().locks()["owner"].tolist().count("alice@her-machine") == 1
    assert fleet().break_lock(SERVER, stage.stack).run == "other-run"
    assert fleet().locks().empty


@pytest.mark.slow
def test_several_versions_one_prune_keeps_the_way_back(stage: Stage) -> None:
    stage.set_up()
    for _ in range(2):
        assert fleet().plan_rotate([TOKEN], QUICK).apply().status == "done"
    run = fleet().plan_prune([TOKEN]).apply()

    assert run.status == "done", run.errors
    assert stage.state()["secrets"] == [
        f"{stage.stack}_key_v1", f"{stage.stack}_token_v2", f"{stage.stack}_token_v3",
    ]  # fmt: skip
    # The previous spec of each service still needs v2, so there is nothing more to prune.
    with pytest.raises(InputError, match="nothing to prune") as refused:
        fleet().plan_prune([TOKEN], keep=0)
    said = str(refused.value)
    for service in ("app", "worker"):
        assert f"{stage.stack}_{service} (its previous spec)" in said
    assert f"{stage.stack}_token_v2 on {SERVER} is needed by" in said
    assert f"opskit app restart {APP}" in said


@pytest.mark.slow
def test_what_a_previous_spec_needs_can_go_after_the_update_that_the_refusal_names(
    stage: Stage,
) -> None:
    stage.set_up()
    assert fleet().plan_rotate([TOKEN], QUICK).apply().status == "done"
    assert fleet().plan_restart(APP, options=QUICK).apply().status == "done"
    assert fleet().plan_prune([TOKEN], keep=0).changes["from"].tolist() == ["v1"]
    with pytest.raises(InputError, match="1 kept back, as --keep says"):
        fleet().plan_prune([TOKEN], keep=1)


def test_a_secret_in_use_is_not_removed(stage: Stage) -> None:
    stage.set_up()
    with pytest.raises(InputError, match="is in use by"):
        fleet().plan_remove([TOKEN])


def test_a_given_value_becomes_the_next_version_and_stays_out_of_everything(stage: Stage) -> None:
    stage.set_up()
    canary = "c4nary-in-a-c0al-mine"
    plan = fleet().plan_insert(APP, "token", Secret(canary), options=QUICK)
    run = plan.apply()

    assert run.status == "done", run.errors
    assert f"{stage.stack}_token_v2" in stage.state()["secrets"]
    places = [plan.to_json(), repr(plan), repr(plan.changes), repr(plan.calls), repr(run.steps)]
    files = [p.read_bytes() for p in stage.root.rglob("*") if p.is_file()]
    assert not any(canary in text for text in places)
    assert not any(canary.encode() in content for content in files)


def test_missing_secrets_are_generated_and_only_those(stage: Stage) -> None:
    stage.set_up()
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"KEY_VERSION=v1", b"KEY_VERSION=v5"))
    plan = fleet().plan_generate(APP)
    assert plan.changes["secret"].tolist() == ["key"]
    assert plan.apply().status == "done"

    assert f"{stage.stack}_key_v5" in stage.state()["secrets"]
    with pytest.raises(InputError, match="nothing to generate"):
        fleet().plan_generate(APP)


@pytest.mark.parametrize("mode", [{"Global": {}}, {"Replicated": {"Replicas": 0}},
                                  {"Replicated": {"Replicas": 3}}])  # fmt: skip
def test_every_mode_of_service_is_switched(stage: Stage, mode: dict) -> None:
    stage.set_up(Mode=mode)
    run = fleet().plan_rotate([TOKEN], QUICK).apply()

    assert run.status == "done", run.errors
    names = {name for uses in stage.state()["uses"].values() for name, *_ in uses}
    assert f"{stage.stack}_token_v1" not in names


def test_a_run_that_is_over_is_not_done_again(stage: Stage) -> None:
    stage.set_up()
    run = fleet().plan_rotate([TOKEN], QUICK).apply()
    after = stage.state()
    again = fleet().resume(run.id)

    assert again.status == "done"
    assert stage.state() == after


def test_a_name_that_would_be_too_long_is_refused_when_planning(stage: Stage) -> None:
    stage.stack = (stage.stack + "x" * 60)[: 64 - len("_token_v9")]
    stage.set_up()
    text = stage.env_file.read_bytes().replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v9'")
    stage.env_file.write_bytes(text)
    with pytest.raises(InputError, match="65 characters"):
        fleet().plan_rotate([TOKEN], QUICK)


def test_a_plan_reads_back_from_json(stage: Stage) -> None:
    from opskit.plan.data import load_plan

    stage.set_up()
    plan = fleet().plan_rotate(
        [TOKEN], Options(stable=1, policy=Policy(generator="words", length=10))
    )
    assert load_plan(msgspec.json.encode(plan.data)).digest == plan.digest


def test_two_apps_of_one_stack_are_not_changed_together(stage: Stage) -> None:
    stage.set_up()
    other = stage.env_file.with_name("other.example.env")
    other.write_bytes(stage.env_file.read_bytes())
    with pytest.raises(InputError, match=r"shop\.example and other\.example are one stack"):
        fleet().plan_rotate([TOKEN, (SERVER, "other.example", "key")], QUICK)
