"""Compose files of the sample's recipes: loaded, interpolated and merged as Docker does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

from opskit.abra.interpolate import interpolate

Json = dict[str, Any]


def merged(files: Iterable[Path], variables: Mapping[str, str]) -> Json:
    """Give one document for several files, later ones over earlier ones.

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
