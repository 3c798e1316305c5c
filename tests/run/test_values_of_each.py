"""A value that is given goes to its own stack, though one elsewhere has the same name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import opskit
from opskit.demo.engine import Swarm
from opskit.demo.fleet import environment, write_contexts
from opskit.secrets.passstore import PassStore
from opskit.secrets.value import Secret
from opskit.swarm.transport import TRANSPORT
from tests.conftest import embedded

SERVERS = ("a.example", "b.example")
APP = "shop.example"
STORED = "shop_token_v1"
ENV = "TYPE=shop\nSTACK_NAME=shop\nSECRET_TOKEN_VERSION=v1\n"
COMPOSE = """
services:
  app: {image: x, secrets: [token]}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""


@pytest.fixture
def swarms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Swarm]]:
    """Two servers, each with an app of the same name and the same stack's name."""
    found = {server: Swarm(server) for server in SERVERS}
    recipe = tmp_path / "abra" / "recipes" / "shop"
    recipe.mkdir(parents=True)
    (recipe / "compose.yml").write_text(COMPOSE)
    with ExitStack() as running:
        hosts: dict[str, str] = {}
        for server, swarm in found.items():
            folder = tmp_path / "abra" / "servers" / server
            folder.mkdir(parents=True)
            (folder / f"{APP}.env").write_text(ENV)
            hosts[server] = running.enter_context(embedded(tmp_path / f"{server}.sock", swarm))
        write_contexts(tmp_path / "docker", hosts)
        for name, value in environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield found
    TRANSPORT.close()


def stored(swarm: Swarm) -> bytes:
    (secret,) = (one for one in swarm.secrets if one.spec.name == STORED)
    return swarm.secrets.value(secret.id) or b""


def test_joined_plans_give_each_server_its_own_value(swarms: dict[str, Swarm]) -> None:
    fleet = opskit.Fleet.from_abra()
    shown: dict[str, list[Secret]] = {}
    plan = opskit.Plan.join(
        fleet.plan_insert(f"{server}/{APP}", "token", Secret(f"the key of {server}"))
        for server in SERVERS
    )
    run = plan.apply(on_made=lambda unit, made: shown.update({unit.server: list(made.values())}))
    assert run.status == "done"
    for server, swarm in swarms.items():
        assert stored(swarm) == f"the key of {server}".encode()
        assert shown[server] == [Secret(f"the key of {server}")]


def test_a_value_from_the_password_store_reaches_no_other_server(
    swarms: dict[str, Swarm], password_store: PassStore
) -> None:
    kept = Secret("kept for the first of them only")
    password_store.store(f"hosts/{SERVERS[0]}/{APP}/token", kept)
    triples = [(server, APP, "token") for server in SERVERS]
    assert opskit.Fleet.from_abra().plan_restore(triples).apply().status == "done"
    first, second = map(stored, swarms.values())
    assert first == kept.reveal()
    assert second
    assert second != first
