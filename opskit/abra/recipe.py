"""Recipes on disk: where they are, which revision is checked out, what they export."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from opskit.abra.compose import exported
from opskit.abra.env import EnvFile, read_env

_SHORT = 8
_REFERENCE = re.compile(r"ref: (?P<name>\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe's folder as it is on disk now."""

    name: str
    folder: Path
    revision: str
    sample: EnvFile | None
    exports: Mapping[str, str]


def find_recipe(root: Path, name: str) -> Recipe | None:
    """Find ``recipes/<name>``; ``None`` when it is not on disk."""
    folder = root / "recipes" / name
    if not name or "/" in name or not folder.is_dir():
        return None
    sample = folder / ".env.sample"
    return Recipe(
        name=name,
        folder=folder,
        revision=revision(folder),
        sample=read_env(sample) if sample.is_file() else None,
        exports=exported(_text(folder / "abra.sh")),
    )


def revision(folder: Path) -> str:
    """Give the checked-out revision: a tag if one names exactly this commit, else a short hash.

    Read from the files of ``.git``: asking git for each of hundreds of apps would take seconds.
    A folder that is no checkout has no revision.
    """
    git = _git_folder(folder)
    if git is None:
        return ""
    head = _text(git / "HEAD").strip()
    match = _REFERENCE.fullmatch(head)
    references = _packed(git)
    commit = head
    if match:
        name = match["name"]
        commit = _text(git / name).strip() or references.get(name, "")
    if not commit:
        return ""
    tag = _tag_of(git, commit, references)
    return tag or commit[:_SHORT]


def _git_folder(folder: Path) -> Path | None:
    git = folder / ".git"
    if git.is_dir():
        return git
    # A worktree or submodule has a file that points at the folder.
    pointed = _text(git).strip().removeprefix("gitdir: ") if git.is_file() else ""
    return (folder / pointed) if pointed else None


def _packed(git: Path) -> dict[str, str]:
    """Give the packed references; for an annotated tag, the commit it peels to."""
    found: dict[str, str] = {}
    last = ""
    for line in _text(git / "packed-refs").splitlines():
        if line.startswith("^"):
            found[last] = line[1:].strip()
        elif line and not line.startswith("#"):
            commit, _, last = line.partition(" ")
            found[last] = commit
    return found


def _tag_of(git: Path, commit: str, packed: Mapping[str, str]) -> str:
    tags = {
        n.removeprefix("refs/tags/"): c for n, c in packed.items() if n.startswith("refs/tags/")
    }
    loose = git / "refs" / "tags"
    if loose.is_dir():
        tags |= {
            str(path.relative_to(loose)): _text(path).strip()
            for path in loose.rglob("*")
            if path.is_file()
        }
    return max((name for name, tagged in tags.items() if tagged == commit), default="")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


@lru_cache(maxsize=512)
def recipe_once(root: Path, name: str) -> Recipe | None:
    """Find a recipe once for a whole reading; call ``recipe_once.cache_clear`` before the next."""
    return find_recipe(root, name)
