"""Reading one server: everything at once, or one plain sentence why not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.errors import UnreachableError
from opskit.swarm.context import Context, find_context
from opskit.swarm.engine import Engine
from opskit.swarm.observe import observe, observe_server
from opskit.swarm.ssh import explain
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT

Use = Callable[[DemoFleet | DockerdFleet], Path]
Serve = Callable[[bytes], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Listen on a unix socket and answer every request with the same bytes."""
    stop = threading.Event()
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> str:
        path = tmp_path / f"s{len(listeners)}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.1)
        listeners.append(listener)

        def talk(connection: socket.socket) -> None:
            connection.settimeout(0.1)
            with connection:
                while not stop.is_set():
                    with contextlib.suppress(OSError):
                        if not (asked := connection.recv(65536)):
                            return
                        connection.sendall(answer * asked.count(b"\r\n\r\n"))

        def run() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    begin(talk, listener.accept()[0])

        begin(run)
        return f"unix://{path}"

    def begin(target: Callable[..., None], *arguments: object) -> None:
        threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        threads[-1].start()

    threads: list[threading.Thread] = []
    yield start
    stop.set()
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def at(host: str) -> Context:
    return Context(server="one.example", host=host)


def test_a_demo_server_is_read_whole(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    seen = observe_server("coop.example")

    assert seen.reachable
    assert seen.manager
    assert not seen.error
    assert seen.services
    assert seen.tasks
    assert seen.secrets
    assert seen.configs


def test_a_worker_is_reachable_and_no_manager(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    seen = observe_server("library.example")

    assert (seen.reachable, seen.manager) == (True, False)
    assert "worker" in seen.error


def test_nobody_listening_is_said(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    seen = observe_server("radio.example")

    assert (seen.reachable, seen.manager) == (False, False)
    assert "Is Docker running there?" in seen.error


def test_an_unknown_context_is_said_and_never_the_local_engine(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    seen = observe_server("nowhere.example")

    assert not seen.reachable
    assert "docker context create nowhere.example" in seen.error


def test_a_server_that_accepts_and_is_silent_runs_into_the_deadline(serve: Serve) -> None:
    seen = observe(at(serve(b"")), 0.3)

    assert "no answer within 0.3 s" in seen.error


def test_an_answer_that_never_ends_runs_into_the_deadline(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 1000000\r\n\r\nO"
    assert "no answer within 0.3 s" in observe(at(serve(head)), 0.3).error


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", "no Docker Engine"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope", "refused opskit (HTTP 403"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "connection was lost"),
        (
            b"HTTP/1.1 200 OK\r\nApi-Version: 1.39\r\nContent-Length: 2\r\n\r\nOK",
            "too old (API 1.39)",
        ),
        (
            b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 5\r\n\r\n<html",
            "not what a Docker Engine sends",
        ),
    ],
)
def test_what_is_no_engine_is_said_in_one_sentence(serve: Serve, answer: bytes, says: str) -> None:
    assert says in observe(at(serve(answer)), 60).error


def test_a_name_that_does_not_resolve_is_said() -> None:
    assert "cannot connect" in observe(at("tcp://nowhere.invalid:2375"), 60).error


def test_a_refused_tcp_connection_is_said() -> None:
    assert "Connection refused" in observe(at("tcp://127.0.0.1:9"), 60).error


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("ssh: Could not resolve hostname x: Name or service not known", "cannot be resolved"),
        ("No ED25519 host key is known\nHost key verification failed.", "is not known"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key veri", "has changed"),
        ("root@x: Permission denied (publickey).", "refused the login"),
        ("sh: 1: docker: not found", "docker command is not installed"),
        ("bash: docker: command not found", "docker command is not installed"),
        (
            "permission denied while trying to connect to the Docker daemon socket",
            "may not use Docker",
        ),
        (
            "failed to open the raw stream connection: dial unix /x: connect: permission denied",
            "may not use Docker",
        ),
        ("Cannot connect to the Docker daemon at unix:///x.", "not running"),
        (
            "failed to open the raw stream connection: dial unix /x: connect: connection refused",
            "not running",
        ),
        ("ssh: connect to host x port 22: Connection timed out", "Connection timed out"),
        (
            "Authorised use only.\nssh: connect to host x port 22: Connection refused\n"
            "Connection closed by UNKNOWN port 65535",
            "Connection refused",
        ),
        (
            "channel 0: open failed: connect failed: No route to host\nstdio forwarding failed\n"
            "Connection closed by UNKNOWN port 65535",
            "does not get through to it (channel 0: open failed: connect failed: No route",
        ),
    ],
)
def test_what_ssh_says_becomes_one_sentence(said: str, sentence: str) -> None:
    text = " ".join(explain(said, at("ssh://ops@one.example:2222")))

    assert sentence in text
    assert "\n" not in text


def test_an_unknown_host_key_is_answered_with_the_command_to_check_it() -> None:
    _, remedy = explain("Host key verification failed.", at("ssh://ops@one.example:2222"))
    assert remedy.endswith(": ssh -p 2222 -l ops one.example true")


@pytest.mark.swarm
def test_ssh_resolves_port_and_key_by_the_users_configuration(
    use: Use, ssh_fleet: DockerdFleet
) -> None:
    use(ssh_fleet)
    seen = observe_server("srv1", 60)

    assert seen.error == ""
    assert seen.host == "ssh://srv1"
    assert seen.info.name == "srv1"


@pytest.mark.swarm
def test_a_cut_ssh_connection_is_said_and_a_mended_one_is_used_again(
    use: Use, ssh_fleet: DockerdFleet
) -> None:
    use(ssh_fleet)
    assert observe_server("srv2", 60).manager
    ssh_fleet.cut("srv2")
    TRANSPORT.close()
    try:
        assert "Connection refused" in observe_server("srv2", 60).error
    finally:
        ssh_fleet.mend("srv2")
    assert observe_server("srv2", 60).manager


@pytest.mark.swarm
def test_an_unknown_host_key_is_never_accepted(
    use: Use, ssh_fleet: DockerdFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = use(ssh_fleet)
    known = root / "ssh" / "known_hosts"
    before = known.read_text()
    TRANSPORT.close()
    known.write_text("")
    try:
        assert "host key is not known" in observe_server("srv1", 60).error
        assert known.read_text() == ""
    finally:
        known.write_text(before)


@pytest.mark.swarm
def test_many_threads_share_one_ssh_connection(use: Use, ssh_fleet: DockerdFleet) -> None:
    use(ssh_fleet)
    errors: list[str] = []
    threads = [
        threading.Thread(target=lambda: errors.append(observe_server("srv1", 120).error))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == [""] * 12


@pytest.mark.swarm
@pytest.mark.slow
def test_real_swarms_in_trouble_say_what_it_is(
    use: Use, fresh_fleet: Callable[[int], DockerdFleet]
) -> None:
    import subprocess

    fleet = fresh_fleet(2)
    use(fleet)
    subprocess.run(
        ["docker", "-H", fleet.host("srv1"), "swarm", "leave", "--force"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["docker", "-H", fleet.host("srv2"), "swarm", "update", "--autolock"],
        check=True,
        capture_output=True,
    )
    fleet.restart("srv2")

    assert "not in a swarm" in observe_server("srv1", 60).error
    assert "docker --context srv2 swarm unlock" in observe_server("srv2", 60).error

    fleet.daemons["srv1"].pause()
    try:
        assert "no answer within 1 s" in observe_server("srv1", 1).error
    finally:
        fleet.daemons["srv1"].go_on()


def test_a_kept_connection_that_died_is_replaced_for_a_read(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    engine = Engine(find_context("coop.example"))
    engine.info()
    with TRANSPORT.connection(engine.context, Deadline(60)) as (connection, _):
        connection.stream.sock.shutdown(socket.SHUT_RDWR)

    assert engine.info().name == "coop"


def test_a_deadline_that_has_passed_is_an_unreachable_server() -> None:
    deadline = Deadline(0.0, "one.example")
    with pytest.raises(UnreachableError, match=r"one\.example: no answer within 0 s"):
        deadline.remaining()
