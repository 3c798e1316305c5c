"""Recipes on disk: their folder, revision, compose files, sample and exports."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from opskit.abra.compose import Compose, merge, parse_compose
from opskit.abra.env import SampleLine, parse_env, sample_keys, sample_lines
from opskit.abra.files import as_problem, decode, exists, is_folder, printable, read_bytes
from opskit.abra.model import Problem
from opskit.abra.names import recipe_folders
from opskit.abra.repository import SHORT, Repository, open_repository
from opskit.errors import InputError, MissingToolError, OpskitError

SAMPLE = ".env.sample"
_SCRIPT = "abra.sh"
_READ_ANYWAY = (SAMPLE, _SCRIPT)
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
    says what is wrong with the files that are there, `unsupported` what of them no stack can have.
    """

    compose: Compose
    absent: tuple[str, ...]
    unreadable: tuple[str, ...]
    problems: tuple[Problem, ...]
    unsupported: tuple[Problem, ...] = ()


class Recipe:
    """A recipe as its folder has it, or as a commit does; what was read once is kept.

    Parameters
    ----------
    folder
        Below ``recipes/``.
    repository
        What git says about the folder, or why it says nothing.
    version
        The version that an app pins. Its files are read when the checkout has it; otherwise it is
        kept as `unknown`, and the working tree is read.
    """

    def __init__(
        self, folder: Path, repository: Repository | OpskitError | None, version: str = ""
    ) -> None:
        self.folder = folder
        self.fault = repository if isinstance(repository, OpskitError) else None
        self.repository = repository if isinstance(repository, Repository) else None
        self.there = self.repository.checkout if self.repository else None
        self.commit = self._commit(version)
        self.unknown = version if (self.there or self.fault) and not self.commit else ""
        self.revision = self._revision(version)
        self._enabled: dict[tuple[str, ...], Enabled] = {}
        self._committed: dict[str, bytes | None] = {}

    def _commit(self, version: str) -> str:
        if not version or self.repository is None or self.there is None:
            return ""
        try:
            return self.repository.commit_of(version)
        except (InputError, MissingToolError) as error:
            self.fault = error
            return ""

    def _revision(self, version: str) -> str:
        """Return what is read, such as ``1.2.0+3.4.1 (0a1b2c3d)``; empty without a checkout."""
        there = self.there
        if self.commit and (there is None or there.changed or there.commit != self.commit):
            return f"{version} ({self.commit[:SHORT]})"
        return str(there or "")

    @property
    def problem(self) -> Problem | None:
        """Why git says nothing about the folder, if it does not."""
        if isinstance(self.fault, InputError):
            # What is checked out is read all the same.
            return msgspec.structs.replace(as_problem(self.fault, self.folder), kind="amiss")
        recipes = printable(str(self.folder.parent))
        return self.fault and Problem(path=recipes, line=0, what=str(self.fault), remedy="")

    @property
    def tags(self) -> Collection[str]:
        """Its tags; none when it is no checkout."""
        return self.repository.tags if self.repository else ()

    @cached_property
    def exports(self) -> Mapping[str, str]:
        """What its ``abra.sh`` exports."""
        return exported(decode(self._quietly(_SCRIPT)))

    @cached_property
    def sample(self) -> Mapping[str, SampleLine]:
        """The lines of its sample by variable, commented-out ones too."""
        return sample_lines(self._quietly(SAMPLE))

    @cached_property
    def sample_problems(self) -> tuple[Problem, ...]:
        """Why its sample's marks are not known, if they are not."""
        content = self._quietly(SAMPLE)
        path = self.folder / SAMPLE
        kinds = ("conflict", "locked")
        return tuple(one for one in parse_env(content, path).problems if one.kind in kinds)

    @cached_property
    def sets(self) -> tuple[str, ...]:
        """The variables that its sample sets."""
        return sample_keys(decode(self._quietly(SAMPLE)))

    def notes(self, versions: Iterable[str]) -> dict[str, str]:
        """Return the release notes of versions, of those that have some."""
        # A catalogue may name anything.
        names = {f"release/{version}": version for version in versions if "/" not in version}
        with suppress(InputError):
            self._fetch(names)
        found = ((version, decode(self._quietly(name)).strip()) for name, version in names.items())
        return {version: text for version, text in found if text}

    def enabled(self, names: tuple[str, ...]) -> Enabled:
        """Return the compose files of these names, merged in that order."""
        known = self._enabled.get(names)
        if known is None:
            known = self._enabled[names] = self._read(names)
        return known

    def _read(self, names: tuple[str, ...]) -> Enabled:
        read: list[Compose] = []
        absent: list[str] = []
        unreadable: list[str] = []
        problems: list[Problem] = []
        refused: list[Problem] = []
        with suppress(InputError):  # told of the file it is about, below
            self._fetch((*names, *_READ_ANYWAY))
        for name in names:
            path = self.folder / name
            try:
                content = self.find(name)
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
                Problem(
                    path=printable(str(path)), line=f.line, what=f.what, remedy=_REMEDY, kind=f.kind
                )
                for f in compose.faults
            ]
            refused += [
                Problem(path=printable(str(path)), line=f.line, what=f.what, remedy=f.remedy)
                for f in compose.unsupported
            ]
        return Enabled(
            compose=merge(read),
            absent=tuple(absent),
            unreadable=tuple(unreadable),
            problems=tuple(problems),
            unsupported=tuple(refused),
        )

    def find(self, name: str) -> bytes | None:
        """Return a file of the recipe; ``None`` when there is none of that name.

        What the pinned version lacks may still be there as a file that git ignores.

        Raises
        ------
        InputError
            It cannot be read, or is outside the recipe's folder.
        """
        path = self.folder / name
        if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(self.folder)):
            raise InputError(
                f"{printable(name)} is outside the recipe, so it is not read.",
                path=self.folder,
                remedy="Copy it into the recipe, and let COMPOSE_FILE name the copy.",
            )
        if self.commit and self.repository:
            self._fetch((name,))
            found = self._committed[name]
            if found is not None or not (exists(path) and self.repository.is_ignored(name)):
                return found
        return read_bytes(path) if exists(path) else None

    def _fetch(self, names: Iterable[str]) -> None:
        """Read files of the commit, all at once."""
        wanted = [name for name in names if name not in self._committed]
        if wanted and self.commit and self.repository:
            found = self.repository.files(self.commit, wanted)
            self._committed.update({name: found.get(name) for name in wanted})

    def _quietly(self, name: str) -> bytes:
        try:
            return self.find(name) or b""
        except InputError:
            return b""


