"""What a swarm is to hold, as data: the same for embedded and for real engines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from opskit.demo.compose import Json


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
        """Give the spec with the ids of what it names.

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
