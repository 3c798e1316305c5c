"""Connections that break and engines that restart while a secret is being rotated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.run.work import Progressed
from tests.stage import APP, SERVER, Stage, staged
from tests.waiting import LIMIT, linger

pytestmark = [pytest.mark.swarm, pytest.mark.slow]

OPTIONS = opskit.Options(stable=1, timeout=LIMIT)


@pytest.fixture
def over_ssh(
    ssh_fleet: DockerdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setenv("PATH", ssh_fleet.env["PATH"])
    for stage in staged(tmp_path, ssh_fleet.host("srv1"), monkeypatch):
        stage.set_up()
        stage.point_at("ssh://srv1")
        yield stage


@contextmanager
def when(action: str, act: Callable[[], None]) -> Iterator[Callable[[Progressed], None]]:
    """Do something once, beside the run, when a step of this kind begins, and wait for its end."""
    threads: list[threading.Thread] = []

    def watch(step: Progressed) -> None:
        if not threads and (step.action, step.status) == (action, "running"):
            threads.append(threading.Thread(target=act))
            threads[0].start()

    yield watch
    for thread in threads:
        thread.join()


def rotate(on_progress: Callable[[Progressed], None]) -> opskit.Run:
    plan = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], OPTIONS)
    return plan.apply(on_progress=on_progress)


def test_a_rotation_over_ssh(over_ssh: Stage) -> None:
    run = rotate(lambda _: None)
    assert run.status == "done", run.errors
    assert f"{over_ssh.stack}_token_v2" in over_ssh.state()["secrets"]


@pytest.mark.parametrize(
    "action",
    [
        pytest.param("create-secret", marks=pytest.mark.nightly),
        "switch-service",
        pytest.param("verify", marks=pytest.mark.nightly),
    ],
)
def test_a_connection_cut_in_the_middle(
    over_ssh: Stage, ssh_fleet: DockerdFleet, action: str
) -> None:
    before = over_ssh.state()

    def cut_for_a_second() -> None:
        ssh_fleet.cut("srv1")
        linger(1)
        ssh_fleet.mend("srv1")

    with when(action, cut_for_a_second) as watch:
        run = rotate(watch)
    after = over_ssh.state()

    assert after["locks"] == []
    if run.status == "done":
        assert sorted({*before["secrets"], f"{over_ssh.stack}_token_v2"}) == after["secrets"]
        assert b"TOKEN_VERSION='v2'" in after["env"]
    else:
        assert run.status == "rolled-back", run.errors
        assert after == before
    over_ssh.wait_until_converged()


@pytest.mark.nightly
def test_an_engine_restarted_in_the_middle_of_a_rollout(
    fresh_fleet: Callable[[int], DockerdFleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = fresh_fleet(1)
    for stage in staged(tmp_path, fleet.host("srv1"), monkeypatch):
        stage.set_up()

        def restart(step: Progressed) -> None:
            # Here and not beside the run, which could else be over before the engine stops.
            # Once: that it waits for the engine is told as well.
            if (step.action, step.status, step.waits_for) == ("verify", "running", ""):
                fleet.daemons["srv1"].stop()
                fleet.daemons["srv1"].launch()

        run = rotate(restart)

        assert run.status == "done", run.errors
        assert stage.state()["locks"] == []