class Recipes:
    """The recipes of an abra folder, each read when first asked for."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "recipes"
        self._known: dict[tuple[str, str], Recipe | None] = {}
        self._repositories: dict[Path, Repository | OpskitError | None] = {}

    def find(self, name: str, version: str = "") -> Recipe | None:
        """Find a recipe, at a pinned version if there is one; ``None`` when it is not on disk."""
        key = (name, version)
        if key not in self._known:
            folders = (self._folder / folder for folder in recipe_folders(name))
            found = next((folder for folder in folders if is_folder(folder)), None)
            self._known[key] = found and Recipe(found, self._repository(found), version)
        return self._known[key]

    def read(self, wanted: Iterable[tuple[str, str, tuple[str, ...]]]) -> None:
        """Read recipes at once that will be asked for: name, version and compose files of each."""
        by_name: dict[str, set[tuple[str, tuple[str, ...]]]] = {}
        for name, version, files in wanted:
            by_name.setdefault(name, set()).add((version, files))

        def read_one(name: str) -> None:
            for version, files in by_name[name]:
                recipe = self.find(name, version)
                if recipe is not None:
                    recipe.enabled(files)

        # git takes some milliseconds for each question, which the others need not wait for.
        with ThreadPoolExecutor(thread_name_prefix="opskit-git") as threads:
            list(threads.map(read_one, by_name))

    def _repository(self, folder: Path) -> Repository | OpskitError | None:
        if folder not in self._repositories:
            try:
                self._repositories[folder] = open_repository(folder)
            except (InputError, MissingToolError) as error:
                self._repositories[folder] = error
        return self._repositories[folder]


def exported(script: str) -> dict[str, str]:
    """Return the plain ``export NAME=value`` lines of an ``abra.sh``, without running it.

    Only those that begin their line count, as for abra: an indented one stands in a function,
    which may set ``DOMAIN`` or the like for itself alone.
    """
    return {m[1]: m[2] or m[3] or m[4] or "" for m in _EXPORT.finditer(script)}
