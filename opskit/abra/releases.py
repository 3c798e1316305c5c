"""Releases of a recipe: its git tags, and those that abra's catalogue lists, in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import msgspec

from opskit.abra.files import exists
from opskit.decoding import decode_json
from opskit.errors import InputError
from opskit.files.bounded import read_regular

_RELEASE = re.compile(r"v?(?P<recipe>[0-9]+(?:\.[0-9]+){0,2})(?:\+(?P<app>.+))?")
_DIGITS = re.compile(r"([0-9]+)")

_Key = tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]


class _Listed(msgspec.Struct):
    versions: list[dict[str, msgspec.Raw]] | None = None


def order(version: str) -> _Key | None:
    """Return what releases are sorted by: the recipe's own version, then the app's.

    ``None`` for what is no release, such as a commit or a branch.
    """
    match = _RELEASE.fullmatch(version)
    if match is None:
        return None
    recipe = [int(part) for part in match["recipe"].split(".")]
    parts = _DIGITS.split(match["app"] or "")
    app = tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts)
    return (*recipe, 0, 0)[:3], app


def in_order(versions: Iterable[str]) -> tuple[str, ...]:
    """Sort releases, the oldest first, and leave out what is none."""
    keys = {version: key for version in versions if (key := order(version)) is not None}
    return tuple(sorted(keys, key=lambda version: keys[version]))


def highest(tags: Iterable[str]) -> str:
    """Return the tag that names a commit best: its latest release, else the last by name.

    >>> from opskit.abra.releases import highest
    >>> highest(["9.0.0+1", "stable", "10.0.0+1"]), highest(["a", "b"]), highest([])
    ('10.0.0+1', 'b', '')
    """
    names = sorted(tags)
    return (in_order(names) or names or [""])[-1]


def newer(releases: Iterable[str], than: str) -> list[str] | None:
    """List the releases after one, the oldest first; ``None`` when it is no release itself."""
    floor = order(than)
    if floor is None:
        return None
    return [one for one in in_order(releases) if (key := order(one)) is not None and key > floor]


def releases(root: Path, recipe: str, tags: Iterable[str]) -> tuple[str, ...]:
    """List a recipe's releases, the oldest first, from its tags and from the catalogue."""
    return in_order({*tags, *_catalogue(root).get(recipe, ())})


_CATALOGUE_LIMIT = 32 * 1024**2
"""abra's catalogue has some megabytes."""


def _catalogue(root: Path) -> dict[str, frozenset[str]]:
    path = root / "catalogue" / "recipes.json"
    if not exists(path):
        return {}
    try:
        return _parsed(read_regular(path, _CATALOGUE_LIMIT))
    except (InputError, OSError, msgspec.MsgspecError):
        # It only adds to what the tags say.
        return {}


@lru_cache(maxsize=4)
def _parsed(content: bytes) -> dict[str, frozenset[str]]:
    found = decode_json(content, dict[str, _Listed])
    return {
        name: frozenset(version for one in listed.versions or () for version in one)
        for name, listed in found.items()
    }
