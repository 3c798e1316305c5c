"""What ``docker stack deploy`` takes of a compose file; the rest it refuses, or never knew.

Its format stopped at 3.13 while Compose went on, so recipes that run under ``docker compose`` may
hold what no stack can be deployed with. The names are those of the schema that the docker CLI
judges by, in https://github.com/docker/cli/tree/master/cli/compose/schema/data.

It also refuses values for their type: it asks for a boolean where people write ``'true'`` or YAML
1.1's ``yes``, and for a number where a recipe has a text. What holds a variable is turned into the
type when it is filled in, so that is not judged here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

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
PACE = (
    "deploy.mode", "deploy.replicas", "stop_grace_period",
    *(f"deploy.update_config.{key}" for key in ("parallelism", "delay", "monitor", "order")),
    *(f"healthcheck.{key}" for key in ("test", "disable", "interval", "retries", "start_period")),
)  # fmt: skip
"""What is read of the time that a service takes to come up, by path."""

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


_TAG = "tag:yaml.org,2002:"
_MEND = "Mend it in the recipe, or pin a version that deploys."
_PACES = ("deploy.update_config", "deploy.rollback_config")
_COUNTS = (
    "deploy.replicas", "deploy.restart_policy.max_attempts", "healthcheck.retries",
    *(f"{path}.parallelism" for path in _PACES),
)  # fmt: skip
_DURATIONS = (
    "stop_grace_period", "deploy.restart_policy.delay", "deploy.restart_policy.window",
    "healthcheck.interval", "healthcheck.timeout", "healthcheck.start_period",
    *(f"{path}.{key}" for path in _PACES for key in ("delay", "monitor")),
)  # fmt: skip
_WORDS: Mapping[str, tuple[str, ...]] = {
    # The schema takes any text here, and what deploys knows these.
    "deploy.mode": ("replicated", "global", "replicated-job", "global-job", ""),
    **{f"{path}.order": ("start-first", "stop-first") for path in _PACES},
}
_PORT_KEYS = ("target", "published", "protocol", "mode")
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_PORT = re.compile(
    r"""
    (?: (?: \d+\.[\d.]+ | \[ [0-9A-Fa-f:.]+ \] ) : )?
    (?: ([0-9]{1,5})? (?: -([0-9]{1,5}) )? : )?
    ([0-9]{1,5}) (?: -([0-9]{1,5}) )? (?: / (?: tcp|udp|sctp ) )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LAST_PORT = 65_535

_PairsOf = Callable[[Any], Mapping[str, Any]]


def mistyped(top: Mapping[str, Any], pairs_of: _PairsOf) -> Iterator[Fault]:
    """Find the values that docker refuses; see `unsupported`."""
    for section in ("secrets", "configs", "networks", "volumes"):
        for name, node in pairs_of(top.get(section)).items():
            entry = pairs_of(node)
            if "external" in entry and not _is_boolean(entry["external"]):
                yield _mistyped(entry["external"], f"{section}.{name}.external", "be true or false")
    for name, node in pairs_of(top.get("services")).items():
        yield from _of_service(f"services.{name}", node, pairs_of)


def _of_service(where: str, node: Any, pairs_of: _PairsOf) -> Iterator[Fault]:
    def found(paths: Iterator[str] | tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for path in paths:
            *folders, last = path.split(".")
            pairs = pairs_of(node)
            for folder in folders:
                pairs = pairs_of(pairs.get(folder))
            if last in pairs:
                yield path, pairs[last]

    for path, value in found(_COUNTS):
        if not _is_count(value):
            yield _mistyped(value, f"{where}.{path}", "be a whole number without quotes")
    for path, value in found(_DURATIONS):
        if not _is_text(value) or not _holds(_DURATION, value):
            yield _mistyped(value, f"{where}.{path}", "be a duration, such as 10s")
    for path, value in found(tuple(_WORDS)):
        if not _is_text(value) or not ("$" in value.value or value.value in _WORDS[path]):
            yield _mistyped(
                value, f"{where}.{path}", f"be {' or '.join(filter(None, _WORDS[path]))}"
            )
    ports: Any = pairs_of(node).get("ports")
    for port in ports.value if is_node(ports, SequenceNode) else ():
        yield from _of_port(f"{where}.ports", port, pairs_of)


def _of_port(where: str, port: Any, pairs_of: _PairsOf) -> Iterator[Fault]:
    if not is_node(port, MappingNode):
        if not _is_port(port):
            yield _mistyped(port, where, "have a port, such as 8080:80/tcp")
        return
    for key, value in pairs_of(port).items():
        if key in ("target", "published") and not _is_count(value):
            yield _mistyped(value, f"{where}.{key}", "be a whole number without quotes")
        elif key not in _PORT_KEYS and not key.startswith("x-"):
            yield _mistyped(value, where, f"have no {key}")


def is_node(node: Any, kind: type[Any]) -> bool:
    """Return whether a node is of a kind.

    Not isinstance at the call: ruamel's nodes are untyped, and narrowing would make them unknown.
    """
    return isinstance(node, kind)


def _is_boolean(node: Any) -> bool:
    return is_node(node, MappingNode) or _is_variable(node) or str(node.tag) == f"{_TAG}bool"


def _is_count(node: Any) -> bool:
    if _is_variable(node):
        return True
    if not is_node(node, ScalarNode) or node.tag not in (f"{_TAG}int", f"{_TAG}float"):
        return False
    try:
        number = float(str(node.value))
        return number.is_integer() and number >= 0
    except ValueError:
        # 0x10 and the like.
        return node.tag == f"{_TAG}int" and not str(node.value).startswith("-")


def _is_text(node: Any) -> bool:
    return is_node(node, ScalarNode) and str(node.tag) == f"{_TAG}str"


def _is_variable(node: Any) -> bool:
    return is_node(node, ScalarNode) and "$" in str(node.value)


def _holds(pattern: re.Pattern[str], node: Any) -> bool:
    text = str(node.value)
    return "$" in text or pattern.fullmatch(text) is not None


def _is_port(node: Any) -> bool:
    if _is_variable(node):
        return True
    if not is_node(node, ScalarNode) or node.tag not in (f"{_TAG}int", f"{_TAG}str"):
        return False
    found = _PORT.fullmatch(str(node.value))
    return found is not None and all(int(one or 1) <= _LAST_PORT for one in found.groups())


def _mistyped(node: Any, where: str, must: str) -> Fault:
    return Fault(
        line=int(node.start_mark.line) + 1,
        what=f"{where} must {must}: docker stack deploy refuses the file.",
        remedy=_MEND,
    )
