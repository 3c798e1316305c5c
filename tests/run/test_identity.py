"""What is declared decides: which file a rotation moves, and what changes with it.

Apps are deployed by the docker CLI and judged by it, on real engines.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.abra.env import read_env
from opskit.errors import InputError
from opskit.facts.places import is_alive
from tests.stage import APP, QUICK, SERVER, Stage
from tests.waiting import eventually

pytestmark = pytest.mark.swarm

IMAGE = "local/busybox:1"
SLEEPS = (
    f"image: {IMAGE}, command: [sleep, '1000'], stop_grace_period: 0s, "
    "deploy: {update_config: {monitor: 300ms}}"
)
TWO_KEYS = f"""
version: "3.8"
services:
  app:
    {{{SLEEPS}, secrets: [
      {{source: session_key, target: session_key}},
      {{source: session_key_old, target: session_key_fallback}}]}}
secrets:
  session_key:
    {{external: true, name: "${{STACK_NAME}}_session_key_${{SECRET_SESSION_KEY_VERSION}}"}}
  session_key_old:
    {{external: true, name: "${{STACK_NAME}}_session_key_${{SECRET_SESSION_KEY_OLD_VERSION}}"}}
"""
ONE_VARIABLE = f"""
version: "3.8"
services:
  app: {{{SLEEPS}, secrets: [api_token, mail_token]}}
secrets:
  api_token: {{external: true, name: "${{STACK_NAME}}_api_token_${{SECRETS_VERSION}}"}}
  mail_token: {{external: true, name: "${{STACK_NAME}}_mail_token_${{SECRETS_VERSION}}"}}
"""


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def docker(stage: Stage, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run the docker CLI against the stage's engine, with nothing of this process but its path."""
    done = subprocess.run(
        ["docker", "--host", stage.host, *arguments],
        env={"PATH": os.environ["PATH"], **(env or {})}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def set_up(stage: Stage, compose: str, lines: str, *names: str) -> None:
    """Write the app's files, store secrets and deploy it, all without opskit."""
    stage.write_files()
    path = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    path.write_text(compose)
    stage.env_file.write_text(f"TYPE=shop\nSTACK_NAME={stage.stack}\n{lines}")
    stage.create(*names)
    variables = dict(line.partition(" ")[0].split("=") for line in lines.splitlines())
    docker(
        stage, "stack", "deploy", "--compose-file", str(path), stage.stack,
        env={"STACK_NAME": stage.stack, **variables},
    )  # fmt: skip
    stage.wait_until_converged()


def mounted(stage: Stage, service: str = "app") -> dict[str, str]:
    """Return which version each file of a service holds, by the docker CLI."""
    found = json.loads(docker(stage, "service", "inspect", f"{stage.stack}_{service}"))
    secrets: list[Any] = found[0]["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"]
    return {s["File"]["Name"]: s["SecretName"].removeprefix(f"{stage.stack}_") for s in secrets}


def in_swarm(stage: Stage) -> set[str]:
    names = docker(stage, "secret", "ls", "--format", "{{.Name}}").split()
    return {n.removeprefix(f"{stage.stack}_") for n in names if n.startswith(f"{stage.stack}_")}


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if "VERSION" in line]


KEYS = (
    "SECRET_SESSION_KEY_VERSION=v2  # length=32\nSECRET_SESSION_KEY_OLD_VERSION=v1  # length=32\n"
)


def test_of_a_key_and_the_one_before_it_only_the_declared_one_moves(real_stage: Stage) -> None:
    stage = real_stage
    set_up(stage, TWO_KEYS, KEYS, "session_key_v1", "session_key_v2")
    run = fleet().plan_rotate(APP, "session_key", QUICK).apply()

    assert run.status == "done", run.errors
    assert mounted(stage) == {
        "session_key": "session_key_v3",
        "session_key_fallback": "session_key_v1",
    }
    assert lines_of(stage.env_file) == [
        "SECRET_SESSION_KEY_VERSION=v3  # length=32",
        "SECRET_SESSION_KEY_OLD_VERSION=v1  # length=32",
    ]

    assert fleet().rollback(run.id).status == "rolled-back"
    assert mounted(stage) == {
        "session_key": "session_key_v2",
        "session_key_fallback": "session_key_v1",
    }


