"""`opskit demo` and commands that run with its fleet: what they see, and how all ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opskit.cli.app import run
from opskit.demo.run import run_demo
from opskit.errors import InputError
from tests.waiting import LIMIT, eventually

pytestmark = pytest.mark.slow


def test_a_command_has_the_fleet_in_its_environment_and_nothing_that_leads_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    out = tmp_path / "environment"
    script = 'test -d "$ABRA_DIR/servers" && env > "$0"'
    assert run_command("sh", "-c", script, str(out)) == 0

    names = {line.partition("=")[0] for line in out.read_text().splitlines()}
    assert "DOCKER_HOST" not in names
    assert {"ABRA_DIR", "DOCKER_CONFIG", "OPSKIT_DEMO", "OPSKIT_STATE_DIR"} <= names


def test_a_command_finds_this_opskit_though_its_environment_is_not_activated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    out = tmp_path / "found"
    assert run_command("sh", "-c", 'command -v opskit > "$0"', str(out)) == 0
    assert Path(out.read_text().strip()).parent == Path(sys.executable).parent


def test_a_command_ended_by_a_signal_has_the_status_a_shell_gives_it() -> None:
    assert run_command("sh", "-c", "kill -TERM $$") == 128 + signal.SIGTERM


def test_a_command_that_cannot_run_is_one_clear_error() -> None:
    with pytest.raises(InputError, match=r"cannot run 'no-such-command'.*PATH"):
        run_command("no-such-command")


def test_ssh_needs_real_servers() -> None:
    with pytest.raises(InputError, match="--engine dockerd"):
        run_demo("embedded", 1, ssh=True, command=(), look=lambda: None)


def test_looking_leaves_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    seen: list[str] = []
    status = run_demo(
        "embedded", 1, ssh=False, command=(), look=lambda: seen.append(os.environ["ABRA_DIR"])
    )

    assert status == 0
    assert "opskit-demo-" in seen[0]
    assert dict(os.environ) == before


def run_command(*command: str) -> int:
    return run_demo("embedded", 1, ssh=False, command=command, look=lambda: None)


RUN = (
    "import sys; from opskit.demo.run import run_demo; sys.exit(run_demo('embedded', 1, "
    "ssh=False, command=['sh', '-c', 'echo $OPSKIT_DEMO; read line; exit 3'], look=int))"
)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_told_to_end_takes_its_fleet_along(how: int) -> None:
    with demo_process() as (process, root):
        process.send_signal(how)
        assert process.wait(LIMIT) == 128 + how
    assert eventually(lambda: not root.exists(), f"{root} to be gone")


@pytest.mark.slow
def test_ctrl_c_is_for_the_command() -> None:
    with demo_process() as (process, root):
        process.send_signal(signal.SIGINT)
        assert process.stdin is not None
        process.stdin.write("the command goes on\n")
        process.stdin.flush()
        assert process.wait(LIMIT) == 3
    assert eventually(lambda: not root.exists(), f"{root} to be gone")


@contextmanager
def demo_process() -> Generator[tuple[subprocess.Popen[str], Path]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


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
