"""Rotating 40 apps on 8 real swarms: opskit in parallel, one after another, and the docker CLI.

Both wait until the new tasks have run for five seconds, as each does by default: of the script it
is ``docker service update`` that waits, and nothing else is verified. The last table is opskit's
own share of one rotation: the wall time less what was spent waiting for the engine's answers and
for tasks to settle. ``rotate.py many alone`` runs just these parts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peers import deploy, report, timed

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.run.run import Run
from opskit.steps.base import StepContext
from opskit.swarm import lookout, observe
from opskit.swarm.lookout import Lookout
from opskit.swarm.transport import TRANSPORT

SERVERS, APPS, ALONE, ROUNDS = 8, 5, 10, 3
COMPOSE = """
services:
  app: {image: x, secrets: [token]}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""
BY_HAND = """
set -e
docker="docker --context $1" stack=$2 version=$3 next=$4
head -c 24 /dev/urandom | base64 | $docker secret create ${stack}_token_$next - >/dev/null
$docker service update -q --secret-rm ${stack}_token_$version \
  --secret-add source=${stack}_token_$next,target=token ${stack}_app >/dev/null
$docker secret rm ${stack}_token_$version >/dev/null
"""


def prepare(fleet: DockerdFleet) -> list[tuple[str, str]]:
    """Write the files of every app, deploy it at v1, and give (server, stack) of each."""
    root = Path(fleet.env["ABRA_DIR"])
    recipe = root / "recipes" / "bench"
    recipe.mkdir(parents=True)
    (recipe / "compose.yml").write_text(COMPOSE)
    found: list[tuple[str, str]] = []
    for server in fleet.daemons:
        folder = root / "servers" / server
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(APPS):
            stack = f"bench{number}"
            (folder / f"{stack}.env").write_text(
                f"TYPE=bench\nSTACK_NAME={stack}\nSECRET_TOKEN_VERSION=v1\n"
            )
            found.append((server, stack))
    with ThreadPoolExecutor(SERVERS) as threads:
        list(threads.map(lambda one: deploy(fleet, one[0], one[1]), found))
    return found


def rotated(run: Run) -> None:
    """Refuse to time a rotation that failed."""
    if run.status != "done":
        raise SystemExit(f"the rotation ended {run.status}: {run.errors}")


def by_hand(apps: list[tuple[str, str]], version: str, to: str, parallel: int) -> None:
    """Do the three docker commands for each app, so many apps at once."""
    lines = "".join(f"{server} {stack} {version} {to}\n" for server, stack in apps)
    command = ["xargs", "-P", str(parallel), "-L", "1", "bash", "-c", BY_HAND, "by-hand"]
    subprocess.run(command, input=lines, text=True, check=True)


class Waiting:
    """Adds up the seconds that this thread and its workers wait for the engine.

    `cpu` are those of them that they compute, as in sending requests and reading replies.
    """

    def __init__(self) -> None:
        self.seconds = self.cpu = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what happens inside; for plans of one stack, where waits do not overlap."""
        call, read, wait, rest = (
            TRANSPORT.call, observe.read_at_once, StepContext.wait, Lookout._rest,
        )  # fmt: skip

        def timed(work: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **named: Any) -> Any:
                started, computed = time.perf_counter(), time.thread_time()
                try:
                    return work(*args, **named)
                finally:
                    self.seconds += time.perf_counter() - started
                    self.cpu += time.thread_time() - computed

            return run

        TRANSPORT.call = timed(call)  # type: ignore[method-assign]
        observe.read_at_once = lookout.read_at_once = timed(read)
        StepContext.wait, Lookout._rest = timed(wait), timed(rest)  # type: ignore[method-assign]
        try:
            yield
        finally:
            TRANSPORT.call = call  # type: ignore[method-assign]
            observe.read_at_once = lookout.read_at_once = read
            StepContext.wait, Lookout._rest = wait, rest  # type: ignore[method-assign]


class Apps:
    """The 40 apps, each at a version that whoever rotates it next counts up."""

    def __init__(self, fleet: DockerdFleet) -> None:
        self._apps = prepare(fleet)
        self._fleet, self._version = opskit.Fleet.from_abra(), 1

    def by_opskit(self, parallel: int) -> None:
        """Plan and apply, so many apps at once."""
        names = [(server, stack, "token") for server, stack in self._apps]
        rotated(self._fleet.plan_rotate(names).apply(max_parallel=parallel))
        self._version += 1

    def by_script(self, parallel: int) -> None:
        """Run the script, so many apps at once."""
        by_hand(self._apps, f"v{self._version}", f"v{self._version + 1}", parallel)
        self._version += 1


def many() -> None:
    """Rotate 40 apps at once, opskit and the script in turn, and print the ratio of each pair."""
    with DockerdFleet(SERVERS) as fleet:
        os.environ.update(fleet.env)
        apps = Apps(fleet)
        rows: dict[str, list[float]] = {"opskit, 40 at once": [], "docker CLI, 40 at once": []}
        cpu: list[float] = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            rows["opskit, 40 at once"].append(timed(lambda: apps.by_opskit(40)))
            cpu.append((time.process_time() - begun) / (SERVERS * APPS))
            rows["docker CLI, 40 at once"].append(timed(lambda: apps.by_script(40)))
        report("rotate 40 apps on 8 real swarms, in turn", rows, "docker CLI, 40 at once")
        pairs = [mine / its for mine, its in zip(*rows.values(), strict=True)]
        print(f"  pair by pair: {', '.join(f'{one:.2f}' for one in pairs)}")
        report("opskit's own CPU, one of the 40", {"CPU": cpu}, "CPU")


def several() -> None:
    """Rotate them at once, a few at a time and one after another, each once."""
    with DockerdFleet(SERVERS) as fleet:
        os.environ.update(fleet.env)
        apps = Apps(fleet)
        rows = {
            "opskit, 8 at once (default)": [timed(lambda: apps.by_opskit(8))],
            "opskit, one after another": [timed(lambda: apps.by_opskit(1))],
            "docker CLI, one after another": [timed(lambda: apps.by_script(1))],
            "docker CLI, 8 at once": [timed(lambda: apps.by_script(8))],
        }
        report("rotate 40 apps on 8 real swarms", rows, "opskit, 8 at once (default)")


def alone() -> None:
    """Rotate one app again and again, and print opskit's own share."""
    with DockerdFleet(1) as fleet:
        os.environ.update(fleet.env)
        server, stack = prepare(fleet)[0]
        known = opskit.Fleet.from_abra()
        rows: dict[str, list[float]] = {"own": [], "its CPU": [], "CPU in all": []}
        quick = opskit.Options(stable=0.2)
        for _ in range(ALONE):
            waiting, begun = Waiting(), time.process_time()
            with waiting.counted():
                seconds = timed(
                    lambda: rotated(known.plan_rotate([(server, stack, "token")], quick).apply())
                )
            rows["own"].append(seconds - waiting.seconds)
            rows["CPU in all"].append(time.process_time() - begun)
            rows["its CPU"].append(rows["CPU in all"][-1] - waiting.cpu)
        report("opskit's own share of one rotation, plan and apply", rows, "own")


PARTS = {"many": many, "several": several, "alone": alone}


def main() -> None:
    """Run the parts that are named, or all."""
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    sys.exit(main())
