"""One process beside 2 and 4 workers of Dask and ipyparallel, reading the same embedded servers.

300 secrets on each server, with latency on every answer that is the same for whoever asks. Nobody
is nearer to a server than anybody else, and all share this machine's cores with the engines: what
is measured is what sharing costs and what more processes bring, not what being near brings. The
`CPU` is that of this process, which is what workers take off a machine that has others.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import Executor
from pathlib import Path

from opskit.clusters import Workers
from opskit.demo.fleet import DemoFleet

SIZES, SECRETS, LATENCIES_MS, ROUNDS = (10, 100, 300), 300, (20.0, 200.0), 3
KINDS, COUNTS = ("dask", "ipyparallel"), (2, 4)
Row = dict[str, float]


def reading(executor: Executor | None, servers: int) -> Row:
    """Time one snapshot, then give the median of later ones with this process's work in it."""
    import opskit

    names = [one.name for one in opskit.Fleet.from_abra().declared().servers][:servers]
    fleet = opskit.Fleet.from_abra(servers=names, executor=executor)
    started = time.perf_counter()
    fleet.snapshot()
    first = time.perf_counter() - started
    seconds, work = [], []
    for _ in range(ROUNDS):
        started, before = time.perf_counter(), time.process_time()
        snapshot = fleet.snapshot()
        seconds.append(time.perf_counter() - started)
        work.append(time.process_time() - before)
        assert not snapshot.facts.missing()
        assert len(snapshot.facts.bare) == (servers if executor else 0)
    return {
        "first": first,
        "again": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "cpu": statistics.median(work),
    }


def measure(latency_ms: float) -> dict[int, dict[str, Row]]:
    """Measure one latency in this process: by size, who read, and how long it took."""
    with DemoFleet(many=max(SIZES), secrets=SECRETS, latency_ms=latency_ms) as fleet:
        os.environ.update(fleet.env)
        found = {size: {"one process": reading(None, size)} for size in SIZES}
        for kind in KINDS:
            for count in COUNTS:
                with Workers(kind, count=count) as workers:
                    if workers.executor is None:
                        print(workers, file=sys.stderr)
                        continue
                    for size in SIZES:
                        name = f"{count} workers of {kind}"
                        found[size][name] = reading(workers.executor, size)
    return found


def main() -> None:
    """Measure each latency in a process of its own, and print what came of it."""
    for latency_ms in LATENCIES_MS:
        done = subprocess.run(
            [sys.executable, str(Path(__file__)), str(latency_ms)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        for servers, found in json.loads(done.stdout).items():
            print(f"\n{servers} servers, {int(servers) * SECRETS:,} rows, {latency_ms:g} ms "
                  f"({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})")  # fmt: skip
            base = found["one process"]["again"]
            for name, row in found.items():
                print(
                    f"  {name:<24} first {row['first']:6.2f} s   again {row['again']:6.2f} s "
                    f"({row['least']:.2f} to {row['most']:.2f})  x {row['again'] / base:5.2f}   "
                    f"CPU here {row['cpu']:5.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        print(json.dumps(measure(float(sys.argv[1]))))
    else:
        main()
