"""Values that ``docker stack deploy`` refuses for their type, of what opskit reads.

It asks for a boolean where people write ``'true'`` or YAML 1.1's ``yes``, and for a number where a
recipe has a text. What holds a variable is turned into the type when it is filled in, so that is
not judged here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from opskit.abra.stackformat import Fault

_TAG = "tag:yaml.org,2002:"
_REMEDY = "Mend it in the recipe, or pin a version that deploys."
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
    """Find the values that docker refuses; see `opskit.abra.stackformat.unsupported`."""
    for section in ("secrets", "configs", "networks", "volumes"):
        for name, node in pairs_of(top.get(section)).items():
            entry = pairs_of(node)
            if "external" in entry and not _is_boolean(entry["external"]):
                yield _fault(entry["external"], f"{section}.{name}.external", "be true or false")
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
            yield _fault(value, f"{where}.{path}", "be a whole number without quotes")
    for path, value in found(_DURATIONS):
        if not _is_text(value) or not _holds(_DURATION, value):
            yield _fault(value, f"{where}.{path}", "be a duration, such as 10s")
    for path, value in found(tuple(_WORDS)):
        if not _is_text(value) or not ("$" in value.value or value.value in _WORDS[path]):
            yield _fault(value, f"{where}.{path}", f"be {' or '.join(filter(None, _WORDS[path]))}")
    ports: Any = pairs_of(node).get("ports")
    for port in ports.value if _is(ports, SequenceNode) else ():
        yield from _of_port(f"{where}.ports", port, pairs_of)


def _of_port(where: str, port: Any, pairs_of: _PairsOf) -> Iterator[Fault]:
    if not _is(port, MappingNode):
        if not _is_port(port):
            yield _fault(port, where, "have a port, such as 8080:80/tcp")
        return
    for key, value in pairs_of(port).items():
        if key in ("target", "published") and not _is_count(value):
            yield _fault(value, f"{where}.{key}", "be a whole number without quotes")
        elif key not in _PORT_KEYS and not key.startswith("x-"):
            yield _fault(value, where, f"have no {key}")


def _is(node: Any, kind: type[Any]) -> bool:
    # Not isinstance at the call, as ruamel's nodes are untyped.
    return isinstance(node, kind)


def _is_boolean(node: Any) -> bool:
    return _is(node, MappingNode) or _is_variable(node) or str(node.tag) == f"{_TAG}bool"


def _is_count(node: Any) -> bool:
    if _is_variable(node):
        return True
    if not _is(node, ScalarNode) or node.tag not in (f"{_TAG}int", f"{_TAG}float"):
        return False
    try:
        number = float(str(node.value))
        return number.is_integer() and number >= 0
    except ValueError:
        # 0x10 and the like.
        return node.tag == f"{_TAG}int" and not str(node.value).startswith("-")


def _is_text(node: Any) -> bool:
    return _is(node, ScalarNode) and str(node.tag) == f"{_TAG}str"


def _is_variable(node: Any) -> bool:
    return _is(node, ScalarNode) and "$" in str(node.value)


def _holds(pattern: re.Pattern[str], node: Any) -> bool:
    text = str(node.value)
    return "$" in text or pattern.fullmatch(text) is not None


def _is_port(node: Any) -> bool:
    if _is_variable(node):
        return True
    if not _is(node, ScalarNode) or node.tag not in (f"{_TAG}int", f"{_TAG}str"):
        return False
    found = _PORT.fullmatch(str(node.value))
    return found is not None and all(int(one or 1) <= _LAST_PORT for one in found.groups())


def _fault(node: Any, where: str, must: str) -> Fault:
    return Fault(
        line=int(node.start_mark.line) + 1,
        what=f"{where} must {must}: docker stack deploy refuses the file.",
        remedy=_REMEDY,
    )
