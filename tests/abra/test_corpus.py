"""Odd but realistic ``.env`` files and recipes, read as one abra folder.

``corpus/expected.toml`` says of each app why it is there and what it declares.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from opskit.abra.deployment import deployment
from opskit.abra.edit import set_value
from opskit.abra.env import read_env
from opskit.abra.layout import env_path, read_tree
from opskit.abra.model import DeclaredApp, DeclaredConfig, DeclaredSecret
from opskit.errors import InputError
from tests.abra.docker import docker_stack_config

CORPUS = Path(__file__).with_name("corpus")
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "expected.toml").read_text())
APPS = {app.name: app for server in read_tree(CORPUS).servers for app in server.apps}
SHOWN = {"DOMAIN", "TYPE", "RECIPE", "STACK_NAME", "COMPOSE_FILE"}


def shown_secret(secret: DeclaredSecret) -> str:
    words = [secret.swarm_name, f"name={secret.name}", f"version={secret.version}"]
    words += [f"{secret.env_key}:{secret.env_line}"] if secret.env_key else []
    words += [f"length={secret.length}"] if secret.length else []
    words += [f"charset={secret.charset}"] if secret.charset else []
    words += [] if secret.generate else ["generate=false"]
    words += ["shared"] if secret.shared else []
    words += [f"in={','.join(secret.services)}"] if secret.services else []
    return " ".join(words)


def shown_config(config: DeclaredConfig) -> str:
    return f"{config.swarm_name} name={config.name} version={config.version} {config.env_key}"


def shown(app: DeclaredApp) -> dict[str, Any]:
    return {
        "recipe": f"{app.recipe} {app.recipe_version}".strip(),
        "revision": app.revision,
        "stack": app.stack,
        "domain": app.domain,
        "compose_files": list(app.compose_files),
        "note": app.note,
        "secrets": [shown_secret(secret) for secret in app.secrets],
        "configs": [shown_config(config) for config in app.configs],
        "problems": [
            f"{Path(problem.path).relative_to(CORPUS)}:{problem.line}: {problem.what}"
            for problem in (*app.problems, *(p for s in app.secrets for p in s.problems))
        ],
    }


def test_every_app_is_described_and_read() -> None:
    assert set(APPS) == set(EXPECTED)


def test_folders_are_servers_and_old_files_belong_to_the_default_server() -> None:
    servers = {server.name: len(server.apps) for server in read_tree(CORPUS).servers}

    assert servers == {"coop.example": len(EXPECTED) - 1, "default": 1, "empty.example": 0}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_app_declares_what_is_expected(name: str) -> None:
    expected = {"domain": name, "compose_files": ["compose.yml"], "note": "", "problems": []}
    expected |= {key: value for key, value in EXPECTED[name].items() if key != "about"}
    found = shown(APPS[name])

    assert {key: found[key] for key in expected} == expected
    assert APPS[name].guessed == bool(APPS[name].note)
    assert all(problem.remedy for problem in APPS[name].problems)


@pytest.mark.parametrize("name", APPS)
def test_no_other_value_of_the_file_leaves_the_package(name: str) -> None:
    app = APPS[name]
    versions = {secret.env_key for secret in app.secrets if secret.version}
    saved = msgspec.json.encode(app).decode()

    for key, value in read_env(Path(app.env_file)).values.items():
        if key not in SHOWN | versions and len(value) > 4 and value not in app.domain:
            used_as_name = any(secret.swarm_name == value for secret in app.secrets)
            assert used_as_name or value not in saved, key


VERSIONED = [
    (name, secret)
    for name, app in APPS.items()
    for secret in app.secrets
    if secret.env_key and not app.unread
]
READ_IN_PART = [name for name, app in APPS.items() if app.unread]
FROM_VARIABLES = {
    ("inherited.example", "db_password"),
    ("inherited.example", "db_root_password"),
    ("env-default.example", "db_password"),
}


@pytest.mark.parametrize(
    ("name", "secret"),
    [(name, secret) for name, secret in VERSIONED if (name, secret.name) not in FROM_VARIABLES],
    ids=lambda value: getattr(value, "name", value),
)
def test_another_version_can_be_set(tmp_path: Path, name: str, secret: DeclaredSecret) -> None:
    app = APPS[name]
    path = Path(app.env_file)
    folder = tmp_path / "servers" / app.server
    folder.mkdir(parents=True)
    (folder / path.name).write_bytes(set_value(path.read_bytes(), secret.env_key, "v99", path))
    (tmp_path / "recipes").symlink_to(CORPUS / "recipes")
    (again,) = read_tree(tmp_path).servers[0].apps
    found = {one.name: one for one in again.secrets}[secret.name]

    assert (found.version, found.env_line > 0) == ("v99", True)
    prefix = secret.swarm_name[: len(secret.swarm_name) - len(secret.version)]
    assert found.swarm_name == f"{prefix}v99"


@pytest.mark.parametrize("name", READ_IN_PART)
def test_a_file_that_is_read_in_part_is_not_written(name: str) -> None:
    path = Path(APPS[name].env_file)
    problem = APPS[name].unread
    assert problem is not None
    with pytest.raises(InputError) as refused:
        set_value(path.read_bytes(), "SECRET_DB_PASSWORD_VERSION", "v99", path)
    assert (refused.value.what, refused.value.line) == (problem.what, problem.line)


@pytest.mark.parametrize(("name", "secret"), sorted(FROM_VARIABLES))
def test_a_version_set_from_another_variable_is_left_alone(name: str, secret: str) -> None:
    path = Path(APPS[name].env_file)
    declared = next(one for one in APPS[name].secrets if one.name == secret)

    with pytest.raises(InputError, match="set from another variable") as refused:
        set_value(path.read_bytes(), declared.env_key, "v99", path)
    assert (refused.value.path, refused.value.line) == (path, declared.env_line)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, app in APPS.items()
        # Docker knows neither tags nor defaults in defaults, and wants a top-level version.
        if not app.problems
        and not app.guessed
        and app.recipe not in {"nested", "tagged"}
        # A version that is not there is not deployed.
        and app.recipe_version in {"", app.revision}
    ],
)
def test_the_docker_cli_finds_the_same_names(name: str) -> None:
    app = APPS[name]
    with deployment(CORPUS, app.server, app.name) as ready:
        done = docker_stack_config([Path(file) for file in ready.files], ready.environment)
    assert done.returncode == 0, done.stderr
    found = YAML(typ="safe", pure=True).load(done.stdout)

    for kind, declared in (("secrets", app.secrets), ("configs", app.configs)):
        entries = found.get(kind, {})
        used = {one["source"] for s in found["services"].values() for one in s.get(kind, [])}
        names = {entries[key].get("name") or f"{app.stack}_{key}" for key in used}
        assert names == {one.swarm_name for one in declared}


def test_a_recipe_read_for_many_apps_is_the_same_for_each(tmp_path: Path) -> None:
    shutil.copytree(CORPUS / "recipes", tmp_path / "recipes")
    folder = tmp_path / "servers" / "many.example"
    folder.mkdir(parents=True)
    for number in range(20):
        shutil.copy(env_path(CORPUS, "coop.example", "plain.example"), folder / f"{number}.env")
    apps = read_tree(tmp_path).servers[0].apps

    assert len({tuple(secret.version for secret in app.secrets) for app in apps}) == 1
    assert len({app.secrets[0].swarm_name for app in apps}) == 20