@pytest.mark.parametrize(
    ("secret", "file", "other"),
    [
        ("session_key", "session_key", "session_key_fallback"),
        ("session_key_old", "session_key_fallback", "session_key"),
    ],
)
def test_two_keys_that_name_one_version_part_when_one_of_them_is_rotated(
    real_stage: Stage, secret: str, file: str, other: str
) -> None:
    stage = real_stage
    set_up(stage, TWO_KEYS, KEYS.replace("v2", "v1"), "session_key_v1")
    plan = fleet().plan_rotate(APP, secret, QUICK)
    run = plan.apply()

    assert run.status == "done", run.errors
    assert mounted(stage) == {file: "session_key_v2", other: "session_key_v1"}
    assert plan.changes["restarts"].tolist() == [["app"]]

    assert fleet().rollback(run.id).status == "rolled-back"
    assert mounted(stage) == {file: "session_key_v1", other: "session_key_v1"}


def test_both_keys_in_one_plan_get_a_version_each(real_stage: Stage) -> None:
    stage = real_stage
    set_up(stage, TWO_KEYS, KEYS, "session_key_v1", "session_key_v2")
    run = fleet().plan_rotate(APP, ["session_key", "session_key_old"], QUICK).apply()

    assert run.status == "done", run.errors
    assert mounted(stage) == {
        "session_key": "session_key_v3",
        "session_key_fallback": "session_key_v4",
    }
    values = read_env(stage.env_file).values
    assert values["SECRET_SESSION_KEY_VERSION"] == "v3"
    assert values["SECRET_SESSION_KEY_OLD_VERSION"] == "v4"


def test_a_key_that_waits_for_its_deploy_is_moved_from_the_version_the_other_declares(
    real_stage: Stage,
) -> None:
    stage = real_stage
    set_up(stage, TWO_KEYS, KEYS, "session_key_v1", "session_key_v2")
    stage.create("session_key_v3")
    moved_on = KEYS.replace("v2", "v3").replace("v1", "v2")
    stage.env_file.write_text(f"TYPE=shop\nSTACK_NAME={stage.stack}\n{moved_on}")
    run = fleet().plan_rotate(APP, "session_key", QUICK).apply()

    assert run.status == "done", run.errors
    # What is declared of the fallback waits for a deploy, as it did.
    assert mounted(stage) == {
        "session_key": "session_key_v4",
        "session_key_fallback": "session_key_v1",
    }


def test_a_file_that_nobody_declares_keeps_an_older_version(real_stage: Stage) -> None:
    stage = real_stage
    compose = TWO_KEYS.replace(
        ",\n      {source: session_key_old, target: session_key_fallback}", ""
    )
    set_up(stage, compose, "SECRET_SESSION_KEY_VERSION=v2\n", "session_key_v1", "session_key_v2")
    docker(
        stage, "service", "update", "--detach", "--secret-add",
        f"source={stage.stack}_session_key_v1,target=by_hand", f"{stage.stack}_app",
    )  # fmt: skip
    stage.wait_until_converged()
    run = fleet().plan_rotate(APP, "session_key", QUICK).apply()

    assert run.status == "done", run.errors
    assert mounted(stage) == {"session_key": "session_key_v3", "by_hand": "session_key_v1"}


def test_the_views_tell_the_two_keys_apart(real_stage: Stage) -> None:
    stage = real_stage
    set_up(stage, TWO_KEYS, KEYS, "session_key_v0", "session_key_v1", "session_key_v2")
    view = fleet().snapshot().secrets
    rows = view.keep(view["app"] == APP)[["secret", "version", "state"]].to_numpy().tolist()

    assert rows == [
        ["session_key", "v0", "superseded"],
        ["session_key", "v2", "current"],
        ["session_key_old", "v1", "current"],
    ]
    with pytest.raises(InputError, match="declares no secret called 'session'"):
        fleet().plan_rotate(APP, "session")


