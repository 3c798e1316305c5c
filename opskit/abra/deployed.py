"""What an app's variables make of its compose files, and what a deploy would make of these.

Which entries are external; services, networks, ports and sources; how long a service may take to
come up; and what else has its name from a variable that gives a secret its version.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from opskit.abra.compose import TRUE, Compose, Entry, Port
from opskit.abra.files import printable
from opskit.abra.interpolate import interpolate, variables_in
from opskit.abra.names import take_apart
from opskit.errors import InputError
from opskit.pace import HEALTH_INTERVAL_S, HEALTH_RETRIES, Pace

_FALSE = frozenset({"false", "no", "off", "n"})
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_NAME_ALONE = re.compile(r"^[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*$", re.MULTILINE)
_PORT = re.compile(r"(?:.*:)?(?P<first>\d+)(?:-(?P<last>\d+))?:\d+(?:-\d+)?(?:/(?P<protocol>\w+))?")
_MANY = 65_536
_ALWAYS_THERE = frozenset({"host", "none", "bridge"})
_OF_THE_APP: Mapping[str, str] = {
    "STACK_NAME": "the stack", "TYPE": "the recipe", "RECIPE": "the recipe",
    "COMPOSE_FILE": "the list of compose files",
}  # fmt: skip
GRACE_S = 10.0
"""What Swarm gives a task to stop when nothing is said."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def settled(compose: Compose, variables: Mapping[str, str]) -> Compose:
    """Return compose files whose every ``external: ${VARIABLE}`` is worked out.

    What docker would refuse counts as external: nothing is made for it, and `refused` tells.
    """
    return replace(
        compose,
        secrets=_worked_out(compose.secrets, variables),
        configs=_worked_out(compose.configs, variables),
        networks=_worked_out(compose.networks, variables),
        volumes=_worked_out(compose.volumes, variables),
    )


def refused(compose: Compose, variables: Mapping[str, str]) -> list[str]:
    """Return why docker refuses these files for these values, each reason once.

    A variable that must be set is not, or an ``external`` comes to neither yes nor no.
    """
    required = (interpolate(text, variables).faults for text in compose.required)
    return list(dict.fromkeys([*chain.from_iterable(required), *_unsettled(compose, variables)]))


def _unsettled(compose: Compose, variables: Mapping[str, str]) -> Iterator[str]:
    for section, entries in compose.sections.items():
        for key, entry in entries.items():
            if entry.external_by and _said(entry, variables) not in TRUE | _FALSE:
                yield f"{section}.{key}.external comes to neither true nor false."


def _worked_out(entries: Mapping[str, Entry], variables: Mapping[str, str]) -> Mapping[str, Entry]:
    return {
        key: replace(entry, external=_said(entry, variables) not in _FALSE)
        if entry.external_by
        else entry
        for key, entry in entries.items()
    }


def _said(entry: Entry, variables: Mapping[str, str]) -> str:
    return interpolate(entry.external_by, variables).text.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A port that is published on every node, or with `mode` ``host`` on those that run a task."""

    port: int
    protocol: str
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A service as it would be: its image as the files name it, and what it uses and publishes.

    `secrets` and `configs` are swarm names.
    """

    image: str
    secrets: frozenset[str]
    configs: frozenset[str]
    ports: tuple[Published, ...] = ()


def deployed(compose: Compose, stack: str, environment: Mapping[str, str]) -> dict[str, Deployed]:
    """Return the services, by their names without the stack."""

    def names(sources: Iterable[str], entries: Mapping[str, Entry]) -> frozenset[str]:
        keys = (interpolate(source, environment).text for source in sources)
        return frozenset(
            take_apart(key, entries[key], stack, environment).full for key in keys if key in entries
        )

    return {
        name: Deployed(
            image=interpolate(service.image, environment).text,
            secrets=names(service.secrets, compose.secrets),
            configs=names(service.configs, compose.configs),
            ports=tuple(one for port in service.ports for one in _published(port, environment)),
        )
        for name, service in compose.services.items()
    }


def _published(port: Port, environment: Mapping[str, str]) -> Iterator[Published]:
    def text(raw: str) -> str:
        return interpolate(raw, environment).text.strip()

    if port.short:
        found = _PORT.fullmatch(text(port.short))
        first, last = (found["first"], found["last"]) if found else ("", "")
        protocol = (found["protocol"] if found else "") or ""
    else:
        first, last, protocol = text(port.published), "", text(port.protocol)
    # Without a number the engine chooses one that is free.
    if first.isdecimal() and int(first):
        for number in range(int(first), min(int(last or first), _MANY) + 1):
            yield Published(
                port=number,
                protocol=protocol.lower() or "tcp",
                mode=text(port.mode) or "ingress",
            )


