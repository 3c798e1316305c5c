"""Deploying, taking down and restarting whole stacks, on a real engine."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import opskit
from opskit.errors import InputError, StalePlanError, StepError
from opskit.run.work import Progressed
from opskit.steps import VerifyStack
from tests.abra.releases import Releases
from tests.stage import APP, FAILING, QUICK, SERVER, Stage
from tests.waiting import eventually

pytestmark = pytest.mark.swarm

COMPOSE = """\
version: "3.8"
services:
  app:
    image: local/busybox:1
    command: ["sh", "-c", "COMMAND"]
    secrets: [token]
    configs: [greeting]
    networks: [inner]
    volumes: ["data:/data"]
    stop_grace_period: 0s
    deploy:
      restart_policy: {delay: 100ms}
      update_config: {monitor: 300ms}
      labels: ["coop-cloud.${STACK_NAME}.version=VERSION"]
  worker:
    image: local/busybox:1
    command: sleep 1000
    stop_grace_period: 0s
    deploy: {update_config: {monitor: 300ms}}
EXTRA
configs:
  greeting:
    name: "${STACK_NAME}_greeting_${GREETING_VERSION}"
    file: greeting.tmpl
    template_driver: golang
networks:
  inner: {driver: overlay}
volumes:
  data: {}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""
OLD, NEW, BROKEN = "1.0.0+3.1", "2.0.0+4.0", "3.0.0+5.0"
GOOD = "cat /greeting; exec sleep 1000"


def files(version: str, command: str = GOOD, extra: str = "") -> dict[str, str]:
    text = COMPOSE.replace("COMMAND", command).replace("VERSION", version, 1)
    text = text.replace("=VERSION", f"={version}").replace("EXTRA\n", extra)
    return {
        "compose.yml": text,
        "abra.sh": f"export GREETING_VERSION=v{version[0]}\n",
        "greeting.tmpl": f'release {version} for {{{{ env "DOMAIN" }}}}\n',
    }


@pytest.fixture
def stage(real_stage: Stage) -> Stage:
    return real_stage


@pytest.fixture
def recipe(stage: Stage) -> Releases:
    """An app with its secret, pinned to the older of two good releases; nothing is deployed."""
    stage.write_files()
    stage.create("token_v1")
    folder = stage.root / "abra" / "recipes" / "shop"
    made = Releases(folder)
    once = "  once: {image: 'local/busybox:1', command: 'true', deploy: {restart_policy: "
    for version, command, extra in (
        (OLD, GOOD, ""),
        (BROKEN, "echo no such database >&2; exit 3", ""),
        (NEW, GOOD, once + "{condition: none}}}\n"),
    ):
        made.release(version, files(version, command, extra))
    pin(stage, OLD)
    return made


def two_releases(stage: Stage) -> None:
    """Make an app with its secret, pinned to the older of two releases; nothing is deployed."""
    stage.write_files()
    stage.create("token_v1")
    recipe = Releases(stage.root / "abra" / "recipes" / "shop")
    for version in (OLD, NEW):
        recipe.release(version, files(version))
    pin(stage, OLD)


def pin(stage: Stage, version: str) -> None:
    stage.env_file.write_text(
        f"TYPE=shop:{version}\nDOMAIN={APP}\nSTACK_NAME={stage.stack}\nSECRET_TOKEN_VERSION=v1\n"
    )


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def deploy() -> opskit.Run:
    return fleet().plan_deploy(APP, QUICK).apply()


def app_row() -> Mapping[str, Any]:
    (row,) = fleet().snapshot().apps.query("app == @APP").to_dict("records")
    return row


def specs(stage: Stage) -> dict[str, Any]:
    return {
        s.spec.name: stage.engine.raw_service(s.id).spec
        for s in stage.engine.services()
        if s.spec.name.startswith(stage.stack)
    }


def locked(stage: Stage) -> list[str]:
    return [stack for stack in fleet().locks()["stack"] if stack == stage.stack]


