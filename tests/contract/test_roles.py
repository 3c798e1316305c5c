"""Servers that cannot manage a swarm: both engines refuse in the same words."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.engine import Role, Swarm
from opskit.demo.engine.serve import serve
from tests.contract.talk import Said, Talk, compared
from tests.waiting import LIMIT

PATHS = ("/secrets", "/configs", "/services", "/tasks", "/nodes", "/swarm", "/secrets/none")


@pytest.fixture
def outsiders(tmp_path: Path) -> Iterator[Callable[[Role], str]]:
    """Embedded engines of every role, each at its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = []

    async def start(role: Role) -> str:
        (server,) = serve({tmp_path / role: Swarm("srv1", role)})
        servers.append(server)
        return server.host

    yield lambda role: asyncio.run_coroutine_threadsafe(start(role), loop).result(LIMIT)
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(LIMIT)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LIMIT)
    loop.close()


def hear(host: str) -> list[Said]:
    talk = Talk(host, "role")
    for path in PATHS:
        talk.send("GET", path)
    talk.send("POST", "/secrets/create", {"Name": "a", "Data": "eA=="})
    talk.send("DELETE", "/secrets/a")
    talk.send("GET", "/info", part=True)
    swarm = talk.ask("GET", "/info")[1]["Swarm"]
    told = ("LocalNodeState", "ControlAvailable", "Error", "RemoteManagers", "NodeID")
    talk.note("info", 200, {name: swarm[name] for name in told})
    talk.note("members", 200, sorted(swarm.keys() & {"Nodes", "Managers", "Cluster"}))
    talk.close()
    return talk.said


@pytest.mark.swarm
@pytest.mark.slow
def test_outside_a_swarm_and_locked_both_engines_refuse_alike(
    fresh_fleet: Callable[[int], DockerdFleet], outsiders: Callable[[Role], str]
) -> None:
    fleet = fresh_fleet(1)

    def docker(*arguments: str) -> None:
        command = ["docker", "-H", fleet.host("srv1"), "swarm", *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)

    docker("update", "--autolock=true")
    fleet.restart("srv1")
    different = compared(hear(outsiders("locked")), hear(fleet.host("srv1")))
    docker("leave", "--force")
    different += compared(hear(outsiders("none")), hear(fleet.host("srv1")))

    assert not different, "\n".join(different)


@pytest.mark.parametrize(
    ("role", "status", "words"),
    [
        ("worker", 503, "Worker nodes can't be used"),
        ("none", 503, "docker swarm init"),
        ("locked", 503, "needs to be unlocked"),
        ("expired", 503, "Swarm certificates have expired"),
        ("no-leader", 500, "The swarm does not have a leader"),
    ],
)
def test_what_is_not_a_manager_says_why(
    outsiders: Callable[[Role], str], role: Role, status: int, words: str
) -> None:
    talk = Talk(outsiders(role), "role")
    for path in PATHS:
        found, reply = talk.ask("GET", path)
        assert found == status
        assert words in reply["message"]
    assert talk.ask("GET", "/networks")[0] == 200
    assert talk.ask("GET", "/volumes")[0] == 200
    talk.close()
