"""Recipes on disk: their folder, revision, compose files, sample and exports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opskit.abra.compose import Compose, merge, parse_compose
from opskit.abra.env import sample_modifiers
from opskit.abra.files import as_problem, decode, exists, is_folder, printable, read_bytes
from opskit.abra.model import Problem
from opskit.abra.names import recipe_folders
from opskit.abra.pinned import committed, pinned_commit
from opskit.abra.revision import SHORT, checkout
from opskit.errors import InputError

_REMEDY = "Mend the recipe, or check out a version that deploys."
_EXPORT = re.compile(
    r"""
    ^export [ \t]+ (\w+) =
    (?: "([^"$`\\]*)" | '([^']*)' | ([^\s\#;&|$`\\"'()]*) )
    [ \t]* (?: \r?$ | [;\#] )
    """,
    re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enabled:
    """The compose files an app enables, merged.

    `absent` lists those the recipe does not have, `unreadable` those it has in vain; `problems`
    says what is wrong with the files that are there.
    """

    compose: Compose
    absent: tuple[str, ...]
    unreadable: tuple[str, ...]
    problems: tuple[Problem, ...]


class Recipe:
    """A recipe's folder as it is on disk, or as a commit has it; what was read once is kept.

    Parameters
    ----------
    folder
        Below ``recipes/``.
    version
        The version that an app pins. Its files are read when it is a version of the checkout;
        otherwise it is kept as `unknown`, and the working tree is read.
    shown
        The folder that problems name, when the files of `folder` are a copy of another revision.
    """

    def __init__(self, folder: Path, version: str = "", shown: Path | None = None) -> None:
        self.folder, self._shown = folder, shown or folder
        found = checkout(folder)
        commit = pinned_commit(folder, version) if version and found else ""
        self.unknown = version if version and found and not commit else ""
        same = found is not None and found.commit == commit and not found.changed
        self._commit = "" if same else commit
        self.checkout = str(found or "")
        if self._commit:
            self.checkout = f"{version} ({commit[:SHORT]})"
        self.exports: Mapping[str, str] = exported(decode(self._quietly("abra.sh")))
        self.modifiers: Mapping[str, Mapping[str, str]] = sample_modifiers(
            self._quietly(".env.sample")
        )
        self._enabled: dict[tuple[str, ...], Enabled] = {}

    def enabled(self, names: tuple[str, ...]) -> Enabled:
        """Give the compose files of these names, merged in that order."""
        known = self._enabled.get(names)
        if known is None:
            known = self._enabled[names] = self._read(names)
        return known

    def _read(self, names: tuple[str, ...]) -> Enabled:
        read: list[Compose] = []
        absent: list[str] = []
        unreadable: list[str] = []
        problems: list[Problem] = []
        for name in names:
            path = self._shown / name
            try:
                content = self._find(name)
            except InputError as error:
                unreadable.append(name)
                problems.append(as_problem(error, path))
                continue
            if content is None:
                absent.append(name)
                continue
            compose = parse_compose(content)
            if not compose.valid:
                unreadable.append(name)
            read.append(compose)
            problems += [
                Problem(path=printable(str(path)), line=f.line, what=f.what, remedy=_REMEDY)
                for f in compose.faults
            ]
        return Enabled(
            compose=merge(read),
            absent=tuple(absent),
            unreadable=tuple(unreadable),
            problems=tuple(problems),
        )

    def _find(self, name: str) -> bytes | None:
        if self._commit:
            return committed(self.folder, self._commit, name)
        path = self.folder / name
        return read_bytes(path) if exists(path) else None

    def _quietly(self, name: str) -> bytes:
        try:
            return self._find(name) or b""
        except InputError:
            return b""


class Recipes:
    """The recipes of an abra folder, each read when first asked for."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "recipes"
        self._known: dict[tuple[str, str], Recipe | None] = {}

    def find(self, name: str, version: str = "") -> Recipe | None:
        """Find a recipe, at a pinned version if there is one; ``None`` when it is not on disk."""
        key = (name, version)
        if key not in self._known:
            folders = (self._folder / folder for folder in recipe_folders(name))
            found = next((folder for folder in folders if is_folder(folder)), None)
            self._known[key] = None if found is None else Recipe(found, version)
        return self._known[key]


def exported(script: str) -> dict[str, str]:
    """Give the plain ``export NAME=value`` lines of an ``abra.sh``, without running it.

    Only those that begin their line count, as for abra: an indented one stands in a function,
    which may set ``DOMAIN`` or the like for itself alone.
    """
    return {m[1]: m[2] or m[3] or m[4] or "" for m in _EXPORT.finditer(script)}
