"""What compose files say of secrets, configs and networks, and of the services that use them.

Read at the level of YAML nodes, where a port stays ``25:25``, ``no`` stays ``no``, an unknown tag
does no harm, and every fault has its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from opskit.abra.files import about_conflicts, conflicts, decode, lock_of, printable
from opskit.abra.interpolate import refused_by_docker, requires
from opskit.abra.stackformat import PACE, Fault, is_node, mistyped, unsupported

TRUE = frozenset({"true", "yes", "on", "y"})
"""What docker takes for yes, in whatever case."""
_MERGE_TAG = "tag:yaml.org,2002:merge"
_NULL_TAG = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A top-level secret, config, network or volume.

    `name` is its name in the swarm before interpolation, empty when the file gives none;
    `external` says that it is made outside the deploy, as abra's secrets are, and `external_by`
    is the text that says so where it has variables: see `opskit.abra.deployed`. `file` is what a
    secret or config is made from, as the compose file names it.
    """

    name: str
    external: bool
    file: str = ""
    external_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a service publishes, before interpolation: a short text, or a mapping's parts."""

    short: str = ""
    published: str = ""
    protocol: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service: keys of the secrets, configs and networks it uses, its ``deploy.labels``.

    `files` are the names that a secret has in its containers, by the secret's key; it may be
    there more than once. `config_files` are the same of configs. `variables` are the names in its
    ``environment``, `passed` those of them without a value, which docker takes from its own
    environment. `image`, `ports` and `env_files` stand as in the file. `pace` is what it says of
    the time it takes to come up, by path such as ``deploy.update_config.delay``, before
    interpolation.
    """

    secrets: tuple[str, ...] = ()
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    configs: tuple[str, ...] = ()
    config_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: frozenset[str] = frozenset()
    pace: Mapping[str, str] = field(default_factory=dict[str, str])
    passed: frozenset[str] = frozenset()
    image: str = ""
    networks: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    env_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """One compose file, or several merged; `version` is the format it claims.

    `required` are the texts that docker refuses for some values of their variables. `unsupported`
    lists what Compose knows and ``docker stack deploy`` refuses; `includes` says that there is more
    in other files, which are not read.
    """

    version: str = ""
    secrets: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    configs: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    networks: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    volumes: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    services: Mapping[str, Service] = field(default_factory=dict[str, Service])
    required: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    unsupported: tuple[Fault, ...] = ()
    includes: bool = False
    valid: bool = True

    @property
    def sections(self) -> Mapping[str, Mapping[str, Entry]]:
        """The top-level entries, by what the file calls each section."""
        return {
            "secrets": self.secrets,
            "configs": self.configs,
            "networks": self.networks,
            "volumes": self.volumes,
        }


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
    files = list(files)

    def entries(of: Callable[[Compose], Mapping[str, Entry]]) -> dict[str, Entry]:
        return {key: entry for one in files for key, entry in of(one).items()}

    services: dict[str, Service] = {}
    for name, service in (named for one in files for named in one.services.items()):
        services[name] = _both(services[name], service) if name in services else service
    return Compose(
        version=next((one.version for one in files if one.version), ""),
        secrets=entries(lambda one: one.secrets),
        configs=entries(lambda one: one.configs),
        networks=entries(lambda one: one.networks),
        volumes=entries(lambda one: one.volumes),
        services=services,
        required=tuple(dict.fromkeys(text for one in files for text in one.required)),
        faults=tuple(fault for one in files for fault in one.faults),
        unsupported=tuple(fault for one in files for fault in one.unsupported),
        includes=any(one.includes for one in files),
    )


def _both(base: Service, later: Service) -> Service:
    """Return a service that two compose files have."""
    return Service(
        secrets=tuple(dict.fromkeys(base.secrets + later.secrets)),
        files=_merged(base.files, later.files),
        configs=tuple(dict.fromkeys(base.configs + later.configs)),
        config_files=_merged(base.config_files, later.config_files),
        labels={**base.labels, **later.labels},
        variables=base.variables | later.variables,
        pace={**base.pace, **later.pace},
        passed=(base.passed - later.variables) | later.passed,
        image=later.image or base.image,
        networks=tuple(dict.fromkeys(base.networks + later.networks)),
        ports=tuple(dict.fromkeys(base.ports + later.ports)),
        env_files=tuple(dict.fromkeys(base.env_files + later.env_files)),
    )


def _merged(
    base: Mapping[str, tuple[str, ...]], later: Mapping[str, tuple[str, ...]]
) -> Mapping[str, tuple[str, ...]]:
    """Return the files of a service that two compose files have.

    Where there are some to begin with, docker keeps the last of each key: also of a key that the
    later compose file does not name.
    """
    if not base:
        return later
    return {key: files[-1:] for key, files in {**base, **later}.items()}


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
            networks=self._entries(top.get("networks"), "networks"),
            volumes=self._entries(top.get("volumes"), "volumes"),
            services=services,
            required=tuple(required),
            faults=tuple(sorted(self._faults, key=lambda fault: fault.line)),
            unsupported=(*unsupported(top, self._pairs_of), *mistyped(top, self._pairs_of)),
            includes="include" in top,
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
            if is_node(node, ScalarNode):
                text = str(node.value)
                if why := refused_by_docker(text):
                    self._fault(node, why)
                elif requires(text):
                    required.append(text)
            elif is_node(node, MappingNode):
                # Keys are taken as they are.
                waiting += [value for _, value in reversed(node.value)]
            elif is_node(node, SequenceNode):
                waiting += reversed(node.value)
        return required

    def _entries(self, node: Any, what: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key, value in self._mapping(node, what).items():
            pairs = self._mapping(value, f"{what}.{key}")
            external = pairs.get("external")
            older, said = self._pairs_of(external).get("name"), _text(external)
            entries[key] = Entry(
                name=_text(pairs.get("name")) or _text(older),
                external=is_node(external, MappingNode) or said.lower() in TRUE,
                file=_text(pairs.get("file")),
                external_by=said if "$" in said else "",
            )
        return entries

    def _service(self, node: Any, name: str) -> Service:
        pairs = self._mapping(node, f"services.{name}")
        deploy = self._mapping(pairs.get("deploy"), f"services.{name}.deploy")
        return Service(
            secrets=self._sources(pairs.get("secrets"), f"services.{name}.secrets"),
            files=self._files(pairs.get("secrets")),
            configs=self._sources(pairs.get("configs"), f"services.{name}.configs"),
            config_files=self._files(pairs.get("configs")),
            labels=self._labels(deploy.get("labels"), f"services.{name}.deploy.labels"),
            variables=frozenset(
                self._labels(pairs.get("environment"), f"services.{name}.environment")
            ),
            pace=self._pace(pairs),
            passed=self._passed(pairs.get("environment")),
            image=_text(pairs.get("image")),
            networks=tuple(self._labels(pairs.get("networks"), f"services.{name}.networks")),
            ports=self._ports(pairs.get("ports"), f"services.{name}.ports"),
            env_files=self._texts(pairs.get("env_file"), f"services.{name}.env_file"),
        )

    def _pace(self, service: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in PACE:
            *folders, last = path.split(".")
            pairs = service
            for folder in folders:
                pairs = self._pairs_of(pairs.get(folder))
            if not _absent(pairs.get(last)):
                found[path] = _text(pairs[last])
        return found

    def _passed(self, node: Any) -> frozenset[str]:
        """Return the names that stand in an ``environment`` without a value."""
        if is_node(node, MappingNode):
            return frozenset(key for key, value in self._pairs_of(node).items() if _absent(value))
        items: list[Any] = node.value if is_node(node, SequenceNode) else []
        return frozenset(text for text in map(_text, items) if text and "=" not in text)

    def _ports(self, node: Any, what: str) -> tuple[Port, ...]:
        found: list[Port] = []
        for item in self._items(node, what):
            long = self._pairs_of(item)
            parts = {key: _text(long.get(key)) for key in ("published", "protocol", "mode")}
            found.append(Port(**parts) if long else Port(short=_text(item)))
        return tuple(found)

    def _texts(self, node: Any, what: str) -> tuple[str, ...]:
        if _text(node):
            return (_text(node),)
        return tuple(text for item in self._items(node, what) if (text := _text(item)))

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
        for item in node.value if is_node(node, SequenceNode) else ():
            long = self._pairs_of(item)
            source = _text(long.get("source")) if long else _text(item)
            file = _text(long.get("target")) or source
            found[source] = (*found.get(source, ()), file)
        return found

    def _labels(self, node: Any, what: str) -> dict[str, str]:
        if is_node(node, MappingNode):
            return {key: _text(value) for key, value in self._pairs_of(node).items()}
        split = (_text(item).partition("=") for item in self._items(node, what))
        return {key: value for key, _, value in split}

    def _items(self, node: Any, what: str) -> list[Any]:
        if is_node(node, SequenceNode):
            return node.value
        if not _absent(node):
            self._fault(node, f"{what} is no list.")
        return []

    def _mapping(self, node: Any, what: str) -> dict[str, Any]:
        if not is_node(node, MappingNode) and not _absent(node):
            self._fault(node, f"{what} is no mapping.")
        return self._pairs_of(node)

    def _pairs_of(self, node: Any) -> dict[str, Any]:
        """Return a mapping's pairs with ``<<`` merged in; its own keys win."""
        if not is_node(node, MappingNode):
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
                for source in value.value if is_node(value, SequenceNode) else [value]:
                    inherited = {**self._pairs_of(source), **inherited}
                continue
            if is_node(key, ScalarNode):
                name = _text(key)
                if name in own:
                    self._fault(key, f"the key {name!r} stands here twice.")
                own[name] = value
        merged = self._pairs[id(node)] = {**inherited, **own}
        return merged

    def _fault(self, node: Any, what: str) -> None:
        self._faults.append(Fault(line=int(node.start_mark.line) + 1, what=what))


def _absent(node: Any) -> bool:
    return node is None or (is_node(node, ScalarNode) and node.tag == _NULL_TAG)


def _text(node: Any) -> str:
    if not is_node(node, ScalarNode) or _absent(node):
        return ""
    return printable(str(node.value))
