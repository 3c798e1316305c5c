"""Services that never converge on the new version, and values of all kinds, on a real swarm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.demo.dockerd import IMAGE, DockerdFleet
from opskit.errors import InputError, NotManagerError, OpskitError
from opskit.run.work import Progressed
from opskit.secrets.value import MAX_BYTES, Secret
from opskit.steps import Probe
from tests.stage import APP, BAD, QUICK, SERVER, Stage, staged
from tests.waiting import eventually

pytestmark = [pytest.mark.swarm, pytest.mark.slow]

TOKEN = (SERVER, APP, "token")
GONE = "local/gone:1"
Spec = dict[str, Any]


@pytest.fixture
def stage(real_stage: Stage) -> Stage:
    return real_stage


@pytest.fixture
def fresh(fresh_fleet: Callable[[int], DockerdFleet]) -> DockerdFleet:
    """A real swarm that the test may break."""
    return fresh_fleet(1)


def docker(stage: Stage, *arguments: str) -> str:
    command = ["docker", "--host", stage.host, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def amend(stage: Stage, change: Callable[[Spec], None]) -> None:
    """Change the app's spec and wait until it runs so."""
    raw = stage.engine.raw_service(f"{stage.stack}_app")
    change(raw.spec)
    # Always new tasks: an update that needs none gets no status, and one not begun has none yet.
    raw.spec["TaskTemplate"]["ForceUpdate"] = 1
    stage.put("app", raw.spec)
    eventually(lambda: is_settled(stage), "the app to run as changed")


def is_settled(stage: Stage) -> bool:
    status = stage.engine.raw_service(f"{stage.stack}_app").service.update_status
    return status is not None and status.state == "completed" and stage.is_converged()


def unhealthy(spec: Spec) -> None:
    spec["TaskTemplate"]["ContainerSpec"] |= {
        "Command": ["sleep", "1000"],
        "Healthcheck": {
            "Test": ["CMD-SHELL", "! grep -q bad-value /run/secrets/*"],
            "Interval": 200_000_000,
            # Not answering in time would be ill health too.
            "Timeout": 30_000_000_000,
            "Retries": 1,
        },
    }


