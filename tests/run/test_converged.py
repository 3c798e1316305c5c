"""What counts as converged, and how long is waited: one rule, whoever asks and in whichever way."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import opskit
from opskit import pictures
from opskit.abra.deployment import deployment
from opskit.errors import RefusedError, UnreachableError
from opskit.journal.runs import Journal
from opskit.run.apply import Runner
from opskit.steps import InterruptedStepError, StepContext
from opskit.steps.convergence import Goal, Wait, secrets_of
from opskit.steps.pacing import pace_of
from opskit.swarm.watch import EventStream
from opskit.widgets.choices import whole_apps
from opskit.widgets.kinds import FORMS
from tests.stage import APP, BAD, FAILING, QUICK, SERVER, Stage, has_its_tasks
from tests.waiting import LIMIT, eventually

pytestmark = pytest.mark.slow

TOKEN = (SERVER, APP, "token")
JOB = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
ONCE = {"Condition": "none"}
COUNTS = ("running", "desired", "completed")


@pytest.fixture
def stage(stage_at_night: Stage) -> Stage:
    return stage_at_night


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def add(stage: Stage, name: str, *, mode: dict[str, Any], policy: dict[str, Any] | None) -> None:
    """Add a service beside the app that ends well once it has read the token."""
    raw = stage.engine.raw_service(f"{stage.stack}_worker")
    spec = raw.spec
    spec["Name"] = f"{stage.stack}_{name}"
    spec["Mode"] = mode
    spec.pop("UpdateConfig")
    spec["TaskTemplate"]["ContainerSpec"]["Command"] = ["sh", "-c", "exit 0"]
    spec["TaskTemplate"]["RestartPolicy"] = policy
    stage.post("/services/create", spec)
    eventually(lambda: ended(stage, name), f"{name} to have done its work")


def ended(stage: Stage, name: str) -> list[str]:
    """Name the token's version in each task of a service that ended well, by the order of age."""
    tasks = [t for t in stage.engine.tasks(f"{stage.stack}_{name}") if t.status.state == "complete"]
    return [
        reference.secret_name.removeprefix(f"{stage.stack}_token_")
        for task in sorted(tasks, key=lambda task: task.created_at)
        for reference in (task.spec.container_spec and task.spec.container_spec.secrets) or ()
    ]


def shown(stage: Stage, name: str) -> dict[str, int]:
    """Give how many tasks of a service the views count, and look at what is made of them."""
    snap = fleet().snapshot()
    rows = {row.service: row for row in snap.services.records()}
    (app,) = (row for row in snap.apps.records() if row.app == APP)
    counts = {key: sum(getattr(row, key) for row in rows.values()) for key in COUNTS}
    assert counts == {key: getattr(app, key) for key in COUNTS}
    assert "completed" in snap.services._repr_mimebundle_()["text/plain"]
    (choice,) = whole_apps(snap, FORMS["deploy"])
    assert ["Running", "2 of 2 tasks, 1 completed"] in choice["about"]
    places = pictures.fleet_map(snap).numbers.set_index("app")
    assert (places.loc[APP, "health"], places.loc[APP, "completed"]) == ("all tasks run", 1)
    return {key: getattr(rows[f"{stage.stack}_{name}"], key) for key in COUNTS}


KINDS = pytest.mark.parametrize(
    ("mode", "policy"),
    [
        (JOB, {"Condition": "on-failure"}),
        ({"GlobalJob": {}}, None),
        ({"Replicated": {"Replicas": 1}}, ONCE),
        ({"Replicated": {"Replicas": 1}}, {"Condition": "on-failure"}),
    ],
    ids=["job", "job on every node", "run once", "run once, again on failure"],
)


@KINDS
def test_a_job_that_completed_on_the_new_version_is_as_good_as_one_that_runs(
    stage: Stage, mode: dict[str, Any], policy: dict[str, Any] | None
) -> None:
    stage.set_up()
    add(stage, "migrate", mode=mode, policy=policy)
    assert shown(stage, "migrate") == {"running": 0, "desired": 0, "completed": 1}
    plan = fleet().plan_rotate([TOKEN], QUICK)
    assert "migrate runs once more" in plan.changes["note"][0]
    run = plan.apply()

    assert run.status == "done", run.errors
    assert ended(stage, "migrate")[-1] == "v2"
    assert stage.state()["locks"] == []
    back = fleet().rollback(run.id)
    assert back.status == "rolled-back", back.errors
    assert stage.state()["locks"] == []
    assert not any("_token_v2" in name for name in stage.state()["secrets"])


