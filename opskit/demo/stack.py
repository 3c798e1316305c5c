"""What ``docker stack deploy`` makes of compose files: specs as the Engine API stores them.

Compose files are loaded, interpolated and merged as Docker does. Only what the sample's recipes
use is known here; a field of theirs that is not would be a bug, and a test deploys them with the
docker CLI and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

from opskit.abra.interpolate import interpolate

Json = dict[str, Any]


def merged(files: Iterable[Path], variables: Mapping[str, str]) -> Json:
    """Return one document for several files, later ones over earlier ones.

    Environments and deploy labels are mappings in it, however they were written.

    Parameters
    ----------
    files
        Compose files.
    variables
        What they are interpolated with.
    """
    document: Json = {}
    for file in files:
        document = _merge(document, _normal(_interpolated(_loaded(file), variables)))
    return document


@lru_cache
def _loaded(file: Path) -> Json:
    return YAML(typ="safe", pure=True).load(file.read_text())


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """Interpolate values; keys stay as they are, as with Docker."""
    if isinstance(value, str):
        return interpolate(value, variables).text
    if isinstance(value, list):
        return [_interpolated(element, variables) for element in cast("list[Any]", value)]
    if isinstance(value, dict):
        members = cast("Json", value)
        return {key: _interpolated(member, variables) for key, member in members.items()}
    return value


def _normal(document: Json) -> Json:
    for service in document["services"].values():
        service["environment"] = _mapping(service.get("environment"))
        deploy = service.setdefault("deploy", {})
        deploy["labels"] = _mapping(deploy.get("labels"))
    return document


def _mapping(pairs: Json | list[str] | None) -> Json:
    if isinstance(pairs, list):
        return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
    return pairs or {}


def _merge(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        mine, theirs = cast("Json", base), cast("Json", over)
        both = {key: _merge(mine[key], theirs[key]) for key in mine.keys() & theirs.keys()}
        return mine | theirs | both
    if isinstance(base, list) and isinstance(over, list):
        return cast("list[Any]", base) + cast("list[Any]", over)
    return over


STACK_LABEL = "com.docker.stack.namespace"
IMAGE_LABEL = "com.docker.stack.image"

_READABLE = 444


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack before it is deployed.

    Parameters
    ----------
    name
        Its name.
    services
        Service specs; secrets, configs and networks are named in them, not yet identified.
    configs
        Config name → the file its data comes from.
    networks
        Networks of the stack's own.
    """

    name: str
    services: tuple[Json, ...]
    configs: Mapping[str, Path]
    networks: tuple[str, ...]

    @property
    def version(self) -> str:
        """The version its recipe claims, in a label of the service called ``app``."""
        app = next(spec for spec in self.services if spec["Name"] == f"{self.name}_app")
        return app["Labels"][f"coop-cloud.{self.name}.version"]


def convert(files: Iterable[Path], stack: str, variables: Mapping[str, str]) -> Stack:
    """Convert compose files, later ones over earlier ones.

    Parameters
    ----------
    files
        They lie in one recipe; files they name are relative to the first one's folder.
    stack
        The stack's name.
    variables
        What the files are interpolated with.
    """
    files = list(files)
    compose = merged(files, variables)
    converter = _Converter(compose, stack)
    own = [name for name, entry in compose.get("networks", {}).items() if not _external(entry)]
    return Stack(
        name=stack,
        services=tuple(converter.service(name) for name in sorted(compose["services"])),
        configs={
            entry["name"]: files[0].parent / entry["file"]
            for entry in compose.get("configs", {}).values()
        },
        networks=tuple(f"{stack}_{name}" for name in own),
    )


def _external(entry: Json | None) -> bool:
    return bool((entry or {}).get("external"))


