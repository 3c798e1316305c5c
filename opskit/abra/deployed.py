"""What a deploy would make of an app's compose files: services, networks, ports, and from what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from opskit.abra.compose import Compose, Entry, Port
from opskit.abra.interpolate import interpolate, variables_in
from opskit.abra.names import take_apart
from opskit.errors import InputError

_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_NAME_ALONE = re.compile(r"^[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*$", re.MULTILINE)
_PORT = re.compile(r"(?:.*:)?(?P<first>\d+)(?:-(?P<last>\d+))?:\d+(?:-\d+)?(?:/(?P<protocol>\w+))?")
_MANY = 65_536
_ALWAYS_THERE = frozenset({"host", "none", "bridge"})


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
