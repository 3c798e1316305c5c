"""Reading five real swarms over ssh: opskit beside the docker CLI and the docker SDK.

300 secrets on each server, 60 services in all. Every round times each contender once, in turn,
so that a slow moment of the machine falls on all of them.
"""

from __future__ import annotations

import os
import sys

import docker
from others import docker_in_parallel, docker_one_after_another
from peers import fill, report, timed

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.swarm.transport import TRANSPORT

SERVERS, SECRETS, SERVICES, ROUNDS = 5, 300, 12, 5


def sdk(fleet: DockerdFleet) -> None:
    """Read the same lists with a plain docker SDK script.

    Over the unix sockets: the SDK's own ssh ignores the port of an ssh alias, so the peer gets
    the faster transport.
    """
    for name in fleet.daemons:
        client = docker.DockerClient(base_url=fleet.host(name))
        for listing in (client.secrets, client.services, client.nodes, client.configs):
            listing.list()
        client.networks.list()
        client.close()


def main() -> None:
    """Run the rounds and print the table."""
    with DockerdFleet(SERVERS, ssh=True) as fleet:
        os.environ.update(fleet.env)
        fill(fleet, SECRETS, SERVICES)
        names = list(fleet.daemons)
        reader = opskit.Fleet.from_abra()
        found = reader.snapshot()
        assert len(found.secrets) == SERVERS * SECRETS, len(found.secrets)
        rows: dict[str, list[float]] = {}

        def add(name: str, seconds: float) -> None:
            rows.setdefault(name, []).append(seconds)

        for _ in range(ROUNDS):
            TRANSPORT.close()
            add("opskit cold", timed(reader.snapshot))
            add("opskit warm", min(timed(reader.snapshot) for _ in range(3)))
            add("opskit warm, all views built", timed(lambda: views(reader)))
            add("docker, one after another", timed(lambda: docker_one_after_another(names)))
            add("docker, xargs -P 8", timed(lambda: docker_in_parallel(names)))
            add("docker SDK over unix sockets", timed(lambda: sdk(fleet)))
        report("read 5 swarms over ssh, 1,500 secrets, 60 services", rows, "opskit warm")
        report("the same against a cold start", rows, "opskit cold")


def views(reader: opskit.Fleet) -> None:
    """Take a snapshot and build every view of it."""
    snapshot = reader.snapshot()
    for name in ("servers", "apps", "secrets", "services", "tasks", "nodes", "configs"):
        getattr(snapshot, name)


if __name__ == "__main__":
    sys.exit(main())
