"""What compose files say of secrets and configs: which exist, how they are named, who uses them.

Read at the level of YAML nodes, where a port stays ``25:25``, ``no`` stays ``no``, an unknown tag
does no harm, and every fault has its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from opskit.abra.files import decode, printable
from opskit.abra.interpolate import looked_up, refused_by_docker, requires
from opskit.abra.model import ProblemKind
from opskit.abra.unread import about_conflicts, conflicts, lock_of

_TRUE = frozenset({"true", "yes", "on", "y"})
_MERGE_TAG = "tag:yaml.org,2002:merge"
_NULL_TAG = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A top-level secret or config.

    `name` is its name in the swarm before interpolation, empty when the file gives none;
    `external` says that it is made outside the deploy, as abra's secrets are.
    """

    name: str
    external: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service: keys of the secrets and configs it uses, its ``deploy.labels``.

    `files` are the names that a secret has in its containers, by the secret's key; it may be
    there more than once. `variables` are the names in its ``environment``.
    """

    secrets: tuple[str, ...] = ()
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    configs: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a compose file, and the line, 0 for all of it."""

    line: int
    what: str
    kind: ProblemKind = "amiss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """One compose file, or several merged; `version` is the format it claims.

    `required` are the texts that docker refuses for some values of their variables; `taken` are
    the variables it looks up in its environment.
    """

    version: str = ""
    secrets: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    configs: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    services: Mapping[str, Service] = field(default_factory=dict[str, Service])
    required: tuple[str, ...] = ()
    taken: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()
    valid: bool = True


@lru_cache(maxsize=1024)
def parse_compose(data: bytes) -> Compose:
    """Parse a compose file; what is wrong with it stands in its `faults`.

    Remembered by content, as apps share recipes: a changed file is another content.
    """
    if lock := lock_of(data):
        what = f"the compose file is locked by {lock.program}."
        return _invalid(Fault(line=0, what=what, kind="locked"))
    if found := conflicts(decode(data)):
        return _invalid(Fault(line=found[0][0], what=about_conflicts(found), kind="conflict"))
    try:
        # The pure parser speaks YAML 1.2, as Compose does.
        root: Any = YAML(typ="safe", pure=True).compose(data.decode("utf-8-sig"))
    except MarkedYAMLError as error:
        mark = cast("Any", error.problem_mark or error.context_mark)
        return _invalid(_no_yaml(int(mark.line) + 1 if mark else 0))
    except Exception:  # noqa: BLE001 - whatever a parser trips over concerns this file only
        return _invalid(_no_yaml(0))
    return _Reader().compose(root)


def merge(files: Iterable[Compose]) -> Compose:
    """Merge compose files, later ones over earlier ones, as ``docker stack deploy`` does.

    A top-level entry is replaced as a whole; what services use adds up.
    """
    secrets: dict[str, Entry] = {}
    configs: dict[str, Entry] = {}
    services: dict[str, Service] = {}
    faults: list[Fault] = []
    required: list[str] = []
    taken: set[str] = set()
    version = ""
    for one in files:
        version = version or one.version
        secrets |= one.secrets
        configs |= one.configs
        for name, service in one.services.items():
            base = services.get(name, Service())
            services[name] = Service(
                secrets=tuple(dict.fromkeys(base.secrets + service.secrets)),
                files={**base.files, **service.files},
                configs=tuple(dict.fromkeys(base.configs + service.configs)),
                labels={**base.labels, **service.labels},
                variables=base.variables | service.variables,
            )
        required += one.required
        taken |= one.taken
        faults += one.faults
    return Compose(
        version=version,
        secrets=secrets,
        configs=configs,
        services=services,
        required=tuple(dict.fromkeys(required)),
        taken=frozenset(taken),
        faults=tuple(faults),
    )


def _invalid(fault: Fault) -> Compose:
    return Compose(faults=(fault,), valid=False)


def _no_yaml(line: int) -> Fault:
    # The parser's own words would quote the file, which may hold more than names.
    return Fault(line=line, what="the compose file is not valid YAML.", kind="unread")


class _Reader:
    """Walks the nodes of one file."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._pairs: dict[int, dict[str, Any]] = {}
        self._taken: set[str] = set()

    def compose(self, root: Any) -> Compose:
        top = self._mapping(root, "the compose file")
        required = self._interpolated(root)
        services = {
            name: self._service(node, name)
            for name, node in self._mapping(top.get("services"), "services").items()
        }
        return Compose(
            version=_text(top.get("version")),
            secrets=self._entries(top.get("secrets"), "secrets"),
            configs=self._entries(top.get("configs"), "configs"),
            services=services,
            taken=frozenset(self._taken),
            required=tuple(required),
            faults=tuple(sorted(self._faults, key=lambda fault: fault.line)),
        )

    def _interpolated(self, root: Any) -> list[str]:
        """Report the texts docker refuses to interpolate, and return those it may refuse."""
        required: list[str] = []
        seen: set[int] = set()
        waiting: list[Any] = [root]
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if _is(node, ScalarNode):
                text = str(node.value)
                self._taken |= looked_up(text)
                if why := refused_by_docker(text):
                    self._fault(node, why)
                elif requires(text):
                    required.append(text)
            elif _is(node, MappingNode):
                # Keys are taken as they are.
                waiting += [value for _, value in reversed(node.value)]
            elif _is(node, SequenceNode):
                waiting += reversed(node.value)
        return required

    def _entries(self, node: Any, what: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key, value in self._mapping(node, what).items():
            pairs = self._mapping(value, f"{what}.{key}")
            external = pairs.get("external")
            older = self._pairs_of(external).get("name")
            entries[key] = Entry(
                name=_text(pairs.get("name")) or _text(older),
                external=_is(external, MappingNode) or _text(external).lower() in _TRUE,
            )
        return entries

    def _service(self, node: Any, name: str) -> Service:
        pairs = self._mapping(node, f"services.{name}")
        deploy = self._mapping(pairs.get("deploy"), f"services.{name}.deploy")
        return Service(
            secrets=self._sources(pairs.get("secrets"), f"services.{name}.secrets"),
            files=self._files(pairs.get("secrets")),
            configs=self._sources(pairs.get("configs"), f"services.{name}.configs"),
            labels=self._labels(deploy.get("labels"), f"services.{name}.deploy.labels"),
            variables=self._variables(pairs.get("environment"), f"services.{name}.environment"),
        )

    def _variables(self, node: Any, what: str) -> frozenset[str]:
        names = frozenset(self._labels(node, what))
        if _is(node, MappingNode):
            self._taken |= {name for name, value in self._pairs_of(node).items() if _absent(value)}
        elif _is(node, SequenceNode):
            self._taken |= names.intersection(map(_text, node.value))
        return names

    def _sources(self, node: Any, what: str) -> tuple[str, ...]:
        sources: list[str] = []
        for item in self._items(node, what):
            long = self._pairs_of(item)
            source = _text(long.get("source")) if long else _text(item)
            if source:
                sources.append(source)
            else:
                self._fault(item, f"{what} has an item without a source.")
        return tuple(dict.fromkeys(sources))

    def _files(self, node: Any) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for item in node.value if _is(node, SequenceNode) else ():
            long = self._pairs_of(item)
            source = _text(long.get("source")) if long else _text(item)
            file = _text(long.get("target")) or source
            found[source] = (*found.get(source, ()), file)
        return found

    def _labels(self, node: Any, what: str) -> dict[str, str]:
        if _is(node, MappingNode):
            return {key: _text(value) for key, value in self._pairs_of(node).items()}
        split = (_text(item).partition("=") for item in self._items(node, what))
        return {key: value for key, _, value in split}

    def _items(self, node: Any, what: str) -> list[Any]:
        if _is(node, SequenceNode):
            return node.value
        if not _absent(node):
            self._fault(node, f"{what} is no list.")
        return []

    def _mapping(self, node: Any, what: str) -> dict[str, Any]:
        if not _is(node, MappingNode) and not _absent(node):
            self._fault(node, f"{what} is no mapping.")
        return self._pairs_of(node)

    def _pairs_of(self, node: Any) -> dict[str, Any]:
        """Return a mapping's pairs with ``<<`` merged in; its own keys win."""
        if not _is(node, MappingNode):
            return {}
        known = self._pairs.get(id(node))
        if known is not None:
            return known
        # Known as empty while it is read: an anchor may be merged into itself.
        self._pairs[id(node)] = {}
        own: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        for key, value in cast("list[tuple[Any, Any]]", node.value):
            if key.tag == _MERGE_TAG:
                for source in value.value if _is(value, SequenceNode) else [value]:
                    inherited = {**self._pairs_of(source), **inherited}
                continue
            if _is(key, ScalarNode):
                name = _text(key)
                if name in own:
                    self._fault(key, f"the key {name!r} stands here twice.")
                own[name] = value
        merged = self._pairs[id(node)] = {**inherited, **own}
        return merged

    def _fault(self, node: Any, what: str) -> None:
        self._faults.append(Fault(line=int(node.start_mark.line) + 1, what=what))


def _is(node: Any, kind: type[Any]) -> bool:
    # Not isinstance at the call: ruamel's nodes are untyped, and narrowing would make them unknown.
    return isinstance(node, kind)


def _absent(node: Any) -> bool:
    return node is None or (_is(node, ScalarNode) and node.tag == _NULL_TAG)


def _text(node: Any) -> str:
    if not _is(node, ScalarNode) or _absent(node):
        return ""
    return printable(str(node.value))
