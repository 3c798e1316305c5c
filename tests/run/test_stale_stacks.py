"""On a real swarm: a deploy, a rotation or a removal that stood still while another went past."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

import opskit
from opskit.errors import StepError
from opskit.steps import lock
from tests.run.killing import ALL, QUICK, TOKEN, apply_in_a_process
from tests.run.suspending import suspended
from tests.run.test_stacks import NEW, deploy, two_releases
from tests.stage import APP, Stage
from tests.waiting import eventually

_TOKEN = re.compile(r"TOKEN_VERSION=(v\d+)")

pytestmark = [pytest.mark.swarm, pytest.mark.slow]


def docker(stage: Stage, *arguments: str) -> str:
    """Ask the docker CLI, which knows nothing of opskit."""
    command = ["docker", "--host", stage.host, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def spec(stage: Stage, service: str) -> dict[str, Any]:
    (found,) = json.loads(docker(stage, "service", "inspect", f"{stage.stack}_{service}"))
    return found["Spec"]


def uses(stage: Stage, service: str = "app") -> list[str]:
    """Give the secrets that a service names."""
    container = spec(stage, service)["TaskTemplate"]["ContainerSpec"]
    names = [one["SecretName"] for one in container.get("Secrets") or ()]
    return [name.removeprefix(f"{stage.stack}_") for name in names]


def release(stage: Stage) -> str:
    """Give the release of the recipe that the app is labelled with."""
    return spec(stage, "app")["Labels"][f"coop-cloud.{stage.stack}.version"]


def runs(stage: Stage) -> set[str]:
    """Give the images and states of the app's containers that Swarm wants to run."""
    asked = ("service", "ps", "--filter", "desired-state=running", "--format", "{{.CurrentState}}")
    return {line.split()[0] for line in docker(stage, *asked, f"{stage.stack}_app").splitlines()}


def versions(stage: Stage) -> set[str]:
    names = docker(stage, "secret", "ls", "--format", "{{.Name}}").split()
    return {name.removeprefix(f"{stage.stack}_") for name in names if stage.stack in name}


def locks(stage: Stage) -> list[str]:
    names = docker(stage, "config", "ls", "--format", "{{.Name}}").split()
    return [name for name in names if "opskit_lock" in name and stage.stack in name]


def alice(stage: Stage) -> dict[str, str]:
    return {**stage.env, "OPSKIT_STATE_DIR": str(stage.root / "alice")}


@pytest.fixture
def stage(real_stage: Stage) -> Stage:
    return real_stage


@pytest.mark.parametrize(
    "kind", [pytest.param("deploy", marks=pytest.mark.nightly), "rotate by stack"]
)
def test_what_docker_put_back_too_late_is_put_right_and_never_called_done(
    stage: Stage, kind: str
) -> None:
    two_releases(stage)
    assert deploy().status == "done"
    with suspended(alice(stage), stage.root / "a", kind, "during deploy") as run:
        assert run is not None
        lock.break_lock(stage.engine, stage.stack)
        bob = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK).apply()
        assert bob.status == "done", bob.errors
        (declared,) = uses(stage)
        assert f"TOKEN_VERSION={declared[-2:]}" in stage.env_file.read_text()
        status, said = run.wake()

    assert status == 1
    assert "is no longer this run's" in said
    assert uses(stage) == [declared]
    assert declared in versions(stage)
    eventually(lambda: runs(stage), "the declared version to run", lambda now: now == {"Running"})
    assert locks(stage) == []
    assert "was deployed again, as declared now" in said
    if kind == "deploy":
        assert f"uses {stage.stack}_token_v1 and its .env declares {stage.stack}_token_v2" in said
    # Bob's way back is still there.
    assert opskit.Fleet.from_abra().rollback(bob.id).status == "rolled-back"


def test_a_release_that_docker_put_back_too_late_is_put_right(stage: Stage) -> None:
    two_releases(stage)
    assert deploy().status == "done"
    with suspended(alice(stage), stage.root / "a", "deploy", "during deploy") as run:
        assert run is not None
        lock.break_lock(stage.engine, stage.stack)
        assert opskit.Fleet.from_abra().plan_upgrade(APP, QUICK).apply().status == "done"
        status, said = run.wake()
    assert (status, "is no longer this run's" in said) == (1, True), said
    assert "was deployed again, as declared now" in said
    assert release(stage) == NEW
    assert f":{NEW}" in stage.env_file.read_text()


def test_a_stale_run_leaves_the_version_that_anothers_way_back_needs(stage: Stage) -> None:
    stage.set_up()
    fleet = opskit.Fleet.from_abra()
    before = uses(stage, "worker")
    with suspended(alice(stage), stage.root / "a", "rotate", "before intent verify") as run:
        assert run is not None
        assert uses(stage, "worker") == ["token_v2"]
        lock.break_lock(stage.engine, stage.stack)
        bob = fleet.plan_rotate([TOKEN], QUICK).apply()
        assert bob.status == "done", bob.errors
        status, said = run.wake()

    assert status == 1
    assert "is no longer this run's" in said
    assert "undid nothing" in said
    assert uses(stage, "worker") == ["token_v3"]
    assert {"token_v2", "token_v3"} <= versions(stage)
    assert locks(stage) == []
    assert fleet.rollback(bob.id).status == "rolled-back"
    assert uses(stage, "worker") == ["token_v2"]
    assert before == ["token_v1"]