class _Converter:
    def __init__(self, compose: Json, stack: str) -> None:
        self._compose, self._stack = compose, stack

    def service(self, name: str) -> Json:
        body: Json = self._compose["services"][name]
        deploy: Json = body["deploy"]
        spec: Json = {
            "Name": f"{self._stack}_{name}",
            "Labels": deploy["labels"] | {IMAGE_LABEL: body["image"], STACK_LABEL: self._stack},
            "TaskTemplate": {
                "ContainerSpec": self._container(body),
                "Resources": {},
                "Placement": {},
                "Networks": [
                    {"Target": target, "Aliases": [name]} for target in self._networks(body)
                ],
                "ForceUpdate": 0,
                "Runtime": "container",
            },
            "Mode": {"Replicated": {"Replicas": deploy.get("replicas", 1)}},
            "EndpointSpec": {"Mode": "vip"},
        }
        if "restart_policy" in deploy:
            condition = deploy["restart_policy"]["condition"]
            policy = {"Condition": condition, "MaxAttempts": 0}
            spec["TaskTemplate"]["RestartPolicy"] = policy
        if "update_config" in deploy:
            spec["UpdateConfig"] = _update(deploy["update_config"])
        if "rollback_config" in deploy:
            spec["RollbackConfig"] = _update(deploy["rollback_config"])
        if "ports" in body:
            spec["EndpointSpec"]["Ports"] = [_port(port) for port in body["ports"]]
        return spec

    def _container(self, body: Json) -> Json:
        own = {STACK_LABEL: self._stack}
        found: Json = {
            "Image": body["image"],
            "Labels": own,
            "Env": sorted(f"{key}={value}" for key, value in body["environment"].items()),
            "Privileges": {"CredentialSpec": None, "SELinuxContext": None},
            "Isolation": "default",
            "Mounts": [self._mount(volume) for volume in body.get("volumes", [])],
            "Secrets": self._references("secret", body.get("secrets", [])),
            "Configs": self._references("config", body.get("configs", [])),
        }
        if "healthcheck" in body:
            found["Healthcheck"] = _healthcheck(body["healthcheck"])
        return {key: value for key, value in found.items() if value != []}

    def _networks(self, body: Json) -> list[str]:
        entries: Json = self._compose["networks"]
        names = body["networks"]
        return sorted(n if _external(entries[n]) else f"{self._stack}_{n}" for n in names)

    def _mount(self, volume: str) -> Json:
        source, _, target = volume.partition(":")
        return {
            "Type": "volume",
            "Source": f"{self._stack}_{source}",
            "Target": target,
            "VolumeOptions": {"Labels": {STACK_LABEL: self._stack}},
        }

    def _references(self, noun: str, uses: list[str | Json]) -> list[Json]:
        title = noun.title()
        entries: Json = self._compose.get(f"{noun}s", {})
        found: list[Json] = []
        for use in uses:
            long: Json = {"source": use} if isinstance(use, str) else use
            file = {
                "Name": long.get("target", long["source"]),
                "UID": long.get("uid", "0"),
                "GID": long.get("gid", "0"),
                # YAML 1.2 reads 0400 as 400; Docker's parser knows that it is octal.
                "Mode": int(str(long.get("mode", _READABLE)), 8),
            }
            name = entries[long["source"]]["name"]
            found.append({"File": file, f"{title}ID": "", f"{title}Name": name})
        return sorted(found, key=lambda reference: reference[f"{title}Name"])


def _update(config: Json) -> Json:
    return {
        "Parallelism": 1,
        "FailureAction": config.get("failure_action", "pause"),
        "MaxFailureRatio": 0,
        "Order": config["order"],
    }


def _port(port: Json) -> Json:
    return {
        "Protocol": port["protocol"],
        "TargetPort": port["target"],
        "PublishedPort": port["published"],
        "PublishMode": port["mode"],
    }


def _healthcheck(check: Json) -> Json:
    return {
        "Test": check["test"],
        "Interval": _nanoseconds(check["interval"]),
        "Timeout": _nanoseconds(check["timeout"]),
        "Retries": check["retries"],
    }


def _nanoseconds(duration: str) -> int:
    return int(duration.removesuffix("s")) * 10**9