def said(host: str, service: str) -> str:
    command = ["docker", "-H", host, "service", "logs", "--raw", service]
    # It fails while Swarm cannot collect all of it yet; what counts is what it gives in the end.
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The temporary folders that this process makes; others of this machine make theirs."""
    found: list[Path] = []
    make = tempfile.mkdtemp

    def noted(*arguments: Any, **named: Any) -> str:
        found.append(Path(make(*arguments, **named)))
        return str(found[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", noted)
    return found


def test_the_pinned_version_runs_with_its_configs_and_the_views_name_it(
    stage: Stage, recipe: Releases, folders: list[Path]
) -> None:
    before = recipe.state()
    plan = fleet().plan_deploy(APP, QUICK)
    assert list(plan.changes["to"]) == [OLD]
    run = plan.apply()

    assert run.status == "done", run.errors
    row = app_row()
    assert (row["deployed"], row["deployed_version"], row["chaos"]) == (True, OLD, False)
    assert row["running"] == row["desired"] == 2
    eventually(
        lambda: said(stage.host, f"{stage.stack}_app"),
        "the app to say its release",
        lambda text: text == f"release {OLD} for {APP}\n",
    )
    assert recipe.state() == before
    assert any(folder.name.startswith("opskit-recipe-") for folder in folders)
    assert not any(folder.exists() for folder in folders)


@pytest.mark.nightly
def test_the_operators_own_environment_reaches_no_compose_file(
    stage: Stage, recipe: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = ("LANG", "USER", "DOCKER_HOST", "EDITOR", "HOME")
    seen = "".join(f"${{{name}}}" for name in foreign)
    who = "  who: {image: 'local/busybox:1', command: sleep 1000, stop_grace_period: 0s, "
    recipe.release("1.0.1+3.1", files(OLD, extra=f"{who}environment: ['SEEN={seen}', HOME]}}\n"))
    pin(stage, "1.0.1+3.1")
    for name in foreign:
        monkeypatch.setenv(name, "tcp://mine")

    assert deploy().status == "done"
    spec = specs(stage)[f"{stage.stack}_who"]
    assert spec["TaskTemplate"]["ContainerSpec"]["Env"] == ["HOME", "SEEN="]


def own_environment(stage: Stage, recipe: Releases, seen: str) -> None:
    """Release a version that shows a service `seen`, for an app with its own idea of a machine."""
    who = "  who: {image: 'local/busybox:1', command: sleep 1000, stop_grace_period: 0s, "
    recipe.release("1.0.1+3.1", files(OLD, extra=f"{who}environment: ['SEEN={seen}']}}\n"))
    pin(stage, "1.0.1+3.1")
    own = {"HOME": "/srv/app", "PATH": "/app:/bin", "DOCKER_CONFIG": "/app", "SSH_AUTH_SOCK": "/x"}
    with stage.env_file.open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in own.items())


@pytest.mark.nightly
def test_an_app_that_names_a_path_and_a_home_is_deployed_with_the_operators_docker(
    stage: Stage, recipe: Releases
) -> None:
    own_environment(stage, recipe, "${HOME} $$PATH")
    run = deploy()
    assert run.status == "done", run.errors
    found = {name: spec["TaskTemplate"]["ContainerSpec"] for name, spec in specs(stage).items()}
    assert found[f"{stage.stack}_who"]["Env"] == ["SEEN=/srv/app $PATH"]
    assert "PATH=/app:/bin" in found[f"{stage.stack}_app"]["Env"]


def test_a_compose_file_that_needs_a_path_docker_needs_too_is_refused(
    stage: Stage, recipe: Releases
) -> None:
    own_environment(stage, recipe, "${PATH:-}")
    with pytest.raises(InputError, match=r"use PATH of its \.env"):
        deploy()
    assert not specs(stage)

    lines = stage.env_file.read_text().splitlines(keepends=True)
    stage.env_file.write_text("".join(line for line in lines if not line.startswith("PATH=")))
    with pytest.raises(InputError, match=r"use PATH that its \.env does not set"):
        deploy()
    assert not specs(stage)


def test_what_no_version_pins_is_deployed_from_the_disk_and_the_plan_says_so(
    stage: Stage, recipe: Releases
) -> None:
    unpinned = "the whole stack; no version is pinned: the recipe as it is on disk"
    stage.env_file.write_text(stage.env_file.read_text().replace(f":{OLD}", ""))
    assert list(fleet().plan_deploy(APP).changes["note"]) == [unpinned]
    assert list(fleet().plan_deploy(APP, version=NEW).changes["note"]) == ["the whole stack"]


def test_commands_that_abra_would_run_afterwards_are_named(stage: Stage, recipe: Releases) -> None:
    (note,) = fleet().plan_deploy(APP).changes["note"]
    assert note == "the whole stack"
    text = stage.env_file.read_text()
    stage.env_file.write_text(f'{text}POST_DEPLOY_CMDS="app migrate --key hunter2"\n')
    plan = fleet().plan_deploy(APP)
    assert list(plan.changes["note"]) == [
        "the whole stack; not run: POST_DEPLOY_CMDS (use abra app cmd)"
    ]
    assert "hunter2" not in repr(plan.data)


@pytest.mark.nightly
def test_an_upgrade_is_undone_to_the_very_specs_before(stage: Stage, recipe: Releases) -> None:
    assert deploy().status == "done"
    before = specs(stage)
    pin(stage, NEW)
    run = deploy()

    assert run.status == "done", run.errors
    assert app_row()["deployed_version"] == NEW
    assert len(specs(stage)) == 3
    assert fleet().rollback(run.id).status == "rolled-back"
    assert specs(stage) == before
    assert app_row()["deployed_version"] == OLD


@pytest.mark.nightly
def test_a_version_that_fails_says_why_and_is_taken_back(stage: Stage, recipe: Releases) -> None:
    assert deploy().status == "done"
    before = specs(stage)
    pin(stage, BROKEN)
    run = fleet().plan_deploy(APP, FAILING).apply()

    assert run.status == "rolled-back"
    assert "non-zero exit (3)" in run.errors[0]
    assert specs(stage) == before
    assert app_row()["running"] == 2


def test_a_first_deploy_that_fails_leaves_no_service(stage: Stage, recipe: Releases) -> None:
    pin(stage, BROKEN)
    # Longer than it takes to fail, also on a busy machine.
    run = fleet().plan_deploy(APP, replace(QUICK, stable=30)).apply()

    assert run.status == "rolled-back"
    assert f"{stage.stack}_app on" in run.errors[0]
    assert specs(stage) == {}


def test_a_working_tree_with_edits_is_deployed_as_chaos(stage: Stage, recipe: Releases) -> None:
    pin(stage, "")
    (recipe.folder / "greeting.tmpl").write_text("edited\n")
    assert deploy().status == "done"
    row = app_row()
    assert (row["deployed_version"], row["chaos"]) == (NEW, True)


@pytest.mark.nightly
def test_a_service_an_older_version_left_behind_is_not_waited_for(
    stage: Stage, recipe: Releases
) -> None:
    assert deploy().status == "done"
    spec = stage.engine.raw_service(f"{stage.stack}_worker").spec
    spec["TaskTemplate"]["ContainerSpec"]["Command"] = ["false"]
    stage.post("/services/create", {**spec, "Name": f"{stage.stack}_left"})
    pin(stage, NEW)
    run = deploy()
    assert run.status == "done", run.errors


def test_the_same_deploy_again_restarts_nothing(stage: Stage, recipe: Releases) -> None:
    assert deploy().status == "done"
    before = {t.id for s in stage.engine.services() for t in stage.engine.tasks(s.id)}
    assert deploy().status == "done"
    assert {t.id for s in stage.engine.services() for t in stage.engine.tasks(s.id)} == before


def test_a_missing_secret_or_version_is_named_before_anything_happens(
    stage: Stage, recipe: Releases
) -> None:
    pin(stage, "9.9.9+9")
    with pytest.raises(InputError, match=r"\.env:1: the recipe shop has no version 9\.9\.9\+9"):
        fleet().plan_deploy(APP)
    pin(stage, OLD)
    stage.engine.remove_secret(stage.engine.secrets(f"{stage.stack}_token_v1")[0].id)
    with pytest.raises(InputError, match=f"{stage.stack}_token_v1 does not exist"):
        fleet().plan_deploy(APP)
    assert specs(stage) == {}


def test_a_plan_does_not_fit_a_stack_somebody_changed_meanwhile(
    stage: Stage, recipe: Releases
) -> None:
    assert deploy().status == "done"
    plan = fleet().plan_deploy(APP, QUICK)
    stage.touch("worker")
    with pytest.raises(StalePlanError, match=f"service {stage.stack}_worker was changed"):
        plan.apply()


def test_undeploying_keeps_volumes_and_secrets_and_is_undone_by_deploying(
    stage: Stage, recipe: Releases
) -> None:
    def ours(read: Callable[[], Any]) -> list[str]:
        return [one.name for one in read() if one.name.startswith(stage.stack)]

    assert deploy().status == "done"
    volumes = ours(stage.engine.volumes)
    run = fleet().plan_undeploy(APP, QUICK).apply()

    assert run.status == "done", run.errors
    assert specs(stage) == {}
    assert ours(stage.engine.networks) == []
    assert [c for c in stage.engine.configs() if stage.stack in c.spec.name] == []
    assert ours(stage.engine.volumes) == volumes == [f"{stage.stack}_data"]
    assert [s.spec.name for s in stage.engine.secrets(f"{stage.stack}_token_v1")] != []
    assert app_row()["deployed"] is False
    # No task is left that would still need them, so the secrets could go at once.
    fleet().plan_remove([(SERVER, APP, "token")])

    assert fleet().rollback(run.id).status == "rolled-back"
    assert app_row()["deployed_version"] == OLD
    with pytest.raises(InputError, match="has no service called 'web'"):
        fleet().plan_restart(APP, ["web"])


@pytest.mark.nightly
def test_undoing_an_undeploy_waits_for_nothing_that_did_not_run_before(
    stage: Stage, recipe: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that crashes may be met in the instant in which it runs.
    ill = "  ill: {image: 'local/busybox:1', command: sleep 1000, stop_grace_period: 0s, "
    ill += "healthcheck: {test: ['CMD', 'true'], interval: 1h}}\n"
    recipe.release("4.0.0+6.0", files("4.0.0+6.0", extra=ill))
    pin(stage, "4.0.0+6.0")
    with monkeypatch.context() as patched:
        patched.setattr(VerifyStack, "do", lambda *_: {})
        assert deploy().status == "done"
    plan = eventually(
        lambda: fleet().plan_undeploy(APP, QUICK),
        "a plan of when all but one service run",
        lambda plan: f'"idle":["{stage.stack}_ill"]' in msgspec.json.encode(plan.data).decode(),
    )
    run = plan.apply()
    assert run.status == "done", run.errors
    back = fleet().rollback(run.id)
    assert back.status == "rolled-back", back.errors
    assert "it did not run before either, and was not waited for" in back.notes[0]


def test_undeploying_what_cannot_be_deployed_again_says_so(stage: Stage, recipe: Releases) -> None:
    assert deploy().status == "done"
    pin(stage, "9.9.9+9")
    plan = fleet().plan_undeploy(APP, QUICK)
    assert "nothing: " in plan.changes["undone_by"][0]
    assert "no version 9.9.9+9" in plan.changes["undone_by"][0]
    run = plan.apply()
    assert run.status == "done", run.errors
    with pytest.raises(
        StepError, match=f"nothing was changed: {stage.stack} cannot be brought back"
    ):
        fleet().rollback(run.id)
    with pytest.raises(InputError, match="is not deployed"):
        fleet().plan_undeploy(APP)


def test_restarting_gives_new_tasks_to_the_services_named(stage: Stage, recipe: Releases) -> None:
    def running(service: str) -> set[str]:
        found = stage.engine.raw_service(f"{stage.stack}_{service}").service
        return {t.id for t in stage.engine.tasks(found.id) if t.status.state == "running"}

    assert deploy().status == "done"
    app, worker = running("app"), running("worker")
    run = fleet().plan_restart(APP, ["worker"], QUICK).apply()

    assert run.status == "done", run.errors
    assert running("app") == app
    assert running("worker").isdisjoint(worker)
    assert len(running("worker")) == 1
    assert fleet().plan_restart(APP, None, QUICK).apply().status == "done"
    assert running("app").isdisjoint(app)


def test_an_upgrade_pins_deploys_and_is_taken_back_with_its_pin(
    stage: Stage, recipe: Releases
) -> None:
    assert deploy().status == "done"
    before, text = specs(stage), stage.env_file.read_bytes()
    recipe.git("tag", "-d", BROKEN)
    plan = fleet().plan_upgrade(APP, QUICK)
    assert plan.changes[["from", "to"]].to_numpy().tolist() == [[OLD, NEW]]
    assert stage.env_file.read_bytes() == text
    run = plan.apply()

    assert run.status == "done", run.errors
    assert stage.env_file.read_bytes() == text.replace(OLD.encode(), NEW.encode())
    assert app_row()["deployed_version"] == NEW
    with pytest.raises(InputError, match="no later release is known here"):
        fleet().plan_upgrade(APP)
    assert fleet().rollback(run.id).status == "rolled-back"
    assert (specs(stage), stage.env_file.read_bytes()) == (before, text)


def test_an_upgrade_that_fails_leaves_pin_and_services_as_they_were(
    stage: Stage, recipe: Releases
) -> None:
    assert deploy().status == "done"
    before, text = specs(stage), stage.env_file.read_bytes()
    run = fleet().plan_deploy(APP, FAILING, version=BROKEN).apply()
    assert run.status == "rolled-back"
    assert "non-zero exit (3)" in run.errors[0]
    assert (specs(stage), stage.env_file.read_bytes()) == (before, text)


@pytest.mark.nightly
def test_deploying_an_app_without_a_pin_at_a_version_pins_it(
    stage: Stage, recipe: Releases
) -> None:
    stage.env_file.write_text(
        f"# the shop\nTYPE=shop # ours\nDOMAIN={APP}\nSTACK_NAME={stage.stack}\n"
        "SECRET_TOKEN_VERSION=v1\n"
    )
    assert fleet().plan_deploy(APP, QUICK, version=OLD).apply().status == "done"
    assert f"TYPE=shop:{OLD} # ours\n" in stage.env_file.read_text()
    assert app_row()["deployed_version"] == OLD
    with pytest.raises(InputError, match=r"env:2: the recipe shop has no version 7\.7\.7"):
        fleet().plan_deploy(APP, version="7.7.7")


@pytest.mark.nightly
def test_what_swarm_itself_rolls_back_counts_as_taken_back(stage: Stage, recipe: Releases) -> None:
    # Watched for so long that Swarm hears of the end meanwhile, however busy the machine is.
    policy = "update_config: {monitor: 20s, failure_action: rollback}"
    for version, command in (("4.0.0+6", GOOD), ("5.0.0+7", "sleep 0.3; exit 1")):
        made = files(version, command)
        made["compose.yml"] = made["compose.yml"].replace("update_config: {monitor: 300ms}", policy)
        recipe.release(version, made)
    pin(stage, "4.0.0+6")
    assert deploy().status == "done"
    before = specs(stage)
    pin(stage, "5.0.0+7")
    run = deploy()

    assert run.status == "rolled-back", run.errors
    assert locked(stage) == []
    assert specs(stage) == before


@pytest.mark.nightly
def test_rolling_back_twice_leaves_no_lock(stage: Stage, recipe: Releases) -> None:
    run = deploy()
    for _ in range(2):
        assert fleet().rollback(run.id).status == "rolled-back"
        assert locked(stage) == []
    assert fleet().resume(run.id).status == "rolled-back"
    assert locked(stage) == []
    assert deploy().status == "done"


@pytest.mark.nightly
def test_a_rollback_refused_by_a_lock_leaves_a_finished_run_finished(
    stage: Stage, recipe: Releases
) -> None:
    run = deploy()
    refused: list[StepError] = []

    def meanwhile(step: Progressed) -> None:
        if step.action == "verify-stack" and step.status == "running" and not refused:
            with pytest.raises(StepError, match="nothing was changed") as caught:
                fleet().rollback(run.id)
            refused.append(caught.value)

    assert fleet().plan_restart(APP, None, QUICK).apply(on_progress=meanwhile).status == "done"
    (one,) = refused
    assert "locked by" in str(one)
    journal = fleet().journal()
    assert journal[journal["run"] == run.id]["status"].tolist() == ["done"]


def scale(stage: Stage, service: str, tasks: int) -> None:
    """Set a service's number of tasks as an operator might, by hand."""
    spec = stage.engine.raw_service(f"{stage.stack}_{service}").spec
    stage.put(service, {**spec, "Mode": {"Replicated": {"Replicas": tasks}}})
    stage.wait_until_converged()


