"""A fleet made by hand, with the docker CLI and text files only, is adopted as it is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.swarm.transport import TRANSPORT
from tests.waiting import eventually

pytestmark = pytest.mark.swarm

SERVER, APP, STACK = "hand.example", "notes.hand.example", "notes_hand_example"
COMPOSE = """\
version: "3.8"
services:
  app:
    image: local/busybox:1
    command: sleep 1000
    stop_grace_period: 0s
    secrets: [token]
    deploy: {update_config: {monitor: 300ms}}
  db:
    image: local/busybox:1
    command: sleep 1000
    stop_grace_period: 0s
    volumes: ["data:/data"]
volumes: {data: {}}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""
QUICK = ["--stable", "0.2", "--timeout", "180", "--yes"]
Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True, slots=True)
class ByHand:
    """What an operator has who never heard of opskit."""

    root: Path

    @property
    def env_file(self) -> Path:
        """The app's ``.env``."""
        return self.root / "servers" / SERVER / f"{APP}.env"

    def docker(self, *arguments: str, text: str | None = None, **more: str) -> str:
        """Run the docker CLI against the server's context."""
        done = self.try_docker(*arguments, text=text, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_docker(
        self, *arguments: str, text: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the docker CLI, which may refuse."""
        return subprocess.run(
            ["docker", "--context", SERVER, *arguments],
            env={**os.environ, **more},
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def deploy(self) -> None:
        """Deploy as people do by hand: the variables of the ``.env`` in the environment."""
        lines = self.env_file.read_text().splitlines()
        values = dict(line.partition(" #")[0].split("=", 1) for line in lines if "=" in line)
        compose = str(self.root / "recipes" / "notes" / "compose.yml")
        self.docker("stack", "deploy", "-c", compose, STACK, STACK_NAME=STACK, **values)

    def secret_of(self, service: str) -> list[str]:
        """Name the secrets a service mounts."""
        (found,) = json.loads(self.docker("service", "inspect", f"{STACK}_{service}"))
        secrets = found["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets", [])
        return [secret["SecretName"] for secret in secrets]

    def is_running(self) -> bool:
        """Tell whether both services run."""
        said = self.docker("stack", "services", "--format", "{{.Replicas}}", STACK)
        return said.split() == ["1/1", "1/1"]

    def take_down(self) -> None:
        """Remove the stack: docker refuses to remove its network until its tasks are to end."""
        eventually(
            lambda: self.try_docker("stack", "rm", STACK),
            "the stack to be removed",
            lambda done: done.returncode == 0,
        )

    def tasks(self) -> set[str]:
        """Give the ids of the tasks that run."""
        return set(self.docker("stack", "ps", "-q", "-f", "desired-state=running", STACK).split())


@pytest.fixture
def hand(
    tmp_path: Path, real_fleet: DockerdFleet, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ByHand]:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ABRA_DIR", str(tmp_path / "abra"))
    host = f"host={real_fleet.host('srv1')}"
    subprocess.run(
        ["docker", "context", "create", SERVER, "--docker", host], check=True, capture_output=True
    )
    made = ByHand(tmp_path / "abra")
    made.env_file.parent.mkdir(parents=True)
    made.env_file.write_text(
        f"TYPE=notes\nDOMAIN={APP}\nSECRET_TOKEN_VERSION=v1 # length=24 charset=hex\n"
    )
    (made.root / "recipes" / "notes").mkdir(parents=True)
    (made.root / "recipes" / "notes" / "compose.yml").write_text(COMPOSE)
    made.docker("secret", "create", f"{STACK}_token_v1", "-", text="typed by hand")
    made.deploy()
    eventually(made.is_running, "both services to run")
    yield made
    made.take_down()
    names = made.docker("secret", "ls", "-q", "-f", f"name={STACK}").split()
    if names:
        made.docker("secret", "rm", *names)
    TRANSPORT.close()


def listed(capsys: Capture, *command: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run([*command, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_is_listed_rotated_and_deployed_and_docker_goes_on_with_it(
    hand: ByHand, capsys: Capture
) -> None:
    (row,) = listed(capsys, "app", "ls", "-S")
    assert (row["app"], row["recipe"], row["deployed"]) == (APP, "notes", True)
    assert (row["deployed_version"], row["chaos"]) == (None, False)
    (row,) = listed(capsys, "secrets")
    assert (row["state"], row["swarm_name"]) == ("current", f"{STACK}_token_v1")

    assert run(["secret", "rotate", APP, "token", *QUICK]) == 0
    assert hand.secret_of("app") == [f"{STACK}_token_v2"]
    assert "SECRET_TOKEN_VERSION=v2 # length=24 charset=hex\n" in hand.env_file.read_text()
    before = hand.tasks()
    hand.deploy()
    assert hand.tasks() == before

    recipe = hand.root / "recipes" / "notes" / "compose.yml"
    recipe.write_text(COMPOSE.replace("sleep 1000", "sleep 2000"))
    assert run(["app", "deploy", APP, *QUICK]) == 0
    assert hand.tasks().isdisjoint(before)
    (row,) = listed(capsys, "app", "ls", "-S")
    assert (row["running"], row["desired"], row["chaos"]) == (2, 2, True)
    assert hand.docker("volume", "ls", "-q", "-f", f"name={STACK}").split() == [f"{STACK}_data"]

    assert opskit.Fleet.from_abra().rollback(listed(capsys, "journal")[-1]["run"]).status == (
        "rolled-back"
    )
    (row,) = listed(capsys, "app", "ls", "-S")
    assert (row["running"], row["chaos"]) == (2, False)
