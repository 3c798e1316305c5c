"""What the benchmarks share: real fleets with things in them, and how figures are told."""

from __future__ import annotations

import base64
import http.client
import json
import os
import platform
import socket
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from opskit.demo.dockerd import IMAGE, DockerdFleet
from opskit.swarm.context import Context
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def fill(fleet: DockerdFleet, secrets: int, services: int) -> None:
    """Create so many secrets on each server, and so many small services that use some."""

    def one(name: str) -> None:
        context = Context(server=name, host=fleet.host(name))

        def post(path: str, body: dict) -> str:
            reply = TRANSPORT.request(
                context, "POST", path, body=json.dumps(body).encode(), deadline=Deadline(60, name)
            )
            assert reply.status == 201, reply.body
            return json.loads(reply.body)["ID"]

        data = base64.b64encode(b"benchmark").decode()
        ids = [
            post("/secrets/create", {"Name": f"app{n % 12}_secret{n}_v1", "Data": data})
            for n in range(secrets)
        ]
        for n in range(services):
            reference = {
                "SecretID": ids[n],
                "SecretName": f"app{n % 12}_secret{n}_v1",
                "File": {"Name": "s", "UID": "0", "GID": "0", "Mode": 292},
            }
            container = {"Image": IMAGE, "Args": ["sleep", "100000"], "Secrets": [reference]}
            post(
                "/services/create",
                {
                    "Name": f"app{n}_web",
                    "Labels": {"com.docker.stack.namespace": f"app{n}"},
                    "TaskTemplate": {"ContainerSpec": container},
                    "Mode": {"Replicated": {"Replicas": 1}},
                },
            )

    with ThreadPoolExecutor(len(fleet.daemons)) as threads:
        list(threads.map(one, fleet.daemons))


def deploy(fleet: DockerdFleet, server: str, stack: str) -> None:
    """Create a secret and a small service that uses it."""
    context = Context(server=server, host=fleet.host(server))

    def post(path: str, body: dict) -> str:
        reply = TRANSPORT.request(
            context, "POST", path, body=json.dumps(body).encode(), deadline=Deadline(60, server)
        )
        assert reply.status == 201, reply.body
        return json.loads(reply.body)["ID"]

    name = f"{stack}_token_v1"
    made = post("/secrets/create", {"Name": name, "Data": base64.b64encode(b"bench").decode()})
    file = {"Name": "token", "UID": "0", "GID": "0", "Mode": 292}
    reference = {"SecretID": made, "SecretName": name, "File": file}
    container = {
        "Image": IMAGE,
        "Args": ["sleep", "100000"],
        "StopGracePeriod": 0,
        "Secrets": [reference],
    }
    post(
        "/services/create",
        {
            "Name": f"{stack}_app",
            "Labels": {"com.docker.stack.namespace": stack},
            "TaskTemplate": {"ContainerSpec": container},
            "Mode": {"Replicated": {"Replicas": 1}},
        },
    )


def timed(work: Callable[[], object]) -> float:
    """Give the seconds something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(title: str, rows: dict[str, list[float]], base: str) -> None:
    """Print medians, spreads and how many times `base` goes into each."""
    print(f"\n{title} ({platform.machine()}, {os.cpu_count()} cores)")
    middle = statistics.median(rows[base])
    for name, values in rows.items():
        median = statistics.median(values)
        print(
            f"  {name:<44} {median:9.3f} s  (min {min(values):.3f}, max {max(values):.3f})"
            f"  {median / middle:8.1f} x {base}"
        )
    print(json.dumps({"title": title, "seconds": rows}))
