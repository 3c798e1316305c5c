"""What docker makes of a deployment's compose files, asked of docker itself before it deploys."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import cast

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from opskit.abra.deployment import Deployment
from opskit.steps.deploy import docker_environment
from opskit.swarm.lists import pieces

_SECONDS = 30.0


class _Service(msgspec.Struct):
    environment: dict[str, str | None] = {}
    entrypoint: list[str] = []
    command: list[str] = []


class _Config(msgspec.Struct):
    services: dict[str, _Service] = {}


def read_by_docker(found: Deployment, server: str) -> Mapping[str, Mapping[str, str]]:
    """Return the pieces of each service, as `opskit.swarm.lists.pieces` has those of what runs.

    Nothing where docker does not say: it is an old one, or refuses the files, which it then says
    itself when it deploys. Its output holds values, and is let go at once.
    """
    docker = shutil.which("docker")
    if docker is None:
        return {}
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
            return {}
        load = cast("Callable[[bytes], object]", YAML(typ="safe", pure=True).load)
        config = msgspec.convert(load(ended.stdout), _Config)
    except (OSError, subprocess.TimeoutExpired, YAMLError, msgspec.ValidationError):
        return {}
    return {
        name: pieces(
            env=[
                key if value is None else f"{key}={value}" for key, value in one.environment.items()
            ],
            entrypoint=one.entrypoint,
            command=one.command,
        )
        for name, one in config.services.items()
    }
