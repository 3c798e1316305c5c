"""The sample on real engines: its files, and swarms filled through the Engine API."""

from __future__ import annotations

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import msgspec

from opskit.demo.dockerd import DockerdFleet, layer
from opskit.demo.fleet import write_contexts
from opskit.demo.history import SwarmSeed, sample_seeds
from opskit.demo.tree import write_abra
from opskit.errors import OpskitError
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from opskit.swarm.refusal import refusal
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import Transport

STAND_IN = "local/stand-in:1"
"""What runs in place of every image of the sample, under its name."""

_READ_AND_WAIT = "cat /run/secrets/* >/dev/null 2>&1; trap exit TERM; sleep 1000000 & wait"
_CALL_S = 60.0
_START_S = 300.0
_POLL_S = 0.25


def load_sample(fleet: DockerdFleet) -> None:
    """Put the sample on a fleet of real engines, and wait until all its services run.

    Each engine becomes one server of the sample that can be read, in the sample's order; engines
    beyond those stay as they are. All secrets are as old as the fleet.

    Parameters
    ----------
    fleet
        A started fleet with nothing in it; its abra folder is replaced.
    """
    daemons = list(fleet.daemons)
    seeds = dict(zip(sample_seeds(), daemons, strict=False))
    shutil.rmtree(fleet.root / "abra")
    write_abra(fleet.root / "abra", seeds)
    for daemon in daemons[len(seeds) :]:
        (fleet.root / "abra" / "servers" / daemon).mkdir()
    write_contexts(
        fleet.root / "docker",
        {
            server: f"ssh://{daemon}" if fleet.sshds else fleet.host(daemon)
            for server, daemon in seeds.items()
        },
    )
    packed = layer()

    def load(server: str) -> None:
        loader = _Loader(Context(server=server, host=fleet.host(seeds[server])))
        loader.load(sample_seeds()[server], packed)

    with ThreadPoolExecutor(len(seeds)) as threads:
        list(threads.map(load, seeds))


def _images() -> list[str]:
    """Name the images of the whole sample: an app may be deployed where none like it runs."""
    services = (service for seed in sample_seeds().values() for service in seed.services)
    return sorted({service.image for service in services})


class _Loader:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._transport = Transport()
        self._engine = Engine(context, seconds=_CALL_S, transport=self._transport)

    def load(self, seed: SwarmSeed, packed: bytes) -> None:
        try:
            self._make_images(packed)
            self._fill(seed)
            self._wait()
        finally:
            self._transport.close()

    def _make_images(self, packed: bytes) -> None:
        command = msgspec.json.encode(["sh", "-c", _READ_AND_WAIT]).decode()
        subprocess.run(
            ["docker", "-H", self._context.host, "import", "--change", f"CMD {command}", "-",
             STAND_IN],
            input=packed,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=_CALL_S,
        )  # fmt: skip
        for image in _images():
            repository, _, tag = image.rpartition(":")
            self._post(f"/images/{STAND_IN}/tag?{urlencode({'repo': repository, 'tag': tag})}")

    def _fill(self, seed: SwarmSeed) -> None:
        create_secret, create_config = self._engine.create_secret, self._engine.create_config
        secrets = {one.name: create_secret(one.name, one.data, one.labels) for one in seed.secrets}
        configs = {one.name: create_config(one.name, one.data, one.labels) for one in seed.configs}
        for network in seed.networks:
            body = {
                "Name": network.name,
                "Driver": "overlay",
                "Attachable": network.attachable,
                "Labels": dict(network.labels),
            }
            self._post("/networks/create", body)
        for service in seed.services:
            self._post("/services/create", service.resolved(secrets, configs))

    def _wait(self) -> None:
        until = time.monotonic() + _START_S
        while waiting := [service.spec.name for service in self._engine.services()
                          if service.service_status is None
                          or service.service_status.running_tasks
                          < service.service_status.desired_tasks]:  # fmt: skip
            if time.monotonic() > until:
                raise OpskitError(
                    f"{self._context.server}: after {_START_S:.0f} s these services of the sample "
                    f"do not run: {', '.join(waiting)}"
                )
            time.sleep(_POLL_S)

    def _post(self, path: str, body: dict[str, Any] | None = None) -> None:
        content = None if body is None else msgspec.json.encode(body)
        deadline = Deadline(_CALL_S, self._context.server)
        reply = self._transport.request(
            self._context, "POST", path, body=content, deadline=deadline
        )
        if reply.status >= 400:
            raise refusal(reply.status, reply.body, server=self._context.server)