@KINDS
def test_undoing_waits_for_no_task_that_is_finished(
    stage: Stage, mode: dict[str, Any], policy: dict[str, Any] | None
) -> None:
    stage.set_up(fails=True)
    add(stage, "migrate", mode=mode, policy=policy)
    before = stage.state()
    run = fleet().plan_rotate([TOKEN], replace(FAILING, policy=BAD)).apply()

    assert run.status == "rolled-back", run.errors
    assert stage.state() == before
    assert "Undoing it failed too" not in run.errors[0]


def test_a_restart_of_a_job_says_that_it_runs_once_more_and_is_done_when_it_has(
    stage: Stage,
) -> None:
    stage.set_up()
    add(stage, "migrate", mode=JOB, policy=None)
    plan = fleet().plan_restart(APP, ["migrate"], QUICK)
    assert plan.changes["note"].tolist() == ["new tasks, same spec; migrate runs once more"]
    assert plan.apply().status == "done"
    eventually(lambda: ended(stage, "migrate"), "a second turn", lambda seen: len(seen) == 2)


def amend(stage: Stage, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a service's spec behind opskit's back, and wait until it runs so."""
    raw = stage.engine.raw_service(f"{stage.stack}_{name}")
    change(raw.spec)
    # Always new tasks: an update that needs none gets no status, and one not begun has none yet.
    raw.spec["TaskTemplate"]["ForceUpdate"] = 1
    stage.put(name, raw.spec)

    def settled() -> bool:
        status = stage.engine.raw_service(f"{stage.stack}_{name}").service.update_status
        return status is not None and status.state == "completed" and stage.is_converged()

    eventually(settled, f"{name} to run as changed")


@pytest.mark.swarm
def test_an_app_that_ends_where_it_ran_before_has_not_converged(real_stage: Stage) -> None:
    real_stage.set_up()

    def ends_on_a_bad_value(spec: dict[str, Any]) -> None:
        command = "grep -q bad-value /run/secrets/* && exit 0; exec sleep 1000"
        spec["TaskTemplate"]["ContainerSpec"]["Command"] = ["sh", "-c", command]
        spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "on-failure"}

    amend(real_stage, "app", ends_on_a_bad_value)
    before = real_stage.state()
    run = fleet().plan_rotate([TOKEN], replace(QUICK, policy=BAD, timeout=5)).apply()

    assert run.status == "rolled-back", run.errors
    assert real_stage.state() == before


def test_what_did_not_run_before_is_not_waited_for_on_the_way_back(stage: Stage) -> None:
    stage.set_up()
    raw = stage.engine.raw_service(f"{stage.stack}_worker")
    raw.spec["TaskTemplate"]["ContainerSpec"]["Image"] = "local/missing:1"
    stage.put("worker", raw.spec)
    eventually(
        lambda: [task.status.state for task in stage.engine.tasks(f"{stage.stack}_worker")],
        "the worker to be rejected",
        lambda states: "rejected" in states and "running" not in states,
    )
    before = stage.state()
    run = fleet().plan_rotate([TOKEN], QUICK).apply()

    assert run.status == "rolled-back", run.errors
    assert "No such image: local/missing:1" in run.errors[0]
    assert stage.state() == before
    assert any("worker: it did not run before either" in note for note in run.notes)


def slow_to_come_up(stage: Stage) -> None:
    """Let the app's tasks need some seconds until their healthcheck passes, as its recipe says."""

    def change(spec: dict[str, Any]) -> None:
        container = spec["TaskTemplate"]["ContainerSpec"]
        container["Command"] = ["sh", "-c", "sleep 6; touch /ready; exec sleep 1000"]
        container["Healthcheck"] = {
            "Test": ["CMD-SHELL", "test -e /ready"],
            "Interval": 500_000_000,
            "Timeout": 30_000_000_000,
            "StartPeriod": 20_000_000_000,
            "Retries": 3,
        }
        spec["Labels"][f"coop-cloud.{stage.stack}.timeout"] = "250"

    amend(stage, "app", change)


@pytest.mark.nightly
@pytest.mark.swarm
@pytest.mark.slow
def test_a_slow_app_has_the_time_that_its_recipe_asks_for_in_every_direction(
    real_stage: Stage,
) -> None:
    real_stage.set_up()
    slow_to_come_up(real_stage)
    hasty = replace(QUICK, timeout=1)
    plans: tuple[Callable[[], opskit.Plan], ...] = (
        lambda: fleet().plan_restart(APP, ["app"], hasty),
        lambda: fleet().plan_rotate([TOKEN], hasty),
    )
    for make in plans:
        plan = make()
        # And the 0.3 s that the update goes on watching.
        assert plan.data.consequences.longest_wait == 250.3
        assert "Waits for services, at most 250 s." in plan.data.consequences.impact
        run = plan.apply()
        assert run.status == "done", run.errors
    back = fleet().rollback(run.id)
    assert back.status == "rolled-back", back.errors


@pytest.mark.nightly
@pytest.mark.slow
def test_a_rollout_is_not_undone_for_the_pauses_that_it_makes_on_purpose(stage: Stage) -> None:
    stage.set_up(
        Mode={"Replicated": {"Replicas": 2}},
        UpdateConfig={"Parallelism": 1, "Delay": 32_000_000_000, "Monitor": 1_000_000_000},
    )
    plan = fleet().plan_rotate([TOKEN], replace(QUICK, timeout=60))
    # Two batches, each with its pause; and what the tasks are watched for in the end.
    assert plan.data.consequences.longest_wait == 60 + 2 * 32 + 1
    run = plan.apply()
    assert run.status == "done", run.errors


def docker(stage: Stage, *arguments: str) -> str:
    command = ["docker", "--host", stage.host, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


SPOKEN = """
version: "3.8"
services:
  app:
    image: local/busybox:1
    command: sleep 1000
    secrets: [token]
    stop_grace_period: 0s
    deploy: {labels: ["coop-cloud.${STACK_NAME}.timeout=77"]}
  worker:
    image: local/busybox:1
    command: ["sh", "-c", "trap exit TERM; sleep 1000 & wait"]
    secrets: [token]
    stop_grace_period: 1m30s
    healthcheck: {test: "true", interval: 1s, retries: 5, start_period: 1h2m, timeout: 30s}
    deploy:
      replicas: ${MANY}
      update_config: {parallelism: 2, delay: 100ms, monitor: 1.5s, order: start-first}
  everywhere:
    image: local/busybox:1
    command: sleep 1000
    healthcheck: {test: ["CMD", "true"], interval: 500ms}
    deploy: {mode: global, update_config: {delay: 1s}}
  quiet:
    image: local/busybox:1
    command: sleep 1000
    healthcheck: {disable: true}
  migrate:
    image: local/busybox:1
    command: "true"
    deploy: {mode: replicated-job, replicas: 2}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""


@pytest.fixture
def deployed(real_stage: Stage) -> Stage:
    """An app of several kinds of services, deployed with docker."""
    real_stage.write_files()
    real_stage.create("token_v1")
    recipe = real_stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    recipe.write_text(SPOKEN)
    real_stage.env_file.write_text(
        f"TYPE=shop\nSTACK_NAME={real_stage.stack}\nSECRET_TOKEN_VERSION=v1\nMANY=3\n"
    )
    run = fleet().plan_deploy(APP, QUICK).apply()
    assert run.status == "done", run.errors
    return real_stage


@pytest.mark.swarm
def test_compose_files_and_the_specs_that_docker_makes_of_them_say_one_pace(
    deployed: Stage,
) -> None:
    with deployment(deployed.root / "abra", SERVER, APP) as found:
        declared = dict(found.paces)
        assert found.timeout == 77
    observed = {
        service.spec.name.removeprefix(f"{deployed.stack}_"): pace_of(service.spec)
        for service in deployed.services()
    }
    # A spec is read without its healthcheck's command, so one that is switched off looks like one
    # that leaves its times to the engine.
    assert declared.pop("quiet") == replace(observed.pop("quiet"), healthy=0.0)
    assert declared == observed
    assert declared["worker"].healthy == 3600 + 120 + 5
    assert (declared["worker"].tasks, declared["worker"].delay) == (3, 0.1)


@pytest.mark.nightly
@pytest.mark.swarm
def test_a_number_of_tasks_set_by_hand_that_a_deploy_sets_back_is_in_the_plan(
    deployed: Stage,
) -> None:
    name = f"{deployed.stack}_app"
    docker(deployed, "service", "scale", "--detach", f"{name}=3")
    said = f"Sets {name} from 3 tasks back to 1, as the files say."
    by_services = fleet().plan_rotate([TOKEN], QUICK)
    assert said not in " ".join(by_services.data.consequences.impact)
    for plan in (
        fleet().plan_deploy(APP, QUICK),
        fleet().plan_rotate([TOKEN], replace(QUICK, deploy="stack")),
    ):
        assert said in " ".join(plan.data.consequences.impact)
    run = plan.apply()
    assert run.status == "done", run.errors
    replicas = "{{.Spec.Mode.Replicated.Replicas}}"
    assert docker(deployed, "service", "inspect", "--format", replicas, name) == "1"


def test_one_told_to_stop_waits_for_nothing_and_sees_what_has_converged(stage: Stage) -> None:
    stage.set_up()
    app = stage.engine.raw_service(f"{stage.stack}_app").service
    goal = Goal(service=app.spec.name, service_id=app.id)
    never = replace(goal, leaves=frozenset(secrets_of(app)))
    ctx = StepContext(engine=stage.engine, run="r", actor="a", host="h")
    ctx.stop.set()
    # As when a run is undone that had changed no service yet.
    wait = Wait(ctx=ctx, patience=LIMIT, forward=False)
    assert wait.until_converged(lambda: [goal], stable=0.0).note == ""
    with pytest.raises(InterruptedStepError):
        wait.until_converged(lambda: [never], stable=0.0)


def test_a_server_that_moves_during_a_run_is_looked_at_where_it_is_changed(stage: Stage) -> None:
    stage.set_up()
    data = fleet().plan_restart(APP, ["app"], QUICK).data
    runner = Runner(data=data, journal=Journal(stage.root / "journal"), run="r")
    first, again = (runner._context(data.units[0]) for _ in range(2))
    assert first.lookout is again.lookout
    stage.point_at(f"{stage.host}-moved")
    moved = runner._context(data.units[0])
    assert moved.lookout is not None
    assert moved.lookout._context == moved.engine.context


def deaf(patch: pytest.MonkeyPatch) -> None:
    """Let no event be heard of an engine that goes on telling."""
    patch.setattr(
        EventStream, "_take", lambda stream: stream._stream.reader.read1(65_536) and False
    )


def told_without_end(patch: pytest.MonkeyPatch) -> None:
    """Let something seem to happen all the time."""
    patch.setattr(EventStream, "wait", lambda *_: True)


def broken_off(patch: pytest.MonkeyPatch) -> None:
    """Let the stream end with the first event."""

    def end(*_: object) -> None:
        raise UnreachableError("it ended.", server=SERVER)

    patch.setattr(EventStream, "_take", end)


def refused(patch: pytest.MonkeyPatch) -> None:
    """Let a proxy pass no events."""

    def refuse(*_: object, **__: object) -> None:
        raise RefusedError("not allowed.", server=SERVER)

    patch.setattr(EventStream, "__init__", refuse)


@pytest.mark.parametrize("disturbed", [deaf, told_without_end, broken_off, refused])
def test_whatever_becomes_of_events_a_rotation_ends_the_same_and_nobody_goes_on_listening(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, disturbed: Callable[[pytest.MonkeyPatch], None]
) -> None:
    stage.set_up()
    disturbed(monkeypatch)
    run = fleet().plan_rotate([TOKEN], QUICK).apply()

    assert run.status == "done", run.errors
    uses = {name for some in stage.state()["uses"].values() for name, *_ in some}
    assert uses == {f"{stage.stack}_token_v2", f"{stage.stack}_key_v1"}
    assert all(map(has_its_tasks, stage.services()))
    assert not [one for one in threading.enumerate() if "lookout" in one.name]


def test_one_whose_tasks_fail_is_put_back_though_no_event_is_heard(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.set_up(fails=True)
    before = stage.state()
    deaf(monkeypatch)
    run = fleet().plan_rotate([TOKEN], replace(FAILING, policy=BAD)).apply()

    assert run.status == "rolled-back", run.errors
    assert stage.state() == before
    assert not [one for one in threading.enumerate() if "lookout" in one.name]
