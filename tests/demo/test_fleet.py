"""Demo fleets: quick to start, gone when their owner is gone."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pytest

import opskit
import opskit.demo.daemon as sshd_module
from opskit.demo.daemon import Sshd
from opskit.demo.dockerd import DockerdFleet, sweep
from opskit.demo.fleet import DemoFleet
from opskit.demo.swarms import anchor
from opskit.errors import OpskitError
from tests.waiting import LIMIT, eventually

pytestmark = pytest.mark.slow

Use = Callable[[DemoFleet | DockerdFleet], Path]


def gone(path: Path) -> bool:
    return eventually(lambda: not path.exists(), f"{path} to be gone")


def test_a_stopped_fleet_leaves_nothing_behind() -> None:
    with DemoFleet() as fleet:
        assert (fleet.root / "abra" / "servers").is_dir()
    assert gone(fleet.root)


def test_two_looks_at_two_fleets_differ_in_nothing(use: Use) -> None:
    looks: list[opskit.Snapshot] = []
    for _ in range(2):
        with DemoFleet() as fleet:
            use(fleet)
            looks.append(opskit.Fleet.from_abra().snapshot())
    first, second = looks

    assert second.diff(first).empty
    assert second.secrets["created_at"].equals(first.secrets["created_at"])


@pytest.mark.parametrize("days", [0.0, 0.5, 13.9])
def test_the_ages_of_a_fortnight_are_counted_from_one_moment(days: float) -> None:
    begun = anchor(datetime(2031, 5, 17, 12, tzinfo=UTC))

    assert anchor(begun + timedelta(days=days)) == begun
    assert anchor(begun + timedelta(days=14)) == begun + timedelta(days=14)


def test_engines_that_do_not_start_are_one_clear_error_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(OpskitError, match="did not start"):
        DemoFleet().start()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_fleet_ends_with_the_process_that_started_it(how: int) -> None:
    code = (
        "import time; from opskit.demo.fleet import DemoFleet; f = DemoFleet(); f.start(); "
        "print(f.root, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    root = Path(process.stdout.readline().strip())
    assert root.is_dir()
    process.send_signal(how)
    process.wait(LIMIT)
    process.stdout.close()

    assert gone(root)


START_TWICE = "import opskit.demo as d; print(d.start()); print(d.start())"


def test_a_notebook_starts_one_fleet_however_often_it_is_run() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPSKIT_DEMO"}
    done = subprocess.run(
        [sys.executable, "-c", START_TWICE], env=environment, capture_output=True, text=True
    )
    first, second = done.stdout.split()

    assert first == second
    assert gone(Path(first))


def test_an_announced_fleet_is_shared_and_outlives_its_guests(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    done = subprocess.run([sys.executable, "-c", START_TWICE], capture_output=True, text=True)

    assert set(done.stdout.split()) == {str(demo_fleet.root)}
    assert opskit.Fleet.from_abra(servers=["coop.example"]).snapshot().servers["manager"].all()


def test_ids_are_the_same_in_every_fleet(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    shared = opskit.Fleet.from_abra().snapshot().secrets["secret_id"]
    with DemoFleet() as fleet:
        use(fleet)
        own = opskit.Fleet.from_abra().snapshot().secrets["secret_id"]

    assert own.equals(shared)


def test_a_file_of_the_working_folder_does_not_pass_for_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asyncio.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    with DemoFleet(many=1, secrets=1):
        pass


def test_many_synthetic_servers() -> None:
    with DemoFleet(many=3, secrets=10) as fleet:
        assert len(list((fleet.root / "s").iterdir())) == 3


@pytest.mark.swarm
def test_the_docker_cli_reaches_a_real_server_over_ssh(ssh_fleet: DockerdFleet) -> None:
    done = subprocess.run(
        ["docker", "--context", "srv1", "node", "ls", "--format", "{{.Hostname}}"],
        env={**os.environ, **ssh_fleet.env},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "srv1"


@pytest.mark.swarm
@pytest.mark.slow
def test_a_killed_real_fleet_is_swept_by_the_next(tmp_path: Path) -> None:
    code = (
        "from opskit.demo.dockerd import DockerdFleet; import time; f = DockerdFleet(1); "
        "f.start(); print(f.root, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    root = Path(process.stdout.readline().strip())
    # Before it is killed: other tests' fleets sweep, too.
    assert root.is_dir()
    process.kill()
    process.wait()
    process.stdout.close()
    with DockerdFleet(1):
        # Another test's fleet may have begun to sweep it first.
        assert gone(root)


@pytest.mark.swarm
def test_a_sweep_leaves_a_fleet_alone_that_is_about_to_hold_its_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold = fcntl.flock

    def late(file: IO[str], how: int) -> None:
        if how == fcntl.LOCK_EX:
            sweep()
        hold(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with DockerdFleet(1) as fleet:
        assert (fleet.root / "alive").exists()


@pytest.mark.swarm
def test_an_sshd_whose_port_was_taken_meanwhile_takes_another_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = [server.getsockname()[1]]
        choose = sshd_module._free_port  # pyright: ignore[reportPrivateUsage]
        # Any other may be taken meanwhile, too.
        monkeypatch.setattr(sshd_module, "_free_port", lambda: taken.pop() if taken else choose())
        sshd = Sshd("srv1", "unix:///nowhere", tmp_path)
        try:
            sshd.start()
            port = sshd.port
            assert not taken
            assert port != server.getsockname()[1]
            sshd.stop()
            sshd.start()
            assert sshd.port == port
        finally:
            sshd.stop()
