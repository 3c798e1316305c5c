"""An embedded engine on its socket: editions, faults, commands, closing."""

from __future__ import annotations

import asyncio
import http.client
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opskit.demo.engine import Swarm
from opskit.demo.engine.api.call import Edition
from opskit.demo.engine.execs import Command, Outcome
from opskit.demo.engine.serve import Fault, Server
from tests.contract.talk import Talk
from tests.waiting import LIMIT

Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start embedded engines in a loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers: list[Server] = []

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(LIMIT)

    def begin(swarm: Swarm | None = None, **more: Any) -> Server:
        async def make() -> Server:
            return Server(swarm or Swarm(), tmp_path / f"s{len(servers)}", **more)

        servers.append(run(make()))
        return servers[-1]

    yield begin
    for server in servers:
        run(server.close())
        assert not server.path.exists()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LIMIT)
    loop.close()


@pytest.fixture
def talk(start: Start) -> Iterator[tuple[Server, Talk]]:
    server = start()
    with Talk(server.host, "t") as conversation:
        yield server, conversation


def test_an_edition_decides_which_api_versions_are_served(start: Start) -> None:
    edition = Edition(version="29.0.0", api="1.52", oldest_api="1.44")
    with Talk(start(edition=edition).host, "t") as talk:
        assert talk.ask("GET", "/version")[1]["ApiVersion"] == "1.52"
        assert talk.ask("GET", "/v1.44/info")[0] == 200
        status, reply = talk.ask("GET", "/v1.41/info")
        assert status == 400
        assert "Minimum supported API version is 1.44" in reply["message"]


def secret_names(talk: Talk) -> list[str]:
    return [one["Spec"]["Name"] for one in talk.ask("GET", "/secrets")[1]]


CREATE = {"Name": "t_a", "Data": "eA=="}


def test_a_connection_can_drop_before_the_engine_acts(talk: tuple[Server, Talk]) -> None:
    server, client = talk
    server.faults.add(Fault(effect="drop-before", method="POST", path="/secrets/create"))
    with pytest.raises(http.client.RemoteDisconnected):
        client.ask("POST", "/secrets/create", CREATE)
    assert secret_names(client) == []


def test_a_connection_can_drop_after_the_engine_acted(talk: tuple[Server, Talk]) -> None:
    server, client = talk
    server.faults.add(Fault(effect="drop-after", method="POST", path="/secrets/create"))
    with pytest.raises(http.client.RemoteDisconnected):
        client.ask("POST", "/secrets/create", CREATE)
    assert secret_names(client) == ["t_a"]


def test_a_request_can_be_refused_so_many_times(talk: tuple[Server, Talk]) -> None:
    server, client = talk
    server.faults.add(Fault(effect="refuse", path="/info", status=503, message="no", times=2))

    statuses = [client.ask("GET", "/info")[0] for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert client.ask("GET", "/version")[0] == 200


def test_a_delayed_answer_does_not_hold_up_others(talk: tuple[Server, Talk]) -> None:
    server, client = talk
    server.faults.add(Fault(effect="delay", path="/info", seconds=300))
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(server.path))
        slow.sendall(b"GET /info HTTP/1.1\r\nHost: docker\r\n\r\n")
        # By the second exchange the engine has read what was sent before the first.
        statuses = [client.ask("GET", path)[0] for path in ("/version", "/info")]

        assert statuses == [200, 200]
        assert select.select([slow], [], [], 0) == ([], [], [])


def test_what_a_command_comes_to_can_be_decided_by_the_test(start: Start) -> None:
    seen: list[Command] = []

    def execute(command: Command) -> Outcome:
        seen.append(command)
        return Outcome(code=4, stdout=b"told", stderr=b"off")

    swarm = Swarm()
    ident = swarm.secrets.seed("pw_v1", data=b"open sesame").id
    secret = {"SecretID": ident, "SecretName": "pw_v1", "File": {"Name": "pw"}}
    container = {"Image": "postgres:15", "Secrets": [secret]}
    swarm.add_service({"Name": "db", "TaskTemplate": {"ContainerSpec": container}})
    with Talk(start(swarm, execute=execute).host, "t") as talk:
        (found,) = talk.ask("GET", "/containers/json")[1]
        body = {"Cmd": ["psql", "-c", "x"], "User": "postgres", "Env": ["A=b"]}
        made = talk.ask("POST", f"/containers/{found['Id']}/exec", body)[1]["Id"]
        heard = talk.ask("POST", f"/exec/{made}/start", {})[1]
        assert heard == "\x01\0\0\0\0\0\0\x04told\x02\0\0\0\0\0\0\x03off"
        assert talk.ask("GET", f"/exec/{made}/json")[1]["ExitCode"] == 4
    (command,) = seen
    assert (command.service, command.user) == ("db", "postgres")
    assert command.argv == ("psql", "-c", "x")
    assert command.environment == ("A=b",)
    assert command.files == {"/run/secrets/pw": b"open sesame"}
    assert "sesame" not in repr(command)


def test_a_malformed_body_is_a_bad_request(talk: tuple[Server, Talk]) -> None:
    _, client = talk
    for path in ("/secrets/create", "/services/create", "/networks/create"):
        for body in (b"{bad", b"[]", b'{"Name": 5}', b'{"Name": "a", "TaskTemplate": 3}'):
            if path == "/networks/create" and b"TaskTemplate" in body:
                continue
            assert client.ask("POST", path, body)[0] == 400
    deep = {"Name": "a", "TaskTemplate": {"ContainerSpec": {"Image": "a", "Secrets": {"a": 1}}}}
    assert client.ask("POST", "/services/create", deep)[0] == 400
    assert client.ask("GET", "/secrets?filters=bad")[0] == 500
