"""Embedded swarms with something in them: the sample's, and large synthetic ones.

A demo fleet runs them in a process of their own::

    python -m opskit.demo.swarms ROOT MANY SECRETS LATENCY_MS
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opskit.demo.engine import Swarm
from opskit.demo.engine.serve import serve_until_orphaned
from opskit.demo.fleet import write_contexts, write_sample
from opskit.demo.history import SwarmSeed, sample_seeds
from opskit.demo.sample import WORKER

_SERVER_AGE = timedelta(days=700)
_FORTNIGHT = timedelta(days=14)
_APPS = 5
_OLDEST_DAYS = 400


def sample_swarms() -> dict[str, Swarm]:
    """Make the swarm of every server of the sample that answers, by server."""
    swarms = {server: _filled(server, seed) for server, seed in sample_seeds().items()}
    swarms[WORKER] = Swarm(_host_name(WORKER), "worker")
    return swarms


def many_swarms(root: Path, servers: int, secrets: int) -> dict[str, Swarm]:
    """Make a large synthetic fleet, and write the files that declare it.

    Parameters
    ----------
    root
        The abra folder to write.
    servers
        How many, each with five apps.
    secrets
        How many on each server.
    """
    now = datetime.now(UTC)
    (root / "recipes").mkdir(parents=True)
    swarms: dict[str, Swarm] = {}
    for number in range(servers):
        server = f"s{number:04d}.example"
        folder = root / "servers" / server
        folder.mkdir(parents=True)
        swarm = swarms[server] = Swarm(_host_name(server))
        domains = [f"app{app}.{server}" for app in range(_APPS)]
        for domain in domains:
            (folder / f"{domain}.env").write_text(
                f"TYPE=none\nDOMAIN={domain}\nSECRET_KEY0_VERSION=v1\nSECRET_KEY1_VERSION=v1\n"
            )
        for secret in range(secrets):
            key, app = divmod(secret, _APPS)
            stack = domains[app].replace(".", "_")
            created_at = now - timedelta(days=secret % _OLDEST_DAYS)
            swarm.secrets.seed(f"{stack}_key{key}_v1", created_at=created_at)
    return swarms


def _host_name(server: str) -> str:
    return server.partition(".")[0]


def anchor(now: datetime) -> datetime:
    """Return the moment from which the sample's ages are counted: each fortnight has one.

    Every kernel makes a fleet of its own. Counted from when it does, all dates would differ
    between two looks, and hide what somebody has changed.
    """
    return now - (now - datetime.fromtimestamp(0, UTC)) % _FORTNIGHT


def _filled(server: str, seed: SwarmSeed) -> Swarm:
    begun = anchor(datetime.now(UTC))

    def ago(days: float) -> datetime:
        return begun - timedelta(days=days)

    swarm = Swarm(_host_name(server))
    swarm.created_at = begun - _SERVER_AGE
    secrets, configs = (
        {
            one.name: table.seed(one.name, one.data, labels=one.labels, created_at=ago(one.age)).id
            for one in seeds
        }
        for table, seeds in ((swarm.secrets, seed.secrets), (swarm.configs, seed.configs))
    )
    for network in seed.networks:
        swarm.add_network(network.name, labels=network.labels)
    for service in seed.services:
        for name, labels in service.volumes:
            swarm.add_volume(name, labels=labels)
        swarm.add_service(service.resolved(secrets, configs), created_at=ago(service.age))
    return swarm


def main(root: Path, many: int, secrets: int, latency_ms: float) -> None:
    """Serve a fleet from `root` until the parent is gone, then remove `root`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Every demo fleet has the same ids, so that tables and screenshots can be compared.
    random.seed(0)
    try:
        if many:
            (root / "s").mkdir()
            swarms = many_swarms(root / "abra", many, secrets)
            hosts = {name: f"unix://{root / 's' / name.partition('.')[0]}" for name in swarms}
            write_contexts(root / "docker", hosts)
        else:
            hosts = write_sample(root)
            swarms = sample_swarms()
        sockets = {
            Path(hosts[name].removeprefix("unix://")): swarm for name, swarm in swarms.items()
        }
        asyncio.run(serve_until_orphaned(sockets, latency=latency_ms / 1000))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
