"""The sample's swarms: what they hold after years of deploys, rotations and half-done work.

It is written down as data, the same for embedded and for real engines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from opskit.abra.env import parse_env
from opskit.abra.names import compose_files, stack_name
from opskit.abra.recipe import exported
from opskit.demo.sample import APPS, SERVERS, UNDECLARED, UNREACHABLE, WORKER, SampleApp, Versions
from opskit.demo.stack import STACK_LABEL, Json, Stack, convert
from opskit.demo.tree import RECIPES, env_path, env_text


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSeed:
    """A secret or config; its age is in days, which a real engine cannot be given."""

    name: str
    data: bytes = field(repr=False)
    age: float
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSeed:
    """An overlay network."""

    name: str
    attachable: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSeed:
    """A service: its Engine API spec, in which the ids of secrets and configs are still empty."""

    spec: Json
    age: float

    def resolved(self, secrets: Mapping[str, str], configs: Mapping[str, str]) -> Json:
        """Return the spec with the ids of what it names.

        Parameters
        ----------
        secrets, configs
            Name → id.
        """
        template: Json = self.spec["TaskTemplate"]
        container: Json = dict(template["ContainerSpec"])
        for noun, ids in (("Secret", secrets), ("Config", configs)):
            if f"{noun}s" in container:
                container[f"{noun}s"] = [
                    reference | {f"{noun}ID": ids[reference[f"{noun}Name"]]}
                    for reference in container[f"{noun}s"]
                ]
        return self.spec | {"TaskTemplate": template | {"ContainerSpec": container}}

    @property
    def image(self) -> str:
        """What its tasks run."""
        return self.spec["TaskTemplate"]["ContainerSpec"]["Image"]

    @property
    def volumes(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Names and labels of the volumes its tasks make."""
        for mount in self.spec["TaskTemplate"]["ContainerSpec"].get("Mounts", []):
            yield mount["Source"], mount["VolumeOptions"]["Labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmSeed:
    """Everything in one server's swarm."""

    secrets: tuple[StoredSeed, ...] = ()
    configs: tuple[StoredSeed, ...] = ()
    networks: tuple[NetworkSeed, ...] = ()
    services: tuple[ServiceSeed, ...] = ()


_PROXY = NetworkSeed(name="proxy", attachable=True)
"""What traefik and the apps behind it share; operators make it by hand."""

_LAST_DEPLOY = 40.0


def sample_seeds() -> dict[str, SwarmSeed]:
    """Return the swarm of every server of the sample that can be read, by server."""
    return {server: _swarm(server) for server in SERVERS if server not in {UNREACHABLE, WORKER}}


def sample_stack(app: SampleApp) -> Stack:
    """Return an app's stack as ``docker stack deploy`` would deploy it now."""
    env = parse_env(env_text(app).encode(), env_path(app))
    stack, recipe = stack_name(app.name, env.values), RECIPES / app.recipe
    script = recipe / "abra.sh"
    exports = exported(script.read_text()) if script.is_file() else {}
    variables = {**env.values, "STACK_NAME": stack, **exports}
    return convert([recipe / name for name in compose_files(env.values)], stack, variables)


def _swarm(server: str) -> SwarmSeed:
    secrets: dict[str, StoredSeed] = {}
    configs: list[StoredSeed] = []
    networks = [_PROXY]
    services: list[ServiceSeed] = []
    for app in APPS:
        if app.server != server:
            continue
        stack = sample_stack(app)
        history = _History(app, stack)
        for name, age in history.stored.items():
            # Apps may share a secret, or by mistake a whole stack.
            secrets.setdefault(name, _secret(name, age))
        if not app.deployed:
            continue
        age = min(app.age, _LAST_DEPLOY)
        labels = {STACK_LABEL: stack.name}
        configs += [
            StoredSeed(name=name, data=file.read_bytes(), age=age, labels=labels)
            for name, file in stack.configs.items()
        ]
        networks += [NetworkSeed(name=name, labels=labels) for name in stack.networks]
        services += [ServiceSeed(spec=history.deployed(spec), age=age) for spec in stack.services]
    for one in UNDECLARED:
        if one.server == server:
            secrets[one.name] = _secret(one.name, one.age, one.labels)
    return SwarmSeed(
        secrets=tuple(secrets.values()),
        configs=tuple(configs),
        networks=tuple(networks),
        services=tuple(services),
    )


def _secret(name: str, age: float, labels: Mapping[str, str] | None = None) -> StoredSeed:
    # Never of use to anyone, and it says so.
    data = f"the demo fleet's {name}".encode()
    return StoredSeed(name=name, data=data, age=age, labels=labels or {})


class _History:
    """What became of an app's stack: versions stored beside those declared, and what runs.

    `stored` gives the age in days of each secret, by its name in the swarm.
    """

    def __init__(self, app: SampleApp, stack: Stack) -> None:
        self._app, self._stack = app, stack
        self.stored: dict[str, float] = {}
        self._used: dict[str, str] = {}
        for spec in stack.services:
            for reference in _references(spec):
                self._remember(reference["SecretName"])

    def deployed(self, spec: Json) -> Json:
        """Return a service's spec as the last deploy with abra left it."""
        spec = self._older(spec)
        template: Json = spec["TaskTemplate"]
        container: Json = template["ContainerSpec"]
        used = [r | {"SecretName": self._used[r["SecretName"]]} for r in _references(spec)]
        there = {"Secrets": [r for r in used if r["SecretName"] in self.stored]} if used else {}
        labels: dict[str, str] = spec["Labels"]
        if spec["Name"] == f"{self._stack.name}_app":
            labels = labels | {
                f"coop-cloud.{self._stack.name}.recipe": self._app.recipe,
                f"coop-cloud.{self._stack.name}.chaos": str(self._app.chaos).lower(),
            }
        return spec | {
            "Labels": labels,
            "TaskTemplate": template | {"ContainerSpec": container | there},
        }

    def _remember(self, declared: str) -> None:
        prefix, versions = self._versions(declared)
        stored = versions.stored
        if stored is None:
            stored = {versions.declared: self._app.age}
        self.stored |= {prefix + version: age for version, age in stored.items()}
        self._used[declared] = prefix + (versions.used or versions.declared)

    def _versions(self, declared: str) -> tuple[str, Versions]:
        """Return what stands before the version of a secret's name, and its versions."""
        for secret, versions in self._app.secrets.items():
            prefix = f"{self._stack.name}_{secret}_"
            if declared == prefix + versions.declared:
                return prefix, versions
        prefix, underscore, version = declared.rpartition("_")
        return prefix + underscore, Versions(declared=version)

    def _older(self, spec: Json) -> Json:
        """Return a spec as the recipe's version that runs would have it."""
        if not self._app.running:
            return spec
        on_disk = self._stack.version
        # A recipe's version ends with that of what it packages, the tag of its image.
        (_, _, old), (_, _, new) = on_disk.partition("+"), self._app.running.partition("+")
        text = json.dumps(spec).replace(on_disk, self._app.running)
        return json.loads(text.replace(f':{old}"', f':{new}"'))


def _references(spec: Json) -> list[Json]:
    return spec["TaskTemplate"]["ContainerSpec"].get("Secrets", [])