def external_networks(compose: Compose, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the networks that services use and that no deploy makes."""
    used = (key for one in compose.services.values() for key in one.networks or ("default",))
    entries = ((key, compose.networks[key]) for key in used if key in compose.networks)
    names = (
        interpolate(entry.name, environment).text or key for key, entry in entries if entry.external
    )
    return tuple(dict.fromkeys(name for name in names if name not in _ALWAYS_THERE))


def check_sources(
    compose: Compose, folder: Path, shown: Path, environment: Mapping[str, str]
) -> list[str]:
    """Return the texts of the ``env_file`` files, and refuse when a file is not there.

    Parameters
    ----------
    compose
        The recipe's files, merged.
    folder
        What they name files from.
    shown
        The same folder in the recipe as people know it.
    environment
        What they are interpolated with.

    Raises
    ------
    InputError
        A file is missing: one that git ignores, perhaps, or that another version has.
    """
    wanted = [
        (f"the {kind} {key}", entry.file)
        for kind, entries in (("secret", compose.secrets), ("config", compose.configs))
        for key, entry in entries.items()
        if entry.file and not entry.external
    ]
    env_files = [
        (f"the environment of {name}", file)
        for name, service in compose.services.items()
        for file in service.env_files
    ]
    for what, file in wanted + env_files:
        path = Path(interpolate(file, environment).text)
        if not (folder / path).is_file():
            raise InputError(
                f"there is no such file here, and {what} is made from it.",
                path=shown / path,
                remedy="Put it there (git may ignore it, so that no clone has it), or deploy a "
                "version of the recipe that has it.",
            )
    texts = (folder / interpolate(file, environment).text for _, file in env_files)
    return [path.read_text("utf-8", errors="replace") for path in texts]


def looked_up(compose: Compose, texts: Iterable[str], env_texts: Iterable[str]) -> frozenset[str]:
    """Return the names of all variables that docker takes from its own environment.

    Parameters
    ----------
    compose
        The files, merged.
    texts
        The compose files.
    env_texts
        The files of ``env_file``, in which a name alone is looked up too.
    """
    said = (_COMMENT.sub("", text) for text in texts)
    found = {name for text in said for name in variables_in(text)}
    found |= {name for service in compose.services.values() for name in service.passed}
    return frozenset(found.union(*map(_NAME_ALONE.findall, env_texts)))


def named_with(
    keys: Collection[str], compose: Compose, stack: str, variables: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return what else these variables name, in words, by variable.

    With another version all of it would be another one: a network, a volume, another image.
    A secret of which one only gives the version is not among it: it can be renewed along.

    Examples
    --------
    With ``${V}`` the version of a secret and ``net_${V}`` the name of a network it is
    ``{"V": ("the network net",)}``.
    """
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name, what in _names(compose, keys, stack, variables) if keys else ():
        found[name][what] = None
    return {name: tuple(map(printable, each)) for name, each in found.items() if name in keys}


def _names(
    compose: Compose, keys: Collection[str], stack: str, variables: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    yield from _OF_THE_APP.items()
    for section, entries in compose.sections.items():
        for key, entry in entries.items():
            named = variables_in(entry.name)
            is_told = section == "secrets" and entry.external and set(named) & set(keys)
            if is_told and take_apart(key, entry, stack, variables).variable == named[-1]:
                # There it gives the version, wherever else it stands.
                named.pop()
            for name in (*named, *variables_in(entry.file), *variables_in(entry.external_by)):
                yield name, f"the {section.removesuffix('s')} {key}"
    for service, parts in compose.services.items():
        for source in (*parts.secrets, *parts.configs, *parts.networks, *parts.env_files):
            for name in variables_in(source):
                yield name, f"what {service} uses"
        for name in variables_in(parts.image):
            yield name, f"the image of {service}"


def pace_of(found: Mapping[str, str], variables: Mapping[str, str]) -> Pace:
    """Return the pace of a service whose fields of `PACE` a compose file gives.

    What docker would refuse counts as not given: docker says so itself.

    Examples
    --------
    >>> from opskit.abra.deployed import pace_of
    >>> said = {"deploy.replicas": "3", "deploy.update_config.delay": "2m50s"}
    >>> pace_of(said, {}).delay, pace_of(said, {}).pauses(nodes=1)
    (170.0, 510.0)
    """
    said = {path: interpolate(text, variables).text for path, text in found.items()}
    mode = said.get("deploy.mode", "")
    is_start_first = said.get("deploy.update_config.order") == "start-first"
    if mode in ("global-job", "replicated-job"):
        # No update replaces their tasks in turns.
        return Pace(
            healthy=_healthy(said), grace=seconds(said.get("stop_grace_period", ""), GRACE_S)
        )
    return Pace(
        tasks=None if mode == "global" else count(said.get("deploy.replicas", ""), 1),
        healthy=_healthy(said),
        grace=seconds(said.get("stop_grace_period", ""), GRACE_S),
        parallelism=count(said.get("deploy.update_config.parallelism", ""), 1),
        delay=seconds(said.get("deploy.update_config.delay", "")),
        monitor=seconds(said.get("deploy.update_config.monitor", "")),
        order="start-first" if is_start_first else "stop-first",
    )


def seconds(text: str, default: float = 0.0) -> float:
    """Return what a duration comes to, written as Go and Compose do.

    >>> from opskit.abra.deployed import seconds
    >>> seconds("1m30s"), seconds("250ms"), seconds("soon")
    (90.0, 0.25, 0.0)
    """
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return default
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def count(text: str, default: int) -> int:
    """Return a number of tasks."""
    return int(text) if text.isdecimal() and text.isascii() else default


def _healthy(said: Mapping[str, str]) -> float:
    if said.get("healthcheck.disable", "").lower() == "true" or "healthcheck.test" not in said:
        return 0.0
    interval = seconds(said.get("healthcheck.interval", "")) or HEALTH_INTERVAL_S
    retries = count(said.get("healthcheck.retries", ""), 0) or HEALTH_RETRIES
    return seconds(said.get("healthcheck.start_period", "")) + interval * retries
