"""How hooks are written down, and which secret gets which."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import opskit
from opskit.errors import InputError
from opskit.kinds.hooks import HookSpec, parse_hook
from opskit.plan.data import PlanData
from opskit.steps import RunHook
from opskit.steps.hook import complaint, container_command
from tests.stage import APP, QUICK, SERVER, Stage
from tests.steps.hooks.stored import Database
from tests.waiting import eventually


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("postgres", HookSpec(kind="postgres")),
        ("mariadb:db", HookSpec(kind="mariadb", service="db")),
        ("mariadb:db user=wp", HookSpec(kind="mariadb", service="db", user="wp")),
        ("redis 'user=a b'", HookSpec(kind="redis", user="a b")),
        ("command:app /bin/set -x", HookSpec(kind="command", service="app",
                                             program=("/bin/set", "-x"))),
    ],
)  # fmt: skip
def test_a_hook_is_a_kind_a_service_and_what_it_needs(text: str, spec: HookSpec) -> None:
    assert parse_hook(text) == spec


@pytest.mark.parametrize(
    "text",
    ["", "klingon", "postgres word", "postgres user=a user=b", "command", "command:app", "redis '"],
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(InputError, match=r"is no hook.*Write postgres"):
        parse_hook(text)


def test_only_lines_meant_for_the_operator_are_shown() -> None:
    assert complaint(b"pw=hunter2\nopskit: no psql.\nhunter2") == "no psql."
    assert complaint(b"hunter2") == "it ended without saying why."


HEX = '%s\nprintf %%s "$password" | od -An -v -tx1; hex "$password"'


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1))
def test_any_line_reaches_the_shell_as_it_is(value: str) -> None:
    from opskit.steps.hook import _script

    said = subprocess.run(
        ["sh", "-c", HEX % _script("common"), "opskit-hook", "set", "/none", ""],
        input=value.encode() + b"\n",
        capture_output=True,
        check=True,
    ).stdout
    piped, digits = said.decode().rsplit("\n", 1)
    assert bytes.fromhex(piped) == value.encode() == bytes.fromhex(digits)


# -- which hook runs where ------------------------------------------------------------------------

RECIPE = "shop"


def planned(*secrets: str, **options: Any) -> list[RunHook]:
    triples = [(SERVER, APP, name) for name in secrets]
    plan = opskit.Fleet.from_abra().plan_rotate(triples, replace(QUICK, **options))
    return hooks_of(plan.data)


def hooks_of(data: PlanData) -> list[RunHook]:
    return [step for unit in data.units for step in unit.steps if isinstance(step, RunHook)]


def test_a_hook_on_the_command_line_is_for_the_one_secret_that_is_changed(stage: Stage) -> None:
    (hook,) = planned("token", hook="postgres:app user=joe")
    assert (hook.service, hook.file) == (f"{stage.stack}_app", "/run/secrets/file-0")
    assert hook.hook.user == "joe"


def test_of_several_secrets_only_those_of_databases_get_it(stage: Stage) -> None:
    assert planned("token", "key", hook="postgres:app") == []


def test_the_settings_name_a_hook_for_a_recipe_or_one_secret_of_it(stage: Stage) -> None:
    assert planned("token", "key", hooks={RECIPE: "postgres:app"}) == []
    (hook,) = planned("token", "key", hooks={f"{RECIPE}/token": "redis:app"})
    assert (hook.hook.kind, hook.swarm_name) == ("redis", f"{stage.stack}_token_v2")


def test_without_hooks_means_none(stage: Stage) -> None:
    assert planned("token", hook="postgres:app", no_hook=True) == []


def test_the_database_is_the_service_that_runs_such_an_image(stage: Stage) -> None:
    raw = stage.engine.raw_service(f"{stage.stack}_worker")
    raw.spec["TaskTemplate"]["ContainerSpec"]["Image"] = "registry:5000/lib/postgres:16@sha256:0"
    stage.put("worker", raw.spec)
    eventually(
        lambda: running_on(stage, "worker", "registry:5000"),
        "the worker to run on the mirror's image",
    )
    (hook,) = planned("token", hook="postgres")
    assert hook.service == f"{stage.stack}_worker"


def running_on(stage: Stage, service: str, image: str = "") -> bool:
    raw = stage.engine.raw_service(f"{stage.stack}_{service}").service
    return any(
        task.status.state == "running" and task.spec.container_spec.image.startswith(image)
        for task in stage.engine.tasks(raw.id)
    )


@pytest.mark.parametrize("hook", ["redis", "postgres:nothing", "mariadb"])
def test_a_service_that_cannot_be_found_is_asked_for(stage: Stage, hook: str) -> None:
    with pytest.raises(InputError, match=r"^no .*mounted by: app, worker"):
        planned("token", hook=hook)


def test_a_hook_without_a_switch_is_refused(stage: Stage) -> None:
    with pytest.raises(InputError, match="until you deploy"):
        planned("token", hook="redis:app", deploy="none")


def test_a_database_that_does_not_run_cannot_be_told(stage: Stage) -> None:
    raw = stage.engine.raw_service(f"{stage.stack}_app")
    raw.spec["Mode"]["Replicated"]["Replicas"] = 0
    stage.put("app", raw.spec)
    eventually(lambda: not running_on(stage, "app"), "the app to run no more")
    with pytest.raises(InputError, match="does not run"):
        planned("token", hook="redis:app")


def test_the_calls_show_the_hook_between_creating_and_switching(
    stage: Stage, database: Database
) -> None:
    plan = opskit.Fleet.from_abra().plan_rotate(
        [(SERVER, APP, "token")], replace(QUICK, hook="redis:app")
    )
    actions = list(plan.calls["action"])
    assert actions[1:4] == ["create-secret", "run-hook", "declare"]
    assert "redis hook" in plan.changes["note"][0]
    assert "good" not in plan.to_json()
    assert database.ran == []


def test_a_program_gets_the_new_password_and_on_the_way_back_the_old_one(tmp_path: Path) -> None:
    old, kept = tmp_path / "password", tmp_path / "kept"
    old.write_bytes(b"o'ld \\ ")
    hook = HookSpec(kind="command", service="app", program=("sh", "-c", f"cat > {kept}"))
    for action, stdin, expected in (
        ("set", b'n"ew $x\n', b'n"ew $x'),
        ("restore", b"", b"o'ld \\ "),
    ):
        subprocess.run(container_command(hook, action, str(old)), input=stdin, check=True)
        assert kept.read_bytes() == expected


def test_a_program_that_fails_is_named_and_not_quoted(tmp_path: Path) -> None:
    hook = HookSpec(kind="command", service="app", program=("sh", "-c", "cat >&2; exit 3"))
    ended = subprocess.run(
        container_command(hook, "set", "/none"), input=b"hunter2\n", capture_output=True
    )
    assert ended.returncode == 1
    assert ended.stderr == b"opskit: the program sh ended with status 3.\n"
