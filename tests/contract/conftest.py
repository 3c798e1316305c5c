"""One engine at a time, embedded or real, behind the same few helpers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from opskit.demo.dockerd import IMAGE, DockerdFleet
from opskit.swarm.connection import Reply
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import Transport
from tests.waiting import LIMIT


@dataclass(slots=True)
class Bench:
    """An engine under test, spoken to raw and through opskit."""

    context: Context
    transport: Transport
    prefix: str

    @property
    def engine(self) -> Engine:
        """The adapter opskit itself uses."""
        return Engine(self.context, seconds=LIMIT, transport=self.transport)

    def raw(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Make one bare exchange."""
        return self.transport.request(
            self.context, method, path, body=body, deadline=Deadline(LIMIT, "test")
        )

    def name(self, short: str) -> str:
        """Make a name no other test uses."""
        return f"{self.prefix}_{short}"

    def service(self, short: str, *secrets_: str, **more: Any) -> dict[str, Any]:
        """Make the spec of a small service that mounts secrets by name."""
        ids = {s.spec.name: s.id for s in self.engine.secrets()}
        references = [
            {
                "SecretID": ids.get(name, name),
                "SecretName": name,
                "File": {"Name": f"file{number}", "UID": "0", "GID": "0", "Mode": 0o444},
            }
            for number, name in enumerate(secrets_)
        ]
        container = {"Image": IMAGE, "Args": ["sleep", "1000"], "Secrets": references,
                     "StopGracePeriod": 0}  # fmt: skip
        container |= more.pop("container", {})
        spec = {
            "Name": self.name(short),
            "Labels": {},
            "TaskTemplate": {
                "ContainerSpec": container,
                "RestartPolicy": {"Condition": "any", "Delay": 100_000_000},
            },
            "Mode": {"Replicated": {"Replicas": 1}},
            "UpdateConfig": {"Parallelism": 1, "Monitor": 500_000_000},
        }
        return spec | more


@pytest.fixture(params=["embedded", pytest.param("dockerd", marks=pytest.mark.swarm)])
def bench(request: pytest.FixtureRequest, embedded_host: str) -> Iterator[Bench]:
    """The engine under test: first the embedded one, then a real one."""
    if request.param == "embedded":
        host = embedded_host
    else:
        fleet: DockerdFleet = request.getfixturevalue("real_fleet")
        host = fleet.host("srv1")
    transport = Transport()
    made = Bench(Context(server="test", host=host), transport, f"t{secrets.token_hex(4)}")
    yield made
    clean(made)
    transport.close()


def clean(bench: Bench) -> None:
    """Remove what a test left in its engine."""
    engine = bench.engine
    for service in engine.services():
        if service.spec.name.startswith(bench.prefix):
            bench.raw("DELETE", f"/services/{service.id}")
    for secret in engine.secrets():
        if secret.spec.name.startswith(bench.prefix):
            engine.remove_secret(secret.id)
    for config in engine.configs():
        if config.spec.name.startswith(bench.prefix):
            engine.remove_config(config.id)
