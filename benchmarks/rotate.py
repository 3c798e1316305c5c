"""Rotating 40 apps on 8 real swarms: opskit in parallel, one after another, and the docker CLI.

Both wait until the new tasks have run for five seconds, as each does by default. The second
table is opskit's own share of one rotation: the wall time less what was spent waiting for the
engine's answers and for tasks to settle.
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

SERVERS, APPS, ALONE = 8, 5, 10
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

    def one(app: tuple[str, str]) -> None:
        subprocess.run(["bash", "-c", BY_HAND, "by-hand", *app, version, to], check=True)

    with ThreadPoolExecutor(parallel) as threads:
        list(threads.map(one, apps))


class Waiting:
    """Adds up the seconds that this thread and its workers wait for the engine."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what happens inside; for plans of one stack, where waits do not overlap."""
        call, read, wait, rest = (
            TRANSPORT.call, observe.read_at_once, StepContext.wait, Lookout._rest,
        )  # fmt: skip

        def timed(work: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **named: Any) -> Any:
                started = time.perf_counter()
                try:
                    return work(*args, **named)
                finally:
                    self.seconds += time.perf_counter() - started

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


def main() -> None:
    """Run everything once, in turn, and print the tables."""
    with DockerdFleet(SERVERS) as fleet:
        os.environ.update(fleet.env)
        apps = prepare(fleet)
        names = [(server, f"{stack}", "token") for server, stack in apps]
        known = opskit.Fleet.from_abra()
        rows: dict[str, list[float]] = {}

        def rotate(parallel: int) -> None:
            rotated(known.plan_rotate(names).apply(max_parallel=parallel))

        rows["opskit, 40 at once"] = [timed(lambda: rotate(40))]
        rows["opskit, 8 at once (default)"] = [timed(lambda: rotate(8))]
        rows["opskit, one after another"] = [timed(lambda: rotate(1))]
        rows["docker CLI, one after another"] = [timed(lambda: by_hand(apps, "v4", "v5", 1))]
        rows["docker CLI, 8 at once"] = [timed(lambda: by_hand(apps, "v5", "v6", 8))]
        rows["docker CLI, 40 at once"] = [timed(lambda: by_hand(apps, "v6", "v7", 40))]
        report("rotate 40 apps on 8 real swarms", rows, "opskit, 8 at once (default)")
    with DockerdFleet(1) as fleet:
        os.environ.update(fleet.env)
        server, stack = prepare(fleet)[0]
        known = opskit.Fleet.from_abra()
        own: list[float] = []
        quick = opskit.Options(stable=0.2)
        for _ in range(ALONE):
            waiting = Waiting()
            with waiting.counted():
                seconds = timed(
                    lambda: rotated(known.plan_rotate([(server, stack, "token")], quick).apply())
                )
            own.append(seconds - waiting.seconds)
        report("opskit's own share of one rotation, plan and apply", {"own": own}, "own")


if __name__ == "__main__":
    sys.exit(main())
