"""What running tasks show, on a real engine that is killed at the worst moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.demo.dockerd import IMAGE, DockerdFleet
from opskit.errors import VerifyError
from opskit.steps import StepContext, VerifyStack
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from tests.oracle import Docker
from tests.waiting import LIMIT, eventually

_TRIES = 10


@pytest.mark.swarm
def test_a_task_that_was_started_without_its_secrets_does_not_count_as_running(
    fresh_fleet: Callable[[int], DockerdFleet],
) -> None:
    fleet = fresh_fleet(1)
    docker, daemon = Docker(fleet.host("srv1")), fleet.daemons["srv1"]
    made = daemon.folder / "data" / "containers"
    engine = Engine(Context(server="srv1", host=docker.host), seconds=LIMIT)
    docker("secret", "create", "shop_token_v1", "-", stdin="c4nary")
    service = ["service", "create", "--detach", "--name", "shop_app", "--secret", "shop_token_v1",
               "--label", "com.docker.stack.namespace=shop"]  # fmt: skip

    for _ in range(_TRIES):
        docker(*service, IMAGE)
        # The engine dies when it has made the container and not yet begun to start it.
        eventually(lambda: docker("ps", "-q", "--filter", "status=created"), "one", bool)
        daemon.kill()
        is_bare = not any(map(_knows_its_secrets, made.glob("*/config.v2.json")))
        daemon.launch()
        daemon.wait()
        eventually(lambda: _running(docker), "the task to run", bool)
        if is_bare and not docker("exec", _running(docker), "ls", "/run/secrets"):
            break
        docker("service", "rm", "shop_app")
        eventually(lambda: list(made.iterdir()), "its container to be gone", lambda left: not left)
    else:
        pytest.fail(f"none of {_TRIES} engines was killed at that moment")

    ctx = StepContext(engine=engine, run="run", actor="kim", host="laptop")
    verify = VerifyStack(stack="shop", timeout=LIMIT, stable=0.0)
    with pytest.raises(VerifyError, match="shop_app on srv1 runs without its secrets"):
        verify.do(ctx)

    docker("service", "update", "--force", "shop_app")
    assert docker("exec", _running(docker), "cat", "/run/secrets/shop_token_v1") == "c4nary"
    assert verify.do(ctx)["note"] == ""


def _knows_its_secrets(config: Path) -> bool:
    return bool(json.loads(config.read_text())["SecretReferences"])


def _running(docker: Docker) -> str:
    return docker("ps", "--quiet", "--filter", "name=shop_app")