MOMENTS = {
    # each step's intent and outcome, each write to the swarm and to the .env, docker's own start.
    "deploy": 2 * (2 * 5 + 2) + 1,
    "upgrade": 2 * (2 * 6 + 2 + 1) + 1,
    "rotate by stack": 2 * (2 * 8 + 3 + 1) + 1,
    "undeploy": 2 * (2 * 5 + 2 + 5),
}
TAKEN, RELEASED = 3, 3
"""Of those, how many there are before the lock is taken, and once it is released."""
CASES = [(kind, moment) for kind, last in MOMENTS.items() for moment in range(1, last + 1)]


@pytest.mark.parametrize("case", CASES if ALL else [("undeploy", 20)], ids=str)
def test_a_stack_is_as_declared_whenever_the_first_run_wakes(
    stage: Stage, case: tuple[str, int]
) -> None:
    kind, moment = case
    two_releases(stage)
    assert deploy().status == "done"
    fleet = opskit.Fleet.from_abra()
    with suspended(alice(stage), stage.root / "a", kind, moment) as run:
        assert run is not None, "the run has fewer moments than the test believes"
        lock.break_lock(stage.engine, stage.stack)
        if kind != "undeploy":
            stage.wait_until_converged()
            bob = fleet.plan_rotate([TOKEN], QUICK).apply()
            assert bob.status == "done", bob.errors
        declared, there = stage.env_file.read_text(), versions(stage)
        status, said = run.wake()

    assert stage.env_file.read_text() == declared, said
    assert versions(stage) >= there
    assert locks(stage) == []
    if status:
        assert "is no longer this run's" in said or "nothing was changed" in said
    else:
        # Only a run that had no lock yet, or had released it, has nothing to say of it.
        held = TAKEN < moment <= MOMENTS[kind] - RELEASED
        assert ("once all was done" in said) is held, said
    if kind == "undeploy":
        left = docker(stage, "stack", "services", "--format", "{{.Name}}", stage.stack)
        assert status == 1 or not left, said
    else:
        assert uses(stage) == [f"token_{version}" for version in _TOKEN.findall(declared)], said


REMOVES_THE_LAST = 19
"""The moment directly before an undeploy's last service is removed, its lock asked for before."""


def test_a_service_that_an_undeploy_removed_too_late_is_named_with_the_way_back(
    stage: Stage,
) -> None:
    two_releases(stage)
    assert deploy().status == "done"
    with suspended(alice(stage), stage.root / "a", "undeploy", REMOVES_THE_LAST) as run:
        assert run is not None
        lock.break_lock(stage.engine, stage.stack)
        assert deploy().status == "done"
        there = {one.spec.name for one in stage.services()}
        status, said = run.wake()

    left = {one.spec.name for one in stage.services()}
    (gone,) = there - left
    assert status == 1
    assert "is no longer this run's" in said
    assert f"it had removed {gone}. Else of {stage.stack} there is {', '.join(left)} now." in said
    assert f"bring it back: opskit app deploy {APP}" in said
    assert deploy().status == "done"
    assert {one.spec.name for one in stage.services()} == there


@pytest.mark.nightly
@pytest.mark.parametrize("kind", MOMENTS)
def test_the_number_of_moments_is_the_whole_run(stage: Stage, kind: str) -> None:
    two_releases(stage)
    assert deploy().status == "done"
    with suspended(alice(stage), stage.root / "a", kind, MOMENTS[kind]) as run:
        assert run is not None
        assert run.at == "after outcome"


@pytest.mark.parametrize("how", ["resume", "rollback"])
@pytest.mark.parametrize("past", [pytest.param("upgrade", marks=pytest.mark.nightly), "rotate"])
def test_a_deploy_that_was_killed_takes_no_later_change_back(
    stage: Stage, past: str, how: str
) -> None:
    two_releases(stage)
    assert deploy().status == "done"
    fleet = opskit.Fleet.from_abra()
    # Before docker was asked for anything: Swarm's spec before is then the later run's.
    assert apply_in_a_process(stage.env, "deploy", 10)
    (killed,) = fleet.journal().query("status == 'crashed'")["run"]
    lock.break_lock(stage.engine, stage.stack)
    plan = (
        fleet.plan_upgrade(APP, QUICK) if past == "upgrade" else fleet.plan_rotate([TOKEN], QUICK)
    )
    assert plan.apply().status == "done"
    before = uses(stage), release(stage), stage.env_file.read_bytes()

    if how == "rollback":
        with pytest.raises(StepError, match=r"nothing was changed: .* declares .* by now"):
            fleet.rollback(killed)
    else:
        assert fleet.resume(killed).status == "done"
    assert (uses(stage), release(stage), stage.env_file.read_bytes()) == before