def test_what_another_key_declares_is_not_removed_with_a_secret(real_stage: Stage) -> None:
    stage = real_stage
    set_up(stage, TWO_KEYS, KEYS.replace("v2", "v1"), "session_key_v1")
    docker(stage, "stack", "rm", stage.stack)
    eventually(
        lambda: [task for task in stage.engine.tasks() if is_alive(task)],
        "the last task to end",
        lambda alive: not alive,
    )
    with pytest.raises(InputError, match=r"is declared as .*session_key_old too"):
        fleet().plan_remove(APP, "session_key")
    plan = fleet().plan_remove(APP, ["session_key", "session_key_old"])
    assert [s.subject() for u in plan.data.units for s in u.steps][1:-1] == [
        f"{stage.stack}_session_key_v1"
    ]


def test_secrets_of_one_variable_are_refused_alone_and_the_refusal_s_command_works(
    real_stage: Stage,
) -> None:
    stage = real_stage
    set_up(
        stage, ONE_VARIABLE, "SECRETS_VERSION=v1  # length=32\n", "api_token_v1", "mail_token_v1"
    )
    before = stage.state()
    with pytest.raises(InputError, match="gives the version of mail_token too") as refused:
        fleet().plan_rotate(APP, "api_token")
    words = refused.value.remedy.partition(";")[0].partition("opskit secret rotate ")[2].split()
    assert words == [APP, "api_token", "mail_token"]
    assert stage.state() == before

    run = fleet().plan_rotate(words[0], words[1:], QUICK).apply()
    assert run.status == "done", run.errors
    assert mounted(stage) == {"api_token": "api_token_v2", "mail_token": "mail_token_v2"}
    assert lines_of(stage.env_file) == ["SECRETS_VERSION=v2  # length=32"]
    assert fleet().rollback(run.id).status == "rolled-back"
    assert mounted(stage) == {"api_token": "api_token_v1", "mail_token": "mail_token_v1"}
    assert lines_of(stage.env_file) == ["SECRETS_VERSION=v1  # length=32"]


def test_the_version_of_a_shared_variable_is_free_for_all_of_them(real_stage: Stage) -> None:
    stage = real_stage
    names = ("api_token_v1", "mail_token_v1", "mail_token_v2")
    set_up(stage, ONE_VARIABLE, "SECRETS_VERSION=v1\n", *names)
    plan = fleet().plan_rotate([(SERVER, APP, "api_token"), (SERVER, APP, "mail_token")], QUICK)
    assert plan.changes["to"].tolist() == ["v3", "v3"]
    assert plan.apply().status == "done"
    assert in_swarm(stage) == {*names, "api_token_v3", "mail_token_v3"}


def test_an_inserted_value_does_not_move_the_others_of_its_variable(real_stage: Stage) -> None:
    stage = real_stage
    set_up(stage, ONE_VARIABLE, "SECRETS_VERSION=v1\n", "api_token_v1", "mail_token_v1")
    for version in ("", "v7"):
        with pytest.raises(InputError, match="gives the version of mail_token too"):
            fleet().plan_insert(APP, "api_token", opskit.Secret("x"), version=version)

    # At the version that is declared by now nothing else changes.
    stage.env_file.write_text(stage.env_file.read_text().replace("=v1", "=v2"))
    for name in ("api_token", "mail_token"):
        plan = fleet().plan_insert(APP, name, opskit.Secret("a value"))
        assert plan.apply().status == "done"
    assert {"api_token_v2", "mail_token_v2"} <= in_swarm(stage)


def test_a_variable_that_others_are_set_from_is_not_changed(real_stage: Stage) -> None:
    stage = real_stage
    compose = ONE_VARIABLE.replace("mail_token_${SECRETS_VERSION}", "mail_token_${MAIL_VERSION}")
    set_up(stage, compose, "SECRETS_VERSION=v1\nMAIL_VERSION=v1\n", "api_token_v1", "mail_token_v1")
    text = stage.env_file.read_text().replace("MAIL_VERSION=v1", "MAIL_VERSION=$SECRETS_VERSION")
    stage.env_file.write_text(text)
    with pytest.raises(InputError, match="MAIL_VERSION would change with SECRETS_VERSION"):
        fleet().plan_rotate(APP, "api_token")
    assert stage.env_file.read_text() == text