def without_room(spec: Spec) -> None:
    """Let a second task not fit beside the first."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    spec["TaskTemplate"]["Resources"] = {"Reservations": {"MemoryBytes": total * 6 // 10}}
    spec["UpdateConfig"] = {"Order": "start-first", "Monitor": 300_000_000}


def on_failure(action: str) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        # Long enough for Swarm to hear of a container's end while it still watches the update.
        spec["UpdateConfig"] = {"FailureAction": action, "Monitor": 10_000_000_000}

    return change


def another_image(spec: Spec) -> None:
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = GONE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (unhealthy, "unhealthy|keeps failing|did not converge"),
        pytest.param(without_room, "insufficient resources", marks=pytest.mark.nightly),
        pytest.param(on_failure("rollback"), "rollback", marks=pytest.mark.nightly),
        (on_failure("pause"), "paused"),
    ],
    ids=["failing healthcheck", "no node has room", "rolled back by Swarm", "paused by Swarm"],
)
def test_what_does_not_converge_goes_back_and_says_why(
    stage: Stage, change: Callable[[Spec], None], says: str
) -> None:
    stage.set_up()
    amend(stage, change)
    before = stage.state()
    # The time that is waited where there is no room, and for the way back.
    options = replace(QUICK, timeout=45, policy=BAD)
    # Only this one of the services uses the key.
    run = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "key")], options).apply()

    assert run.status == "rolled-back", run.errors
    assert stage.state() == before
    (error,) = run.errors
    assert any(part in error for part in says.split("|")), error
    stage.wait_until_converged()


@pytest.mark.nightly
def test_a_global_service_that_fits_no_node_has_nothing_to_wait_for(stage: Stage) -> None:
    stage.set_up(Mode={"Global": {}})
    raw = stage.engine.raw_service(f"{stage.stack}_app")
    raw.spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.disk == fast"]}
    stage.put("app", raw.spec)
    eventually(lambda: not stage.engine.containers(raw.service.id), "its containers to be gone")
    run = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK).apply()
    assert run.status == "done", run.errors
    run = opskit.Fleet.from_abra().plan_restart(APP, None, QUICK).apply()
    assert run.status == "done", run.errors


@pytest.mark.nightly
def test_an_image_that_is_gone_from_the_node_is_said(stage: Stage) -> None:
    stage.set_up()
    docker(stage, "tag", IMAGE, GONE)
    amend(stage, another_image)
    docker(stage, "rmi", GONE)
    before = stage.state()
    run = opskit.Fleet.from_abra().plan_rotate([TOKEN], replace(QUICK, timeout=30)).apply()

    # Neither version can start any more: what can be put back is, and the rest is said.
    assert run.status == "failed"
    assert "No such image" in run.errors[0]
    docker(stage, "tag", IMAGE, GONE)
    back = opskit.Fleet.from_abra().rollback(run.id)
    assert back.status == "rolled-back", back.errors
    assert stage.state() == before
    docker(stage, "rmi", "--force", GONE)


@pytest.mark.nightly
def test_a_probe_that_fails_undoes_what_swarm_took_for_good(stage: Stage) -> None:
    stage.set_up()
    before = stage.state()
    probe = Probe(kind="command", target=("false",))
    run = (
        opskit.Fleet.from_abra()
        .plan_rotate([TOKEN], replace(QUICK, timeout=30, probe=probe))
        .apply()
    )

    assert run.status == "rolled-back"
    assert "the probe command false failed: exit status 1" in run.errors[0]
    assert stage.state() == before


@pytest.mark.parametrize(
    "value",
    [b"x", bytes(range(256)), b" \t\n ", b"line\nline\n", b"\xff" * MAX_BYTES],
    ids=["one byte", "every byte", "white space", "lines", "the largest"],
)
def test_a_value_arrives_byte_for_byte(stage: Stage, value: bytes) -> None:
    stage.set_up()
    secret = Secret(value, allow_blank=True)
    run = opskit.Fleet.from_abra().plan_insert(APP, "token", secret, options=QUICK).apply()
    assert run.status == "done", run.errors
    label = f"com.docker.swarm.service.name={stage.stack}_app"
    container = docker(stage, "ps", "--quiet", "--filter", f"label={label}")
    mounted = subprocess.run(
        ["docker", "--host", stage.host, "exec", container, "cat", "/run/secrets/file-0"],
        check=True,
        capture_output=True,
    ).stdout
    assert mounted == value


def test_one_secret_mounted_twice_in_one_service_is_switched_at_both_places(stage: Stage) -> None:
    stage.set_up()

    def twice(spec: Spec) -> None:
        secrets = spec["TaskTemplate"]["ContainerSpec"]["Secrets"]
        (token,) = (one for one in secrets if one["SecretName"].endswith("_token_v1"))
        secrets.append(token | {"File": token["File"] | {"Name": "again", "UID": "9"}})

    amend(stage, twice)
    run = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK).apply()
    assert run.status == "done", run.errors
    uses = [one for one in stage.state()["uses"]["_app"] if "_token_" in one[0]]
    assert uses == [
        (f"{stage.stack}_token_v2", "again", "9", "8", 0o400),
        (f"{stage.stack}_token_v2", "file-0", "7", "8", 0o400),
    ]


def test_a_name_that_would_grow_beyond_what_swarm_takes_is_refused_when_planning(
    stage: Stage,
) -> None:
    stage.stack = "s" * (64 - len("_token_v9"))
    stage.set_up()
    text = stage.env_file.read_bytes().replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v9'")
    stage.env_file.write_bytes(text)
    stage.engine.create_secret(f"{stage.stack}_token_v9", b"good", {})
    with pytest.raises(InputError, match="65 characters"):
        opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK)


def can_be_asked(stage: Stage) -> bool:
    try:
        return stage.is_converged()
    except OpskitError:
        return False


def test_a_swarm_that_is_locked_between_plan_and_apply_is_left_as_it_is(
    fresh: DockerdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = staged(tmp_path, fresh.host("srv1"), monkeypatch)
    stage = next(stages)
    stage.set_up()
    before = stage.state()
    plan = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK)
    docker(stage, "swarm", "update", "--autolock=true")
    key = docker(stage, "swarm", "unlock-key", "--quiet")
    fresh.restart("srv1")
    with pytest.raises(NotManagerError, match="locked"):
        plan.apply()
    with pytest.raises(InputError, match="nothing can be planned"):
        opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK)
    command = ["docker", "--host", stage.host, "swarm", "unlock"]
    subprocess.run(command, input=key, text=True, check=True, capture_output=True)
    eventually(lambda: can_be_asked(stage), "the unlocked swarm to run its services")
    assert stage.state() == before
    assert next(stages, None) is None


@pytest.mark.parametrize("other", ["prune", "deploy"])
def test_two_operators_with_different_operations_do_not_meet(stage: Stage, other: str) -> None:
    stage.set_up()
    stage.create("token_v0")
    fleet = opskit.Fleet.from_abra()
    plans: dict[str, Callable[[], opskit.Plan]] = {
        "prune": lambda: fleet.plan_prune([TOKEN], keep=0),
        "deploy": lambda: fleet.plan_deploy(APP),
    }
    mine = fleet.plan_rotate([TOKEN], QUICK)
    ended: list[opskit.Run] = []

    def meanwhile(step: Progressed) -> None:
        # It is told again for as long as it waits.
        if step.action == "verify" and step.status == "running" and not ended:
            ended.append(plans[other]().apply(identity="the other"))

    run = mine.apply(on_progress=meanwhile)
    assert run.status == "done", run.errors
    (refused,) = ended
    assert refused.status == "rolled-back"
    assert "locked by" in refused.errors[0]
    assert f"{stage.stack}_token_v0" in stage.state()["secrets"]
    assert stage.state()["locks"] == []
