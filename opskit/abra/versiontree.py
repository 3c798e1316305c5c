"""The files of a recipe's version, written to a folder of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from opskit.abra.files import decode
from opskit.abra.git import SHORT, Repository, answered
from opskit.errors import InputError

_SIZE_LIMIT = 256 * 1024 * 1024
"""More than this is no recipe."""

_EXECUTABLE, _LINK, _SUBMODULE = "100755", "120000", "160000"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    mode: str
    object: str
    size: int


@contextmanager
def version_tree(repository: Repository, commit: str) -> Generator[Path, None, None]:
    """Write a commit's files to a folder of their own, removed afterwards.

    Files come out of the object store as they were committed; the checkout is left alone. What
    git does not track in the working tree is there too, as links, as it would be after a checkout
    of the commit. A submodule is an empty folder.

    Raises
    ------
    InputError
        git cannot read the commit, or a link of it leads elsewhere.
    """
    made = Path(tempfile.mkdtemp(prefix="opskit-recipe-"))
    try:
        tree = made.resolve() / repository.folder.name
        tree.mkdir()
        try:
            entries = _entries(repository, commit)
            _write(repository, commit, tree, entries)
            _link_local_files(repository, tree, entries)
        except (OSError, ValueError) as error:
            raise InputError(
                f"commit {commit[:SHORT]} cannot be written to {tree} ({error}).",
                path=repository.folder,
            ) from error
        yield tree
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _entries(repository: Repository, commit: str) -> dict[str, _Entry]:
    listing = ("ls-tree", "-r", "-z", "--long", "--full-tree", commit)
    found: dict[str, _Entry] = {}
    for line in filter(None, decode(answered(repository.folder, *listing).output).split("\0")):
        fields, _, name = line.partition("\t")
        mode, _, object_name, size = fields.split()
        # git makes no such names; a repository that is to do harm may have them.
        if any(part in {"", ".", ".."} or part.lower() == ".git" for part in name.split("/")):
            raise _refusal(repository, commit, f"has a file called {name!r}")
        found[name] = _Entry(mode=mode, object=object_name, size=int(size) if size != "-" else 0)
    if sum(entry.size for entry in found.values()) > _SIZE_LIMIT:
        raise _refusal(repository, commit, f"holds more than {_SIZE_LIMIT // 1024 // 1024} MiB")
    return found


def _write(repository: Repository, commit: str, tree: Path, entries: Mapping[str, _Entry]) -> None:
    for name, entry in entries.items():
        folder = tree / name if entry.mode == _SUBMODULE else (tree / name).parent
        folder.mkdir(parents=True, exist_ok=True)
    files = {name: entry for name, entry in entries.items() if entry.mode != _SUBMODULE}
    contents = repository.blobs(entry.object for entry in files.values())
    links: list[Path] = []
    # All folders are there, and no link yet: nothing can be written through one.
    for (name, entry), content in zip(files.items(), contents, strict=True):
        if entry.mode == _LINK:
            links.append(tree / name)
            continue
        mode = 0o777 if entry.mode == _EXECUTABLE else 0o666
        opened = os.open(tree / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(opened, "wb") as stream:
            stream.write(content)
    for (name, entry), content in zip(files.items(), contents, strict=True):
        if entry.mode == _LINK:
            (tree / name).symlink_to(os.fsdecode(content))
    for link in links:
        if not _leads_inside(link, tree):
            raise _refusal(
                repository, commit, f"has a link that leads out of it, {link.relative_to(tree)}"
            )


def _leads_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder)
    except RuntimeError:  # a loop, up to Python 3.12
        return True


def _link_local_files(repository: Repository, tree: Path, entries: Mapping[str, _Entry]) -> None:
    """Link to the files that git ignores or does not track, unless the version has its own."""
    folder = repository.folder.resolve()
    folders = {parent for name in entries for parent in PurePosixPath(name).parents}
    listed = answered(repository.folder, "ls-files", "--others", "-z").output
    for name in filter(None, decode(listed).split("\0")):
        # A repository within, of which git lists nothing, ends in a slash.
        path = PurePosixPath(name)
        taken = path in folders or any(str(part) in entries for part in (path, *path.parents))
        if not taken and _leads_inside(folder / path, folder):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).symlink_to(folder / path)


def _refusal(repository: Repository, commit: str, what: str) -> InputError:
    return InputError(
        f"commit {commit[:SHORT]} {what}, and is not deployed.",
        path=repository.folder,
        remedy="Pin another version.",
    )
