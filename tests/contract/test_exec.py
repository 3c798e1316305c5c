"""Programs run inside a container: the same on the embedded and on a real engine."""

from __future__ import annotations

import contextlib
import json
import secrets

import pytest

from opskit.demo.dockerd import DockerdFleet
from opskit.errors import NotFoundError, RefusedError, UnreachableError
from opskit.swarm.context import find_context
from opskit.swarm.engine import Engine
from opskit.swarm.model import Container
from opskit.swarm.transport import Transport
from tests.contract.conftest import Bench, clean
from tests.waiting import eventually

ANY_BYTE = bytes(range(256)) * 300


@pytest.fixture
def container(bench: Bench) -> Container:
    return started(bench)


def started(bench: Bench) -> Container:
    """Start a service that mounts a secret, and give its container."""
    bench.engine.create_secret(bench.name("pw"), b"open sesame", {})
    body = json.dumps(bench.service("db", bench.name("pw"))).encode()
    ident = json.loads(bench.raw("POST", "/services/create", body).body)["ID"]
    (found,) = eventually(lambda: bench.engine.containers(ident), "a container of the service")
    assert found.task_id in {task.id for task in bench.engine.tasks(ident)}
    return found


def test_a_program_reads_its_input_byte_for_byte(bench: Bench, container: Container) -> None:
    ended = bench.engine.execute(container.id, ["cat"], ANY_BYTE[:60_000])
    assert (ended.code, ended.stdout, ended.stderr) == (0, ANY_BYTE[:60_000], b"")


def test_a_program_sees_the_mounted_secrets(bench: Bench, container: Container) -> None:
    ended = bench.engine.execute(container.id, ["cat", "/run/secrets/file0"])
    assert ended.stdout == b"open sesame"
    assert "sesame" not in repr(ended)


def test_the_exit_status_and_the_complaint_come_back(bench: Bench, container: Container) -> None:
    ended = bench.engine.execute(container.id, ["sh", "-c", "echo well; cat /nowhere; exit 7"])
    assert (ended.code, ended.stdout) == (7, b"well\n")
    assert b"No such file" in ended.stderr


def test_a_program_that_reads_nothing_may_be_given_something(
    bench: Bench, container: Container
) -> None:
    assert bench.engine.execute(container.id, ["false"], ANY_BYTE).code == 1


def test_a_program_that_is_not_there_ends_or_is_refused(bench: Bench, container: Container) -> None:
    # Engines say it in place of the output, and give it an exit status of its own.
    with contextlib.suppress(RefusedError):
        assert bench.engine.execute(container.id, ["/no/such"]).code in (126, 127)


def test_no_program_runs_in_a_container_that_is_gone(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="No such container"):
        bench.engine.execute("0" * 64, ["true"])


def test_the_connections_stay_usable(bench: Bench, container: Container) -> None:
    assert [bench.engine.execute(container.id, ["true"]).code for _ in range(6)] == [0] * 6


@pytest.mark.swarm
@pytest.mark.parametrize("bench", ["dockerd"], indirect=True)
def test_a_program_that_does_not_end_meets_the_deadline(bench: Bench, container: Container) -> None:
    impatient = Engine(bench.context, seconds=1.0, transport=bench.transport)
    with pytest.raises(UnreachableError, match="no answer within 1 s"):
        impatient.execute(container.id, ["sleep", "20"])


@pytest.mark.swarm
def test_a_program_runs_through_ssh(
    ssh_fleet: DockerdFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ssh_fleet.env.items():
        monkeypatch.setenv(name, value)
    transport = Transport()
    bench = Bench(find_context("srv1"), transport, f"t{secrets.token_hex(4)}")
    try:
        ended = bench.engine.execute(started(bench).id, ["cat"], ANY_BYTE[:60_000])
        assert (ended.code, ended.stdout) == (0, ANY_BYTE[:60_000])
    finally:
        clean(bench)
        transport.close()
