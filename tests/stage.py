"""A small app on one engine, ready to have its secrets changed."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.demo.dockerd import IMAGE
from opskit.demo.engine.life import FAILS_WITH
from opskit.demo.fleet import environment, write_contexts
from opskit.errors import StaleIndexError
from opskit.secrets.generate import Policy
from opskit.steps import verify
from opskit.steps.base import StepContext
from opskit.steps.tasks import Probe, ask
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from opskit.swarm.model import Service
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT, Transport
from tests.waiting import LIMIT, eventually

SERVER = "one.example"
APP = "shop.example"
ENV = (
    b"# the shop\r\nTYPE=shop\r\nSTACK_NAME=%s\r\nSECRET_TOKEN_VERSION='v1'  # length=40\r\n"
    b"SECRET_KEY_VERSION=v1\r\nPASSWORD=not-to-be-touched"
)
COMPOSE = """
services:
  app: {image: x, secrets: [token, key]}
  worker: {image: x, secrets: [token]}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
  key: {external: true, name: "${STACK_NAME}_key_${SECRET_KEY_VERSION}"}
"""
# Only the waiting for steadiness is quick: a busy machine may take a minute over a service.
QUICK = opskit.Options(stable=0.2, timeout=LIMIT)
FAILING = opskit.Options(stable=3, timeout=LIMIT)
"""For what fails: longer than that takes to be known, on a busy machine too."""
BAD = Policy(generator="command", command=("printf", "a-bad-value-for-tests"))


@dataclass(slots=True)
class Stage:
    """One server, one app of two services and two secrets."""

    root: Path
    host: str
    transport: Transport
    stack: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}")

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to see this stage."""
        return environment(self.root)

    @property
    def env_file(self) -> Path:
        """The app's ``.env``."""
        return self.root / "abra" / "servers" / SERVER / f"{APP}.env"

    @property
    def engine(self) -> Engine:
        """The engine, for looking."""
        context = Context(server=SERVER, host=self.host)
        return Engine(context, seconds=LIMIT, transport=self.transport)

    def set_up(self, **more: Any) -> None:
        """Write the files, create the secrets, deploy the services and wait for them."""
        self.write_files()
        self.create("token_v1", "key_v1")
        self.deploy("app", ["token", "key"], **more)
        self.deploy("worker", ["token"])
        self.wait_until_converged()

    def create(self, *names: str) -> None:
        """Create secrets of the stack with good values."""
        for name in names:
            self.engine.create_secret(f"{self.stack}_{name}", b"good " + name.encode(), {})

    def write_files(self) -> None:
        """Write the ``.env`` and the recipe."""
        self.env_file.parent.mkdir(parents=True)
        self.env_file.write_bytes(ENV % self.stack.encode())
        recipe = self.root / "abra" / "recipes" / "shop"
        recipe.mkdir(parents=True)
        (recipe / "compose.yml").write_text(COMPOSE)
        write_contexts(self.root / "docker", {SERVER: self.host})

    def point_at(self, host: str) -> None:
        """Let opskit reach the same engine by another address."""
        write_contexts(self.root / "docker", {SERVER: host})

    def deploy(self, service: str, uses: list[str], **more: Any) -> None:
        """Create a service that ends when a mounted secret is not a good one."""
        ids = {s.spec.name: s.id for s in self.engine.secrets()}
        names = [f"{self.stack}_{name}_v1" for name in uses]
        container = {
            "Image": IMAGE,
            "Command": ["sh", "-c", "grep -q bad-value /run/secrets/* && exit 1; exec sleep 1000"],
            "StopGracePeriod": 0,
            "Secrets": [
                {
                    "SecretID": ids[name],
                    "SecretName": name,
                    "File": {"Name": f"file-{n}", "UID": "7", "GID": "8", "Mode": 0o400},
                }
                for n, name in enumerate(names)
            ],
        }
        spec: dict[str, Any] = {
            "Name": f"{self.stack}_{service}",
            "Labels": {
                "com.docker.stack.namespace": self.stack,
                # The embedded engine runs no shell: this is how it knows the bad value.
                FAILS_WITH: f"{self.stack}_token_v2" if more.pop("fails", False) else "",
            },
            "TaskTemplate": {
                "ContainerSpec": container,
                "RestartPolicy": {"Condition": "any", "Delay": 200_000_000},
            },
            "Mode": {"Replicated": {"Replicas": 1}},
            "UpdateConfig": {"Parallelism": 1, "Monitor": 300_000_000},
        }
        self.post("/services/create", spec | more)

    def post(self, path: str, body: Mapping[str, Any]) -> None:
        """Send something to the engine behind opskit's back."""
        reply = self.transport.request(
            Context(server=SERVER, host=self.host),
            "POST",
            path,
            body=json.dumps(body).encode(),
            deadline=self.deadline(),
        )
        assert reply.status < 300, reply.body

    @staticmethod
    def deadline() -> Deadline:
        """Give the deadline of one request."""
        return Deadline(LIMIT)

    def touch(self, service: str) -> None:
        """Change a service as a colleague might."""
        raw = self.engine.raw_service(f"{self.stack}_{service}")
        raw.spec["Labels"]["touched"] = "yes"
        self.put(service, raw.spec)

    def put(self, service: str, spec: dict[str, Any]) -> None:
        """Replace a service's spec, however often its version index moves meanwhile."""
        while True:
            now = self.engine.raw_service(f"{self.stack}_{service}").service
            with contextlib.suppress(StaleIndexError):
                self.engine.update_service(now.id, now.version.index, spec)
                return

    def is_converged(self) -> bool:
        """Tell whether every service has its tasks."""
        return all(map(has_its_tasks, self.services()))

    def services(self) -> list[Service]:
        """Give the stack's services."""
        return [s for s in self.engine.services() if s.spec.name.startswith(self.stack)]

    def state(self) -> dict[str, Any]:
        """Give everything that should be the same after the same story."""
        return {
            "env": self.env_file.read_bytes(),
            "secrets": sorted(
                s.spec.name for s in self.engine.secrets() if s.spec.name.startswith(self.stack)
            ),
            "uses": {
                s.spec.name.removeprefix(self.stack): sorted(
                    (r.secret_name, r.file.name, r.file.uid, r.file.gid, r.file.mode)
                    for r in s.spec.task_template.container_spec.secrets
                )
                for s in self.services()
            },
            "locks": [c.spec.name for c in self.engine.configs() if self.stack in c.spec.name],
        }

    def wait_until_converged(self) -> None:
        """Wait until every service has its tasks."""
        eventually(
            lambda: [service for service in self.services() if not has_its_tasks(service)],
            "every service to have its tasks",
            lambda lacking: not lacking,
        )

    def clean(self) -> None:
        """Remove what the test left in the engine."""
        for service in self.services():
            self.transport.request(
                Context(server=SERVER, host=self.host),
                "DELETE",
                f"/services/{service.id}",
                deadline=self.deadline(),
            )
        for secret in self.engine.secrets():
            if secret.spec.name.startswith(self.stack):
                self.engine.remove_secret(secret.id)
        for config in self.engine.configs():
            if self.stack in config.spec.name:
                self.engine.remove_config(config.id)


def has_its_tasks(service: Service) -> bool:
    """Tell whether as many of a service's tasks run as are wanted."""
    status = service.service_status
    return status is not None and status.running_tasks == status.desired_tasks


def hurry_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a probe be asked for two seconds only, though services may take as long as they need."""

    def hurried(ctx: StepContext, probe: Probe, until: float) -> None:
        ask(ctx, probe, min(until, time.monotonic() + 2))

    monkeypatch.setattr(verify, "ask", hurried)


def staged(root: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Give a stage that this process sees, and take it down afterwards."""
    transport = Transport()
    made = Stage(root, host, transport)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    yield made
    made.clean()
    transport.close()
    TRANSPORT.close()
