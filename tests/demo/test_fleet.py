"""Demo fleets: quick to start, gone when their owner is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet


def gone(path: Path) -> bool:
    until = time.monotonic() + 10
    while path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return not path.exists()


def test_a_stopped_fleet_leaves_nothing_behind() -> None:
    with DemoFleet() as fleet:
        assert (fleet.root / "abra" / "servers").is_dir()
    assert gone(fleet.root)


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
    process.wait(5)
    process.stdout.close()

    assert gone(root)


def test_the_demo_command_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    try:
        assert run(["demo"]) == 0
    finally:
        os.environ.clear()
        os.environ.update(before)
    out = capsys.readouterr().out
    for noun in ("6 servers", "22 apps", "findings", "make lab"):
        assert noun in out


def test_the_demo_command_runs_another_command_and_gives_its_status() -> None:
    assert run(["demo", "--", "sh", "-c", 'test -d "$ABRA_DIR/servers" && exit 7']) == 7
    assert run(["demo", "--", "no-such-command"]) == 2


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
    process.kill()
    process.wait()
    process.stdout.close()
    assert root.is_dir()
    with DockerdFleet(1):
        assert not root.exists()
