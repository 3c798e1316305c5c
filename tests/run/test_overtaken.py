"""A run that stopped, and what others did before it is taken up again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

import opskit
from opskit.errors import StepError
from opskit.journal.runs import open_journal
from opskit.run.recovery import give_up
from opskit.run.work import Progressed
from opskit.steps import Probe, SwitchService, holding, lock
from tests.run.killing import apply_in_a_process
from tests.stage import APP, QUICK, SERVER, Stage, hurry_probes
from tests.waiting import eventually

TOKEN, KEY = (SERVER, APP, "token"), (SERVER, APP, "key")
pytestmark = pytest.mark.slow


@pytest.fixture
def stage(stage_at_night: Stage) -> Stage:
    stage_at_night.set_up()
    return stage_at_night


@pytest.mark.parametrize("how", ["resume", "rollback"])
@pytest.mark.parametrize("moment", [26, 32, 36])
def test_a_run_that_a_later_one_went_past_is_left_alone(
    stage: Stage, moment: int, how: str
) -> None:
    fleet = opskit.Fleet.from_abra()
    assert apply_in_a_process(stage.env, "rotate", moment)
    lock.break_lock(stage.engine, stage.stack)
    assert fleet.plan_rotate([TOKEN], QUICK).apply().status == "done"
    before = stage.state()
    if how == "resume":
        ended = fleet.resume()
        assert ended.status == "failed"
        (said,) = ended.errors
    else:
        with pytest.raises(StepError, match="nothing was changed") as refused:
            fleet.rollback()
        said = str(refused.value)

    assert "declares SECRET_TOKEN_VERSION=v3 by now, not v2" in said
    assert "opskit give-up" in said
    assert stage.state() == before


@pytest.mark.parametrize("moment", [21, 22, 23])
def test_services_that_others_took_there_meanwhile_do_not_go_back_with_the_file_alone(
    stage: Stage, moment: int
) -> None:
    fleet = opskit.Fleet.from_abra()
    assert apply_in_a_process(stage.env, "rotate", moment)
    assert b"TOKEN_VERSION='v2'" in stage.env_file.read_bytes(), "declared, and not yet switched"
    lock.break_lock(stage.engine, stage.stack)
    for service in ("app", "worker"):
        # As a deploy does with what is declared.
        mount(stage, service, "token_v2")
    with stage.env_file.open("ab") as file:
        file.write(b"# by hand\n")
    before = stage.state()

    with pytest.raises(StepError, match="nothing was changed") as refused:
        fleet.rollback()
    assert f"{stage.stack}_token_v2 is needed by {stage.stack}_app" in str(refused.value)
    assert stage.state() == before

    run = fleet.resume()
    assert run.status == "done", run.errors
    after = stage.state()
    assert b"TOKEN_VERSION='v2'" in after["env"]
    assert after["env"].endswith(b"# by hand\n")
    assert after["locks"] == []


def test_what_only_had_its_lock_left_to_release_is_done(stage: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    assert apply_in_a_process(stage.env, "rotate", 40)
    lock.break_lock(stage.engine, stage.stack)
    assert fleet.plan_rotate([TOKEN], QUICK).apply().status == "done"
    before = stage.state()

    assert fleet.resume().status == "done"
    assert stage.state() == before


def test_a_run_is_taken_up_under_its_lock(stage: Stage) -> None:
    assert apply_in_a_process(stage.env, "rotate", 26)
    lock.break_lock(stage.engine, stage.stack)
    locks: list[str] = []

    def watch(_: Progressed) -> None:
        locks.extend(one.run for one in lock.locks_among(SERVER, stage.engine.configs()))

    ended = opskit.Fleet.from_abra().resume(on_progress=watch)
    assert ended.status == "done", ended.errors
    assert ended.id in locks


def test_a_run_is_not_taken_up_while_another_works_on_the_stack(stage: Stage) -> None:
    assert apply_in_a_process(stage.env, "rotate", 26)
    lock.break_lock(stage.engine, stage.stack)
    lock.take(stage.engine, stage.stack, run="another", owner="kim", host="laptop")
    before = stage.state()
    ended = opskit.Fleet.from_abra().resume()

    assert ended.status == "failed"
    assert "locked by kim@laptop with run another" in ended.errors[0]
    assert stage.state() == before


def test_who_is_kept_out_by_a_run_of_ones_own_is_told_to_finish_that(stage: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    assert apply_in_a_process(stage.env, "rotate", 26)
    with open_journal() as journal:
        stopped = journal.last_unfinished()
    assert stopped is not None
    run = stopped.run
    (said,) = fleet.plan_rotate([KEY], QUICK).apply().errors
    assert f"with run {run}" in said
    assert f"opskit resume {run}; or undo it: opskit rollback {run}" in said
    assert "break-lock" not in said

    give_up(run)
    (said,) = fleet.plan_rotate([KEY], QUICK).apply().errors
    assert f"your own and given-up, so: opskit break-lock {SERVER} {stage.stack}" in said


def test_a_version_declared_by_hand_meanwhile_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(step: Progressed) -> None:
        if (step.action, step.status) == ("verify", "running"):
            text = stage.env_file.read_bytes().replace(b"TOKEN_VERSION='v2'", b"TOKEN_VERSION='v7'")
            stage.env_file.write_bytes(text)

    probe = Probe(kind="command", target=("false",))
    hurry_probes(monkeypatch)
    plan = opskit.Fleet.from_abra().plan_rotate([TOKEN], replace(QUICK, probe=probe))
    run = plan.apply(on_progress=edit)

    assert run.status == "failed"
    assert "declares SECRET_TOKEN_VERSION=v7 by now, not v2. That line was left" in run.errors[0]
    assert b"TOKEN_VERSION='v7'" in stage.state()["env"]
    assert stage.state()["secrets"] == [f"{stage.stack}_key_v1", f"{stage.stack}_token_v1"]


def test_a_file_that_is_gone_is_named(stage: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_rotate([TOKEN], QUICK).apply()
    moved = stage.env_file.rename(stage.root / "moved")
    with pytest.raises(StepError, match=r"nothing was changed: .*\.env cannot be read"):
        fleet.rollback(run.id)
    moved.rename(stage.env_file)
    assert fleet.rollback(run.id).status == "rolled-back"


def test_a_run_that_cannot_be_taken_up_as_its_file_is_gone_keeps_no_lock(stage: Stage) -> None:
    assert apply_in_a_process(stage.env, "rotate", 26)
    stage.env_file.rename(stage.root / "moved")
    ended = opskit.Fleet.from_abra().resume()
    assert ended.status == "failed"
    assert ".env cannot be read" in ended.errors[0]
    assert lock.locks_among(SERVER, stage.engine.configs()) == []


def is_refused_whole(stage: Stage, run: str, why: str) -> None:
    before = stage.state()
    fleet = opskit.Fleet.from_abra()
    with pytest.raises(StepError, match=f"nothing was changed: .*{why}"):
        fleet.rollback(run)
    assert stage.state() == before
    assert fleet.journal().iloc[-1]["status"] == "done"


def test_a_generated_secret_that_services_use_by_now_stays(stage: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    take_down(stage, "app", "worker")
    fleet.plan_remove([TOKEN]).apply().raise_for_status()
    run = fleet.plan_generate(APP, None, QUICK).apply().raise_for_status()
    stage.deploy("app", ["token"])
    stage.wait_until_converged()
    is_refused_whole(stage, run.id, f"token_v1 is needed by {stage.stack}_app")


def test_services_deployed_anew_are_not_switched_back(stage: Stage) -> None:
    run = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK).apply()
    spec = stage.engine.raw_service(f"{stage.stack}_worker").spec
    take_down(stage, "worker")
    stage.post("/services/create", spec)
    stage.wait_until_converged()
    is_refused_whole(stage, run.id, "worker on one.example was removed and deployed anew")


@pytest.mark.parametrize("moment", [26, 32])
def test_what_stopped_goes_back_though_its_services_were_removed(stage: Stage, moment: int) -> None:
    before = stage.state()
    assert apply_in_a_process(stage.env, "rotate", moment)
    take_down(stage, "app", "worker")
    ended = opskit.Fleet.from_abra().rollback()

    assert ended.status == "rolled-back", ended.errors
    assert stage.state() == before | {"uses": {}}


def take_down(stage: Stage, *services: str) -> None:
    for name in services:
        service = stage.engine.raw_service(f"{stage.stack}_{name}").service.id
        stage.engine.remove_service(service)
        eventually(partial(is_forgotten, stage, service), f"{name}'s containers and tasks to go")


def is_forgotten(stage: Stage, service: str) -> bool:
    """Tell whether no container is left, and Swarm, a little later, has heard of it."""
    return not stage.engine.containers(service) and all(
        task.service_id != service for task in stage.engine.tasks()
    )


def test_a_run_whose_lock_another_took_over_stops_before_its_next_step(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after a laptop slept through the lock's lifetime.
    monkeypatch.setattr(holding, "_RENEW_S", -1)
    before = stage.state()

    def take_over(step: Progressed) -> None:
        if (step.action, step.status, step.phase) == ("create-secret", "done", "do"):
            lock.break_lock(stage.engine, stage.stack)
            lock.take(stage.engine, stage.stack, run="another", owner="kim", host="laptop")

    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_rotate([TOKEN], QUICK).apply(on_progress=take_over)
    after = stage.state()

    assert run.status == "failed"
    assert "locked by kim@laptop with run another" in run.errors[0]
    assert (after["env"], after["uses"]) == (before["env"], before["uses"])
    lock.release(stage.engine, stage.stack, run="another")
    assert fleet.rollback().status == "rolled-back"
    assert stage.state() == before


def test_a_service_that_uses_yet_another_version_is_neither_switched_nor_called_so(
    stage: Stage,
) -> None:
    plan = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK)

    def point_elsewhere(step: Progressed) -> None:
        if (step.action, step.status, step.phase) == ("declare", "done", "do"):
            stage.create("token_v9")
            mount(stage, "worker", "token_v9")

    run = plan.apply(on_progress=point_elsewhere)

    assert run.status == "failed"
    assert f"uses {stage.stack}_token_v9 as file-0 by now" in run.errors[0]
    steps = run.steps.query("action == 'switch-service' and subject.str.endswith('worker')")
    assert set(steps["status"]) == {"failed"}
    assert stage.state()["uses"]["_worker"][0][0] == f"{stage.stack}_token_v9"
    assert stage.state()["uses"]["_app"][0][0] == f"{stage.stack}_key_v1"


def mount(stage: Stage, service: str, name: str) -> None:
    """Let a service mount another version of a secret, as a colleague might."""
    (secret,) = stage.engine.secrets(f"{stage.stack}_{name}")
    raw = stage.engine.raw_service(f"{stage.stack}_{service}")
    for reference in raw.spec["TaskTemplate"]["ContainerSpec"]["Secrets"]:
        if reference["SecretName"].rpartition("_")[0] == secret.spec.name.rpartition("_")[0]:
            reference["SecretID"], reference["SecretName"] = secret.id, secret.spec.name
    stage.put(service, raw.spec)


def test_a_rollback_leaves_a_service_that_went_on_to_another_version(stage: Stage) -> None:
    # As where the colleague has an .env of her own.
    run = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK).apply()
    stage.create("token_v9")
    mount(stage, "worker", "token_v9")
    is_refused_whole(stage, run.id, "worker on one.example uses .*token_v9 by now, not .*token_v2")


def test_what_a_later_run_came_from_stays_though_no_service_names_it_any_more(
    stage: Stage,
) -> None:
    fleet = opskit.Fleet.from_abra()
    take_down(stage, "app", "worker")
    fleet.plan_remove([TOKEN]).apply().raise_for_status()
    made = fleet.plan_generate(APP, None, QUICK).apply().raise_for_status()
    later = fleet.plan_rotate([TOKEN], QUICK).apply().raise_for_status()
    is_refused_whole(stage, made.id, f"token_v1 is needed by the way back of run {later.id}")
    assert fleet.rollback(later.id).status == "rolled-back"
    assert fleet.rollback(made.id).status == "rolled-back"


def test_a_failed_run_still_tells_what_earlier_steps_noted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch, hurried = SwitchService.do, Probe(kind="command", target=("false",))
    monkeypatch.setattr(
        SwitchService, "do", lambda *what: {**switch(*what), "note": "told on the way"}
    )
    hurry_probes(monkeypatch)
    plan = opskit.Fleet.from_abra().plan_rotate([TOKEN], replace(QUICK, probe=hurried))
    run = plan.apply()
    assert run.status == "rolled-back"
    assert "told on the way" in run.notes[0]
