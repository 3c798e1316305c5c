"""A watched fleet: from an event to the row, what idling costs, and memory over many changes.

40 embedded servers of 300 secrets, 80 ms away. The limit beside it is a bare script that listens to
one engine and asks for its one list of secrets after an event: no joining, no table.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from peers import UnixConnection, report

from opskit.demo.fleet import DemoFleet
from opskit.swarm.context import find_context
from opskit.swarm.engine import Engine

SERVERS, SECRETS, LATENCY_MS, ROUNDS, CHANGES = 40, 300, 80.0, 20, 500
IDLE_S = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
PAUSE_S = 2.5
"""Between two rounds, so that each begins with a server at rest."""


def rss() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def bare(path: str) -> Iterator[set[str]]:
    """Yield the names of all secrets after each event, as soon as they are there."""
    events, lists = UnixConnection(path), UnixConnection(path)
    lists.request("GET", "/_ping")
    lists.getresponse().read()
    events.request("GET", "/events?filters=%7B%22type%22%3A%5B%22secret%22%5D%7D")
    reply = events.getresponse()
    yield set()
    for _ in reply:
        lists.request("GET", "/secrets")
        yield {one["Spec"]["Name"] for one in json.loads(lists.getresponse().read())}


def until(found: Iterator[set[str]], name: str, begun: float) -> float:
    """Return how long it took until a name was among what is found."""
    for names in found:
        if name in names:
            return time.perf_counter() - begun
    raise AssertionError("it was never found")


def main() -> None:
    """Measure, and print what came of it."""
    with DemoFleet(many=SERVERS, secrets=SECRETS, latency_ms=LATENCY_MS) as demo:
        os.environ.update(demo.env)
        import opskit

        fleet = opskit.Fleet.from_abra()
        server = fleet.declared().servers[SERVERS // 2].name
        context = find_context(server)
        engine, number = Engine(context), itertools.count()

        def create() -> tuple[str, float]:
            name = f"watched_v{next(number)}"
            engine.create_secret(name, b"x", {})
            return name, time.perf_counter()

        limit = bare(context.address.path)
        next(limit)
        limits = [until(limit, *create()) for _ in range(ROUNDS)]
        with fleet.watch() as live:
            print(f"{len(live.snapshot.secrets):,} rows, {threading.active_count()} threads")
            for _ in live.changes(timeout=5):
                pass
            before, begun = time.process_time(), time.perf_counter()
            time.sleep(IDLE_S)
            idle = (time.process_time() - before) / (time.perf_counter() - begun)
            rows, cpu = [], []
            for _ in range(ROUNDS):
                changes = (set(snap.secrets["swarm_name"]) for snap in iter(live))
                started = time.process_time()
                rows.append(until(changes, *create()))
                cpu.append(time.process_time() - started)
                time.sleep(PAUSE_S)
            kept = rss()
            for _ in range(CHANGES):
                create()
            name, begun = create()
            after = until(
                (set(live.snapshot.secrets["swarm_name"]) for _ in itertools.count()), name, begun
            )
            grown = rss() - kept
        seconds = {"bare script": limits, "opskit": rows, "opskit's work in it": cpu}
        report("From an event to the row", seconds, "bare script")
        print(f"idle: {100 * idle:.2f} % of one core over {IDLE_S:g} s, {SERVERS} servers")
        print(f"after {CHANGES:,} more changes: the last row after {after:.2f} s, "
              f"{kept:.0f} MB and {grown:+.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
