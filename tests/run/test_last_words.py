"""What a failed run says of the tasks that made it fail, also once they are gone."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_urlsafe
from typing import Any

import pytest

import opskit
from opskit.secrets.value import Secret
from tests.stage import APP, FAILING, QUICK, SERVER, Stage

pytestmark = pytest.mark.swarm

TOKEN = (SERVER, APP, "token")
RECIPE = """
version: "3.8"
services:
  app:
    image: local/busybox:1
    command: ["sh", "-c", "{command}"]
    secrets: [token]
    stop_grace_period: 0s
    deploy: {{update_config: {{monitor: 300ms}}}}
    {more}
secrets:
  token: {{external: true, name: "${{STACK_NAME}}_token_${{SECRET_TOKEN_VERSION}}"}}
"""
SICK = """healthcheck:
      test: ["CMD-SHELL", "echo cannot reach the database; exit 2"]
      interval: 300ms
      retries: {retries}
      timeout: 30s"""


@pytest.fixture
def stage(real_stage: Stage) -> Stage:
    real_stage.write_files()
    real_stage.create("token_v1")
    real_stage.env_file.write_text(
        f"TYPE=shop\nSTACK_NAME={real_stage.stack}\nSECRET_TOKEN_VERSION=v1\n"
    )
    return real_stage


def recipe(stage: Stage, command: str, more: str = "") -> None:
    path = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    path.write_text(RECIPE.format(command=command, more=more))


def deploy(stage: Stage, **options: Any) -> str:
    """Deploy what fails, for the first time, and give what is said of it."""
    run = opskit.Fleet.from_abra().plan_deploy(APP, replace(QUICK, stable=60, **options)).apply()
    assert run.status == "rolled-back", run.errors
    assert stage.services() == []
    return run.errors[0]


def test_a_task_that_exits_says_the_lines_it_wrote_last(stage: Stage) -> None:
    # One stream: engines do not keep the order between two.
    lines = "exec >&2; echo one; echo two; echo opening the database; echo no such database; exit 3"
    recipe(stage, lines)
    said = deploy(stage)
    assert "task: non-zero exit (3); it wrote: " in said
    assert "opening the database | no such database" in said
    assert "one" not in said.rpartition("it wrote: ")[2].split(" | ")


@pytest.mark.nightly
def test_an_unhealthy_task_says_what_its_healthcheck_said_and_what_it_wrote(stage: Stage) -> None:
    recipe(stage, "echo listening; exec sleep 1000", SICK.format(retries=2))
    said = deploy(stage)
    assert "unhealthy container" in said
    assert "its healthcheck fails (exit status 2): cannot reach the database" in said
    assert "it wrote: listening" in said


def test_a_task_that_is_not_healthy_yet_is_no_task_without_a_complaint(stage: Stage) -> None:
    recipe(stage, "exec sleep 1000", SICK.format(retries=20))
    said = deploy(stage, timeout=1)
    assert "its healthcheck fails (exit status 2): cannot reach the database" in said
    assert "no task complains" not in said


@pytest.mark.nightly
def test_what_cannot_be_read_back_is_not_made_up(stage: Stage) -> None:
    recipe(stage, "echo hidden; exit 3", "logging: {driver: none}")
    said = deploy(stage)
    assert "task: non-zero exit (3)" in said
    assert "wrote" not in said
    assert "hidden" not in said


@pytest.mark.nightly
def test_a_task_that_writes_a_value_only_the_swarm_knows_is_quoted_without_it(
    stage: Stage,
) -> None:
    canary = token_urlsafe(24)
    stage.engine.create_secret(f"{stage.stack}_token_v9", canary.encode(), {})
    stage.env_file.write_text(stage.env_file.read_text().replace("=v1", "=v9"))
    recipe(stage, "echo the server refused `cat /run/secrets/token` as shop; exit 4")
    said = deploy(stage)
    assert "it wrote: the server refused [redacted] as shop" in said
    files = [path.read_bytes() for path in stage.root.rglob("*") if path.is_file()]
    assert not any(canary[:8].encode() in content for content in files)


def test_a_task_that_writes_its_new_value_is_quoted_without_it(stage: Stage) -> None:
    recipe(stage, "grep -q good /run/secrets/token || exit 4; exec sleep 1000")
    fleet = opskit.Fleet.from_abra()
    assert fleet.plan_deploy(APP, QUICK).apply().status == "done"
    recipe(
        stage,
        "grep -q good /run/secrets/token && exec sleep 1000;"
        " echo refused: `cat /run/secrets/token`; exit 4",
    )
    assert fleet.plan_deploy(APP, QUICK).apply().status == "done"
    canary = "c4nary-in-a-c0al-mine"
    plan = fleet.plan_insert(APP, "token", Secret(canary), options=FAILING)
    run = plan.apply()

    assert run.status == "rolled-back", run.errors
    assert "it wrote: refused: [redacted]" in run.errors[0]
    files = [path.read_bytes() for path in stage.root.rglob("*") if path.is_file()]
    assert not any(canary.encode() in content for content in files)
    assert canary not in repr(run.steps.to_dict())
