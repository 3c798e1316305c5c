"""What an app's compose files say about secrets and configs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from opskit.abra.interpolate import InterpolationError, Piece, pieces
from opskit.abra.model import Problem


@dataclass(slots=True, kw_only=True)
class Compose:
    """Compose files merged: only what names and uses secrets and configs.

    `secrets` and `configs` hold the top-level entries by key, `used_secrets` and `used_configs`
    the services that use each key.
    """

    secrets: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    used_secrets: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    used_configs: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    problems: list[Problem] = field(default_factory=list[Problem])


def read_compose(files: list[Path]) -> Compose:
    """Read and merge compose files; what cannot be read is a problem, never an exception."""
    merged = Compose()
    for path in files:
        document, problem = _load(path)
        if problem is not None:
            merged.problems.append(problem)
        _merge(merged, document)
    return merged


def swarm_name(key: str, entry: Mapping[str, Any], variables: Mapping[str, str]) -> list[Piece]:
    """Give the pieces of the swarm name of a top-level entry.

    Raises
    ------
    InterpolationError
        The name cannot be interpolated.
    """
    external = entry.get("external")
    name = entry.get("name") or (_mapping(external).get("name"))
    return pieces(str(name), variables) if name else [Piece(text=key)]


def is_external(entry: Mapping[str, Any]) -> bool:
    """Tell whether the object is made outside the deploy, as abra's secrets are."""
    return bool(entry.get("external"))


def _load(path: Path) -> tuple[Mapping[str, Any], Problem | None]:
    try:
        status = path.stat()
        return _parsed(path, status.st_mtime_ns, status.st_size), None
    except OSError as error:
        what, line = f"the compose file cannot be read ({error.strerror}).", 0
    except MarkedYAMLError as error:
        mark = cast("Any", error.problem_mark or error.context_mark)
        line = int(mark.line) + 1 if mark else 0
        what = f"the compose file is not valid YAML ({error.problem or error.context})."
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        first = str(error).strip().splitlines()[:1]
        what, line = f"the compose file is not valid YAML ({first[0] if first else 'unknown'}).", 0
    remedy = "Mend the recipe, or check out a version that deploys."
    return {}, Problem(path=str(path), line=line, what=what, remedy=remedy)


@lru_cache(maxsize=2048)
def _parsed(path: Path, modified: int, size: int) -> Mapping[str, Any]:  # noqa: ARG001 (the key)
    # The pure parser speaks YAML 1.2, as Compose does; in 1.1 a port 25:25 is a number.
    parser = YAML(typ="safe", pure=True)
    parser.allow_duplicate_keys = False
    return _mapping(parser.load(path.read_bytes().decode("utf-8-sig")))


def _merge(merged: Compose, document: Mapping[str, Any]) -> None:
    for kind, into in (("secrets", merged.secrets), ("configs", merged.configs)):
        for key, entry in _mapping(document.get(kind)).items():
            into[key] = {**into.get(key, {}), **_mapping(entry)}
    for name, service in _mapping(document.get("services")).items():
        for kind, used in (("secrets", merged.used_secrets), ("configs", merged.used_configs)):
            for source in _sources(_mapping(service).get(kind)):
                users = used.setdefault(source, [])
                if name not in users:
                    users.append(name)


def _sources(references: Any) -> Iterator[str]:
    for reference in cast("list[Any]", references) if isinstance(references, list) else []:
        source = _mapping(reference).get("source") if isinstance(reference, dict) else reference
        if source:
            yield str(source)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {str(key): one for key, one in cast("dict[Any, Any]", value).items()}


_EXPORT = re.compile(
    r"^[ \t]*export[ \t]+([A-Za-z_]\w*)=(?:\"([^\"$`]*)\"|'([^']*)'|([^\s#;$`\"']*))", re.MULTILINE
)


def exported(script: str) -> dict[str, str]:
    """Give the plain ``export NAME=value`` lines of an ``abra.sh``, without running it."""
    return {m[1]: m[2] or m[3] or m[4] or "" for m in _EXPORT.finditer(script)}


__all__ = [
    "Compose",
    "InterpolationError",
    "exported",
    "is_external",
    "read_compose",
    "swarm_name",
]
