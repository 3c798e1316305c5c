"""What docker makes of a deployment's compose files, asked of docker itself before it deploys."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from opskit.abra.deployment import Deployment
from opskit.steps.dockercli import docker_environment
from opskit.swarm.lists import pieces

_SECONDS = 30.0


_NO_NEW_TASKS = frozenset({"secrets", "ports"})
"""Parts of a service that Swarm changes without new tasks, or that a plan tells of elsewhere."""
_NEW_TASKS_OF_DEPLOY = ("placement", "resources", "restart_policy")


class _Service(msgspec.Struct):
    environment: dict[str, str | None] = {}
    entrypoint: list[str] = []
    command: list[str] = []


class _Config(msgspec.Struct):
    services: dict[str, dict[str, Any]] = {}


class StackConfig:
    """The services as docker reads them; it holds values, so it is let go at once and never shown.

    It is empty where docker does not say: it is an old one, or refuses the files, which it then
    says itself when it deploys.
    """

    __slots__ = ("_services",)

    def __init__(self, services: Mapping[str, Mapping[str, Any]]) -> None:
        self._services = services

    def __bool__(self) -> bool:
        return bool(self._services)

    def pieces(self) -> Mapping[str, Mapping[str, str]]:
        """Return those of each service, as `opskit.swarm.lists.pieces` has them of what runs."""
        read = {name: msgspec.convert(one, _Service) for name, one in self._services.items()}
        return {
            name: pieces(
                env=[
                    key if value is None else f"{key}={value}"
                    for key, value in one.environment.items()
                ],
                entrypoint=one.entrypoint,
                command=one.command,
            )
            for name, one in read.items()
        }

    def differing(self, other: StackConfig) -> Mapping[str, tuple[str, ...]]:
        """Return the services that get new tasks by what `other` has otherwise, and which parts."""
        found: dict[str, tuple[str, ...]] = {}
        for name in self._services.keys() & other._services.keys():
            mine, theirs = _of_tasks(self._services[name]), _of_tasks(other._services[name])
            parts = sorted(
                key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)
            )
            if parts:
                found[name] = tuple(parts)
        return found


def _of_tasks(service: Mapping[str, Any]) -> Mapping[str, object]:
    deploy = cast("Mapping[str, object]", service.get("deploy") or {})
    own = {key: part for key, part in service.items() if key not in {"deploy", *_NO_NEW_TASKS}}
    return own | {key: deploy[key] for key in _NEW_TASKS_OF_DEPLOY if key in deploy}


def read_by_docker(found: Deployment, server: str) -> StackConfig:
    """Return what docker makes of the files that are to be deployed."""
    docker = shutil.which("docker")
    if docker is None:
        return StackConfig({})
    files = [word for path in found.files for word in ("--compose-file", path)]
    try:
        ended = subprocess.run(
            [docker, "stack", "config", *files],
            env=docker_environment(found, server),
            cwd=found.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        if ended.returncode:
            return StackConfig({})
        load = cast("Callable[[bytes], object]", YAML(typ="safe", pure=True).load)
        config = StackConfig(msgspec.convert(load(ended.stdout), _Config).services)
        config.pieces()  # what cannot be understood is not known
    except (OSError, subprocess.TimeoutExpired, YAMLError, msgspec.ValidationError):
        return StackConfig({})
    return config
