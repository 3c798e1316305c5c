"""Recipes on disk: their folder, revision, compose files, sample and exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opskit.abra.compose import Compose, merge, parse_compose
from opskit.abra.conventions import exported, recipe_folders
from opskit.abra.env import sample_modifiers
from opskit.abra.files import as_problem, decode, exists, is_folder, printable, read_bytes
from opskit.abra.model import Problem
from opskit.abra.revision import revision
from opskit.errors import InputError

_REMEDY = "Mend the recipe, or check out a version that deploys."


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
    """A recipe's folder as it is on disk; what was read once is kept.

    Parameters
    ----------
    folder
        Below ``recipes/``.
    shown
        The folder that problems name, when the files of `folder` are a copy of another revision.
    """

    def __init__(self, folder: Path, shown: Path | None = None) -> None:
        self.folder, self._shown = folder, shown or folder
        self.exports: Mapping[str, str] = exported(_text(folder / "abra.sh"))
        self.modifiers: Mapping[str, Mapping[str, str]] = sample_modifiers(
            _bytes(folder / ".env.sample")
        )
        self.checkout = revision(folder)
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
            if not exists(self.folder / name):
                absent.append(name)
                continue
            try:
                compose = parse_compose(read_bytes(self.folder / name))
            except InputError as error:
                unreadable.append(name)
                problems.append(as_problem(error, path))
                continue
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


class Recipes:
    """The recipes of an abra folder, each read when first asked for."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "recipes"
        self._known: dict[str, Recipe | None] = {}

    def find(self, name: str) -> Recipe | None:
        """Find a recipe; ``None`` when it is not on disk."""
        if name not in self._known:
            folders = (self._folder / folder for folder in recipe_folders(name))
            found = next((folder for folder in folders if is_folder(folder)), None)
            self._known[name] = None if found is None else Recipe(found)
        return self._known[name]


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except InputError:
        return b""


def _text(path: Path) -> str:
    return decode(_bytes(path))
