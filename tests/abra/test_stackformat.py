"""What no stack can have, judged by the docker CLI itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from opskit.abra.compose import parse_compose
from opskit.abra.layout import read_tree
from tests.abra.docker import docker_stack_config

SERVICE = "services: {app: {image: x, %s}, db: {image: y}}\n"
STORED = "services: {app: {image: x}}\n%s: {one: {%s}}\n"
KEYS = {
    "top": [
        "include: [a.yml]", "name: shop", "models: {m: {model: x}}", "x-own: 1", "volumes: {}",
    ],
    "services": [
        "extends: {service: db}", "profiles: [a]", "develop: {watch: []}", "platform: linux/amd64",
        "pull_policy: always", "scale: 2", "gpus: all", "dns_opt: [a]", "group_add: [a]",
        "x-own: 1", "build: .", "depends_on: [db]", "container_name: a", "restart: always",
        "init: true", "sysctls: {a: b}", "ulimits: {nofile: 1}", "mac_address: a", "tmpfs: /x",
        "credential_spec: {file: x}", "external_links: [a]", "oom_score_adj: 1", "links: [db]",
        "cgroup_parent: x", "userns_mode: host", "security_opt: [x]", "stop_signal: A",
        "shm_size: 1g", "domainname: a", "isolation: a", "expose: [1]", "devices: [/dev/x]",
    ],
    "secrets": [
        "environment: X", "content: x", "file: /etc/hostname", "external: true",
        "driver: x", "template_driver: golang", "labels: {a: b}",
    ],
    "configs": [
        "environment: X", "content: x", "file: /etc/hostname", "external: true", "driver: x",
        "template_driver: golang",
    ],
    "networks": ["enable_ipv6: true", "attachable: true", "internal: true", "driver: overlay"],
    "volumes": ["driver: local", "labels: {a: b}", "attachable: true"],
}  # fmt: skip


def written(section: str, key: str) -> str:
    if section == "top":
        return f"{key}\nservices: {{app: {{image: x}}}}\n"
    return SERVICE % key if section == "services" else STORED % (section, key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "key"), [(section, key) for section, keys in KEYS.items() for key in keys]
)
def test_it_is_what_docker_refuses(tmp_path: Path, section: str, key: str) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(written(section, key))
    compose = parse_compose(file.read_bytes())
    said = docker_stack_config([file], {})

    assert not compose.faults
    assert bool(compose.unsupported) == (said.returncode != 0), said.stderr
    for fault in compose.unsupported:
        assert key.partition(":")[0] in fault.what
        assert fault.line == (1 if section in {"top", "services"} else 2)
        assert fault.remedy


def test_an_app_whose_recipe_includes_other_files_may_have_secrets_that_nobody_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "servers" / "coop.example").mkdir(parents=True)
    (tmp_path / "servers" / "coop.example" / "shop.example.env").write_text(
        "TYPE=shop\nSECRET_DB_PASSWORD_VERSION=v1\n"
    )
    recipe = tmp_path / "recipes" / "shop"
    recipe.mkdir(parents=True)
    (recipe / "compose.yml").write_text("include: [db.yml]\nservices: {app: {image: x}}\n")
    (app,) = read_tree(tmp_path).servers[0].apps

    assert app.guessed
    assert [secret.name for secret in app.secrets] == ["db_password"]
    (told,) = app.unsupported
    assert (Path(told.path).name, told.line) == ("compose.yml", 1)
    assert "include is for docker compose only" in told.what
    assert told.remedy == "Name its files in COMPOSE_FILE of the .env instead."
