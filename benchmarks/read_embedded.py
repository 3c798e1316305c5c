"""Reading hundreds of embedded servers: opskit beside bare loops that fetch the same bytes.

One loop asks for one list after the other, the other for all at once: the limit. 20 ms latency on
every answer, 300 secrets on each server. Each size runs in a fresh process, so
that its peak memory is its own.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import resource
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from peers import UnixConnection

from opskit.demo.fleet import DemoFleet

SIZES, SECRETS, LATENCY_MS, ROUNDS = (10, 50, 200, 1000), 300, 20.0, 3
THREADS = 32
PATHS = ("/info", "/nodes", "/services?status=true", "/tasks", "/secrets", "/configs",
         "/networks", "/volumes")  # fmt: skip


def bare(connections: list[UnixConnection]) -> int:
    """Fetch every list of every server over warm connections; give the bytes fetched."""

    def one(connection: UnixConnection) -> int:
        size = 0
        for path in PATHS:
            connection.request("GET", f"/v1.41{path}")
            size += len(connection.getresponse().read())
        return size

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(one, connections))


class Kept(io.BufferedReader):
    """What all replies of one connection are read from; ``http.client`` closes it after each."""

    def makefile(self, *_: object) -> io.BufferedReader:
        """Give itself, as a socket gives its file."""
        return self

    def close(self) -> None:
        """Stay open."""


def limit(connections: list[UnixConnection]) -> int:
    """Fetch every list of every server in one flight each; give the bytes fetched."""
    flight = "".join(f"GET /v1.41{path} HTTP/1.1\r\nHost: docker\r\n\r\n" for path in PATHS)

    def one(connection: UnixConnection) -> int:
        connection.sock.sendall(flight.encode())
        kept, size = Kept(socket.SocketIO(connection.sock, "r"), 65_536), 0
        for _ in PATHS:
            reply = http.client.HTTPResponse(kept)
            reply.begin()
            size += len(reply.read())
        return size

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(one, connections))


def measure(servers: int) -> dict[str, float]:
    """Measure one size in this process."""
    with DemoFleet(many=servers, secrets=SECRETS, latency_ms=LATENCY_MS) as fleet:
        os.environ.update(fleet.env)
        import opskit

        reader = opskit.Fleet.from_abra()
        connections = [UnixConnection(str(path)) for path in sorted((fleet.root / "s").iterdir())]
        reader.snapshot()
        bare(connections)
        found: dict[str, list[float]] = {"snapshot": [], "bare": [], "limit": [], "views_cpu": []}
        for _ in range(ROUNDS):
            started = time.perf_counter()
            snapshot = reader.snapshot()
            found["snapshot"].append(time.perf_counter() - started)
            started = time.process_time()
            rows = len(snapshot.secrets)
            for name in ("servers", "apps", "services", "tasks", "nodes", "configs", "networks",
                         "volumes"):  # fmt: skip
                getattr(snapshot, name)
            found["views_cpu"].append(time.process_time() - started)
            started = time.perf_counter()
            size = bare(connections)
            found["bare"].append(time.perf_counter() - started)
            started = time.perf_counter()
            assert limit(connections) == size
            found["limit"].append(time.perf_counter() - started)
        for connection in connections:
            connection.close()
    middle = {name: sorted(values)[len(values) // 2] for name, values in found.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return middle | {"servers": servers, "rows": rows, "megabytes": size / 1e6, "peak_mb": peak}


def main() -> None:
    """Measure every size in a process of its own and print the curve."""
    print(f"{'servers':>8} {'rows':>8} {'snapshot':>10} {'bare loop':>10} "
          f"{'at once':>10} {'ratio':>6} {'ms/server':>10} "
          f"{'views CPU':>10} {'peak MB':>8}")  # fmt: skip
    for servers in SIZES:
        done = subprocess.run(
            [sys.executable, str(Path(__file__)), str(servers)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        row = json.loads(done.stdout)
        print(
            f"{row['servers']:>8} {row['rows']:>8,} {row['snapshot']:>9.2f}s {row['bare']:>9.2f}s "
            f"{row['limit']:>9.2f}s {row['snapshot'] / row['limit']:>6.2f} "
            f"{1000 * row['snapshot'] / servers:>10.2f} "
            f"{row['views_cpu']:>9.2f}s {row['peak_mb']:>8.0f}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main()
