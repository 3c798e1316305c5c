"""Reading real swarms over ssh on a line with latency: opskit beside what the line allows.

The limit: ``docker system dial-stdio``, every list asked for at once down it, the replies read
and not looked at; cold with a login of its own, warm on a stream that is open. A relay in a
process of its own adds the latency. Every round times each contender once, in turn.

``read_latency.py [SERVERS...]``; by default 1, 5 and 10 servers.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from others import Tools, docker_in_parallel, docker_one_after_another
from peers import fill, report, timed

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.swarm import masters, observe
from opskit.swarm.transport import TRANSPORT

RTTS, ROUNDS, SECRETS, SERVICES = (0, 20, 80, 200), 3, 300, 4
_PATHS = observe._PATHS
_REQUESTS = "".join(f"GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n" for path in _PATHS).encode()
_TOGETHER = ["ControlMaster auto", "ControlPersist 600", "ControlPath {folder}/%C"]


class Line:
    """A stream to an engine, as bare as it can be."""

    def __init__(self, name: str) -> None:
        self._sock, theirs = socket.socketpair()
        command = ["ssh", "-o", "BatchMode=yes", "-T", name, "docker system dial-stdio"]
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs)
        theirs.close()
        self._reader = self._sock.makefile("rb")

    def read(self) -> None:
        """Ask for every list at once, and read the replies."""
        self._sock.sendall(_REQUESTS)
        for _ in _PATHS:
            head = b"".join(iter(self._reader.readline, b"\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            if b"content-length: " in head:
                self._reader.read(int(head.partition(b"content-length: ")[2].split()[0]))
            else:
                while size := int(self._reader.readline(), 16):
                    self._reader.read(size + 2)
                self._reader.readline()

    def close(self) -> None:
        """End it."""
        self._reader.close()
        self._sock.close()
        self._process.terminate()
        self._process.wait()


def limit_cold(names: list[str]) -> None:
    """Open a line to each server, and read it."""
    with ThreadPoolExecutor(len(names)) as threads:
        lines = list(threads.map(_read_new, names))
    for line in lines:
        line.close()


def limit_warm(names: list[str]) -> float:
    """Time reading lines that are open."""
    with ThreadPoolExecutor(len(names)) as threads:
        lines = list(threads.map(_read_new, names))
        seconds = timed(lambda: list(threads.map(Line.read, lines)))
    for line in lines:
        line.close()
    return seconds


def _read_new(name: str) -> Line:
    line = Line(name)
    line.read()
    return line


def opskit_command() -> None:
    """Read all servers with the command."""
    command = [sys.executable, "-m", "opskit", "secrets"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def cold(work: Callable[[], object]) -> float:
    """Time something that finds no connection."""
    TRANSPORT.close()
    masters.disconnect()
    return timed(work)


def _relay(ports: list[int], delay: float, answer: Connection) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.chaos.relay import Relay

    relays = [Relay(port) for port in ports]
    for relay in relays:
        relay.delay = delay
    answer.send([relay.port for relay in relays])
    threading.Event().wait()


@contextmanager
def at_a_distance(fleet: DockerdFleet, round_trip: float) -> Iterator[None]:
    """Let ssh reach a fleet only by relays that take so many seconds there and back."""
    ports = [sshd.port for sshd in fleet.sshds.values()]
    here, there = multiprocessing.Pipe()
    work = (ports, round_trip / 2, there)
    relay = multiprocessing.get_context("spawn").Process(target=_relay, args=work, daemon=True)
    relay.start()
    moved = dict(zip(ports, here.recv(), strict=True))
    files = [fleet.root / "ssh" / name for name in ("config", "known_hosts")]
    before = [file.read_text() for file in files]
    for file, text in zip(files, before, strict=True):
        for port, by in moved.items():
            text = text.replace(f"Port {port}\n", f"Port {by}\n").replace(f":{port} ", f":{by} ")
        file.write_text(text)
    try:
        yield
    finally:
        for file, text in zip(files, before, strict=True):
            file.write_text(text)
        relay.terminate()
        relay.join()


@contextmanager
def with_masters(fleet: DockerdFleet) -> Iterator[None]:
    """Let plain ssh, and with it the docker CLI, keep its connections."""
    folder, config = fleet.root / "own", fleet.root / "ssh" / "config"
    folder.mkdir(mode=0o700)
    before = config.read_text()
    config.write_text("\n".join(_TOGETHER).format(folder=folder) + f"\n{before}")
    try:
        yield
    finally:
        config.write_text(before)
        for control in folder.iterdir():
            command = ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "any"]
            subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(folder)


def measure(fleet: DockerdFleet, tools: Tools, names: list[str]) -> dict[str, list[float]]:
    """Run the rounds."""
    reader, rows = opskit.Fleet.from_abra(servers=names), dict[str, list[float]]()

    def add(name: str, seconds: float) -> None:
        rows.setdefault(name, []).append(seconds)

    # Once is enough to see where it stands: of ten servers far away it takes minutes.
    add("docker, one after another", timed(partial(docker_one_after_another, names)))
    for _ in range(ROUNDS):
        add("limit, cold", timed(partial(limit_cold, names)))
        add("limit, warm", limit_warm(names))
        add("opskit cold", cold(reader.snapshot))
        add("opskit warm", timed(reader.snapshot))
        TRANSPORT.close()
        add("opskit secrets in a terminal, first", cold(opskit_command))
        add("opskit secrets in a terminal, again", timed(opskit_command))
        add("docker, xargs -P 8", timed(partial(docker_in_parallel, names)))
        with with_masters(fleet):
            docker_in_parallel(names)
            add("docker, xargs -P 8, warm master", timed(partial(docker_in_parallel, names)))
        add("docker SDK, a thread a server", tools.sdk(names))
        add("Ansible, first", timed(partial(tools.ansible, names)))
        add("Ansible, again", timed(partial(tools.ansible, names)))
        tools.forget()
        add("pyinfra", timed(partial(tools.pyinfra, names)))
    return rows


def main() -> None:
    """Measure each number of servers at each distance."""
    counts = [int(word) for word in sys.argv[1:]] or [1, 5, 10]
    # A command that is installed is compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with DockerdFleet(max(counts), ssh=True) as fleet, Tools(fleet) as tools:
        (fleet.root / "run").mkdir(mode=0o700)
        os.environ.update(fleet.env | {"XDG_RUNTIME_DIR": str(fleet.root / "run")})
        fill(fleet, SECRETS, SERVICES)
        every = list(fleet.daemons)
        for count in counts:
            names = every[:count]
            for name in every:
                (fleet.root / "abra" / "servers" / name).mkdir(exist_ok=True)
            for name in every[count:]:
                (fleet.root / "abra" / "servers" / name).rmdir()
            for rtt in RTTS:
                with at_a_distance(fleet, rtt / 1000):
                    title = f"read {count} swarms of {SECRETS} secrets over ssh, {rtt} ms"
                    rows = measure(fleet, tools, names)
                    report(title, rows, "limit, warm")
                    report(f"{title}, against a cold start", rows, "limit, cold")
                    TRANSPORT.close()


if __name__ == "__main__":
    sys.exit(main())
