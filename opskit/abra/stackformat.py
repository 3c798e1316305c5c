"""What ``docker stack deploy`` takes of a compose file; the rest it refuses, or never knew.

Its format stopped at 3.13 while Compose went on, so recipes that run under ``docker compose`` may
hold what no stack can be deployed with. The names are those of the schema that the docker CLI
judges by, in https://github.com/docker/cli/tree/master/cli/compose/schema/data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opskit.abra.model import ProblemKind

_TOP = frozenset({"version", "services", "networks", "volumes", "secrets", "configs"})
_SERVICE = frozenset({
    "build", "cap_add", "cap_drop", "cgroup_parent", "cgroupns_mode", "command", "configs",
    "container_name", "credential_spec", "depends_on", "deploy", "devices", "dns", "dns_search",
    "domainname", "entrypoint", "env_file", "environment", "expose", "external_links",
    "extra_hosts", "healthcheck", "hostname", "image", "init", "ipc", "isolation", "labels",
    "links", "logging", "mac_address", "network_mode", "networks", "oom_score_adj", "pid", "ports",
    "privileged", "read_only", "restart", "secrets", "security_opt", "shm_size", "stdin_open",
    "stop_grace_period", "stop_signal", "sysctls", "tmpfs", "tty", "ulimits", "user",
    "userns_mode", "volumes", "working_dir",
})  # fmt: skip
_STORED = frozenset({"name", "file", "external", "labels", "template_driver"})
_NETWORK = frozenset({
    "name", "driver", "driver_opts", "ipam", "external", "internal", "attachable", "labels",
})  # fmt: skip
_ENTRIES: Mapping[str, frozenset[str]] = {
    "services": _SERVICE,
    "secrets": _STORED | {"driver", "driver_opts"},
    "configs": _STORED,
    "networks": _NETWORK,
    "volumes": frozenset({"name", "driver", "driver_opts", "external", "labels"}),
}
_OWN = "x-"

_REMEDIES: Mapping[tuple[str, str], str] = {
    ("", "include"): "Name its files in COMPOSE_FILE of the .env instead.",
    ("services", "extends"): "Write the service out, or merge the common part by a YAML anchor.",
    ("secrets", "environment"): "Make it external, with a name, and insert its value: "
    "opskit secret insert",
    ("configs", "environment"): "Write it to a file of the recipe, and name that with file:.",
    ("configs", "content"): "Write it to a file of the recipe, and name that with file:.",
}
_REMEDY = "Take it out of the recipe, or pin a version without it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a compose file, and the line, 0 for all of it."""

    line: int
    what: str
    remedy: str = ""
    kind: ProblemKind = "amiss"


def unsupported(
    top: Mapping[str, Any], pairs_of: Callable[[Any], Mapping[str, Any]]
) -> Iterator[Fault]:
    """Find what a stack cannot have.

    Parameters
    ----------
    top
        The keys and nodes of a compose file.
    pairs_of
        Returns the keys and nodes of a node, none where it is no mapping.
    """
    for key in _foreign(top, _TOP):
        yield _fault(top[key], "", key, key)
    for section, known in _ENTRIES.items():
        for name, node in pairs_of(top.get(section)).items():
            entry = pairs_of(node)
            for key in _foreign(entry, known):
                yield _fault(entry[key], section, key, f"{section}.{name}.{key}")


def _foreign(found: Mapping[str, Any], known: frozenset[str]) -> Iterator[str]:
    return (key for key in found if key not in known and not key.startswith(_OWN))


def _fault(node: Any, section: str, key: str, where: str) -> Fault:
    return Fault(
        line=int(node.start_mark.line) + 1,
        what=f"{where} is for docker compose only: docker stack deploy refuses the file.",
        remedy=_REMEDIES.get((section, key), _REMEDY),
    )
