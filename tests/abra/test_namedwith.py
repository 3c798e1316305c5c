"""What else a version variable names, judged by what docker reads with another version in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from opskit.abra.layout import read_tree
from opskit.abra.model import DeclaredApp
from tests.abra.docker import docker_stack_config

STACK = "shop_example"
TOKEN = '  token: {external: true, name: "${STACK_NAME}_token_${V}"}\n'
MAIL = "services: {app: {image: x, secrets: [token, mail]}}\nsecrets:\n" + TOKEN
ALONE = "secrets:\n" + TOKEN
NAMES = {
    "alone": ("services: {app: {image: x, secrets: [token]}}\n" + ALONE, ()),
    "another version": (MAIL + '  mail: {external: true, name: "mail_${V}"}\n', ()),
    "two keys of one": (MAIL + '  mail: {external: true, name: "${STACK_NAME}_token_${V}"}\n', ()),
    "only looks alike": (MAIL + '  mail: {external: true, name: "mail_$${V}_${V2}"}\n', ()),
    "no underscore": (MAIL + '  mail: {external: true, name: "x-${V}"}\n', ("the secret mail",)),
    "in front": (MAIL + '  mail: {external: true, name: "${V}_x"}\n', ("the secret mail",)),
    "in the middle": (
        MAIL + '  mail: {external: true, name: "${STACK_NAME}_${V}_mail"}\n', ("the secret mail",),
    ),
    "before another version": (
        MAIL + '  mail: {external: true, name: "m_${V}_${V2}"}\n', ("the secret mail",),
    ),
    "before its own version": (
        MAIL + '  mail: {external: true, name: "m_${V}_${V}"}\n', ("the secret mail",),
    ),
    "in a default's place": (
        MAIL + '  mail: {external: true, name: "m-${V:-v0}"}\n', ("the secret mail",),
    ),
    "made from a file": (
        MAIL + '  mail: {file: compose.yml, name: "m_${V}"}\n', ("the secret mail",),
    ),
    "the file": (
        MAIL + '  mail: {file: "./../${V}", name: "m"}\n', ("the secret mail",),
    ),
    "a config": (
        "services: {app: {image: x, secrets: [token], configs: [page]}}\n" + ALONE
        + 'configs: {page: {external: true, name: "page_${V}"}}\n', ("the config page",),
    ),
    "networks and volumes": (
        'services: {app: {image: x, secrets: [token], networks: [net], volumes: ["data:/data"]}}\n'
        + ALONE + 'networks: {net: {name: "net_${V}"}}\nvolumes: {data: {name: "data-$V"}}\n',
        ("the network net", "the volume data"),
    ),
    "the image": (
        'services: {app: {image: "x:${V}", secrets: [token]}}\n' + ALONE, ("the image of app",),
    ),
    "which one": (
        'services: {app: {image: x, secrets: [token, "mail_${V}"]}}\n' + ALONE
        + "  mail_v1: {external: true, name: m}\n  mail_v2: {external: true, name: n}\n",
        ("what app uses",),
    ),
}  # fmt: skip


def declared(root: Path, compose: str, env: str = "V=v1\n") -> DeclaredApp:
    folder = root / "servers" / "coop.example"
    folder.mkdir(parents=True)
    (folder / "shop.example.env").write_text(f"TYPE=shop\nV2=v1\n{env}")
    recipe = root / "recipes" / "shop"
    recipe.mkdir(parents=True)
    (recipe / "compose.yml").write_text('version: "3.8"\n' + compose)
    (app,) = read_tree(root).servers[0].apps
    return app


def read_with(root: Path, version: str) -> str:
    """Return what docker reads, without what a version of its own gives a secret."""
    file = root / "recipes" / "shop" / "compose.yml"
    said = docker_stack_config([file], {"STACK_NAME": STACK, "V": version, "V2": "v1"})
    assert said.returncode == 0, said.stderr
    own = (f"{STACK}_token", "mail")
    return "\n".join(
        line
        for line in said.stdout.splitlines()
        if line.strip() not in [f"name: {one}_{version}" for one in own]
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", NAMES)
def test_it_is_what_docker_reads_otherwise_with_another_version(tmp_path: Path, case: str) -> None:
    compose, expected = NAMES[case]
    app = declared(tmp_path, compose)
    assert app.named_with.get("V", ()) == expected
    changes = read_with(tmp_path, "v1") != read_with(tmp_path, "v2")
    assert changes == bool(expected)


def test_a_variable_that_says_what_the_app_is_gives_no_secret_a_version_of_its_own(
    tmp_path: Path,
) -> None:
    compose = "services: {app: {image: x, secrets: [token]}}\nsecrets: {token: {external: true, "
    app = declared(tmp_path, compose + 'name: "token_${STACK_NAME}"}}\n', "STACK_NAME=shop\n")
    assert app.named_with == {"STACK_NAME": ("the stack",)}