def tasks_of(stage: Stage, service: str) -> int:
    return specs(stage)[f"{stage.stack}_{service}"]["Mode"]["Replicated"]["Replicas"]


def rotate() -> opskit.Run:
    plan = fleet().plan_rotate([(SERVER, APP, "token")], replace(QUICK, deploy="stack"))
    return plan.apply().raise_for_status()


@pytest.mark.nightly
def test_what_was_set_by_hand_comes_back_when_the_deploy_of_a_rotation_is_undone(
    stage: Stage, recipe: Releases
) -> None:
    assert deploy().status == "done"
    scale(stage, "worker", 3)
    before = specs(stage)
    run = rotate()
    assert tasks_of(stage, "worker") == 1, "as the files say"
    back = fleet().rollback(run.id)
    assert back.status == "rolled-back", back.errors
    assert specs(stage) == before

    runs = [rotate(), rotate()]
    for run in reversed(runs):
        back = fleet().rollback(run.id)
        assert back.status == "rolled-back", back.errors
    assert tasks_of(stage, "worker") == 3, "though Swarm had not the spec before any more"
    assert specs(stage)[f"{stage.stack}_app"] == before[f"{stage.stack}_app"]


@pytest.mark.nightly
def test_undoing_an_undeploy_gives_a_service_the_number_of_tasks_it_had(
    stage: Stage, recipe: Releases
) -> None:
    assert deploy().status == "done"
    scale(stage, "worker", 2)
    run = fleet().plan_undeploy(APP, QUICK).apply().raise_for_status()
    back = fleet().rollback(run.id)
    assert back.status == "rolled-back", back.errors
    assert tasks_of(stage, "worker") == 2


@pytest.mark.nightly
def test_a_first_deploy_is_undone_only_after_all_that_came_later(
    stage: Stage, recipe: Releases
) -> None:
    first = deploy().raise_for_status()
    later = [rotate(), fleet().plan_deploy(APP, QUICK, version=NEW).apply().raise_for_status()]
    before = specs(stage)
    with pytest.raises(StepError, match=r"nothing was changed: .*Roll back the later run first"):
        fleet().rollback(first.id)
    assert specs(stage) == before

    for run in [*reversed(later), first]:
        back = fleet().rollback(run.id)
        assert back.status == "rolled-back", back.errors
    assert specs(stage) == {}
