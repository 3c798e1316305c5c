"""A real swarm of two nodes: services on both, and a server that is only a worker."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.errors import InputError, NotManagerError
from tests.stage import APP, QUICK, SERVER, Stage, staged
from tests.waiting import eventually

pytestmark = [pytest.mark.swarm, pytest.mark.slow]

TOKEN = (SERVER, APP, "token")
GLOBAL: dict[str, dict[str, str]] = {"Global": {}}


def sh(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def join_as_worker(fleet: DockerdFleet) -> None:
    """Make the second server a worker of the first one's swarm, by a cable between them."""
    pids = [(fleet.root / name / "pid").read_text().strip() for name in ("srv1", "srv2")]
    inside = [("nsenter", "--target", pid, "--net", "ip") for pid in pids]
    ends = [f"opskit{pid}" for pid in pids]
    sh("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for n, (pid, end) in enumerate(zip(pids, ends, strict=True)):
        sh("ip", "link", "set", end, "netns", pid)
        sh(*inside[n], "addr", "add", f"10.98.0.{n + 1}/24", "dev", end)
        sh(*inside[n], "link", "set", end, "up")
    manager, worker = (("docker", "--host", fleet.host(name)) for name in ("srv1", "srv2"))
    address = sh(*manager, "info", "--format", "{{.Swarm.NodeAddr}}")
    sh(*inside[1], "route", "add", f"{address}/32", "via", "10.98.0.1")
    token = sh(*manager, "swarm", "join-token", "--quiet", "worker")
    sh(*worker, "swarm", "leave", "--force")
    join = ("swarm", "join", "--advertise-addr", "10.98.0.2", "--token", token, f"{address}:2377")
    joined = subprocess.run([*worker, *join], check=False, capture_output=True, text=True)
    # After 20 s docker gives up waiting, and the engine goes on joining.
    eventually(
        lambda: sh(*worker, "info", "--format", "{{.Swarm.LocalNodeState}}"),
        f"the worker to be active ({joined.stderr})",
        lambda state: state == "active",
    )


@pytest.fixture
def fleet(fresh_fleet: Callable[[int], DockerdFleet]) -> DockerdFleet:
    made = fresh_fleet(2)
    join_as_worker(made)
    return made


@pytest.fixture
def stage(fleet: DockerdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for made in staged(tmp_path, fleet.host("srv1"), monkeypatch):
        made.set_up(Mode=GLOBAL)
        # A service on every node counts as converged with the tasks that Swarm has made by now.
        eventually(partial(running, made), "tasks on two nodes", lambda seen: len(dict(seen)) == 2)
        yield made


def running(stage: Stage) -> set[tuple[str, str]]:
    """Give the nodes on which the app runs, and the secrets that it mounts there."""
    ids = {secret.id: secret.spec.name for secret in stage.engine.secrets()}
    return {
        (task.node_id, ids[reference.secret_id].removeprefix(stage.stack))
        for task in stage.engine.tasks(f"{stage.stack}_app")
        if task.status.state == "running"
        for reference in (task.spec.container_spec and task.spec.container_spec.secrets) or ()
    }


@pytest.mark.nightly
def test_a_service_on_every_node_is_switched_on_every_node(stage: Stage) -> None:
    nodes = {node.id for node in stage.engine.nodes()}
    assert len(nodes) == 2
    run = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK).apply()

    assert run.status == "done", run.errors
    assert running(stage) == {(node, name) for node in nodes for name in ("_token_v2", "_key_v1")}


def test_a_server_that_is_only_a_worker_is_left_as_it_is(stage: Stage, fleet: DockerdFleet) -> None:
    before = stage.state()
    plan = opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK)
    stage.point_at(fleet.host("srv2"))
    with pytest.raises(NotManagerError, match="worker"):
        plan.apply()
    with pytest.raises(InputError, match="nothing can be planned"):
        opskit.Fleet.from_abra().plan_rotate([TOKEN], QUICK)
    assert stage.state() == before


@pytest.mark.nightly
def test_a_dead_node_keeps_nobody_from_rotating_and_its_tasks_count_as_users(
    stage: Stage, fleet: DockerdFleet
) -> None:
    name = sh("docker", "--host", fleet.host("srv2"), "info", "--format", "{{.Name}}")

    def is_given_up() -> bool:
        """Tell whether Swarm wants the task on the dead node to end, which nobody there does."""
        down = {node.id for node in stage.engine.nodes() if node.status.state == "down"}
        return any(
            (task.node_id in down, task.desired_state, task.status.state)
            == (True, "shutdown", "running")
            for task in stage.engine.tasks(f"{stage.stack}_app")
        )

    fleet.daemons["srv2"].pause()
    eventually(is_given_up, "Swarm to give up the task on the dead node")
    opened = opskit.Fleet.from_abra()
    plan = opened.plan_rotate([TOKEN], QUICK)
    assert f"node {name} is down" in plan.to_json()
    run = plan.apply()

    assert run.status == "done", run.errors
    (said,) = run.notes
    assert f"{stage.stack}_app: node {name} is down" in said
    again = opened.plan_rotate([TOKEN], QUICK).apply()
    assert again.status == "done", again.errors
    back = opened.rollback(again.id)
    assert back.status == "rolled-back", back.errors
    # Swarm's previous spec names the version that was rolled back, not the first one: only the
    # task on the dead node still needs that.
    with pytest.raises(InputError, match="nothing to prune"):
        opened.plan_prune([TOKEN], keep=0)
    assert f"{stage.stack}_token_v1" in stage.state()["secrets"]
