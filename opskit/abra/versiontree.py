"""The files of a recipe's version, written to a folder of their own."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from opskit.abra.files import decode
from opskit.abra.git import answered
from opskit.abra.repository import SHORT, Entry, Repository, list_commit
from opskit.errors import InputError
from opskit.temporary import folder

_SIZE_LIMIT = 256 * 1024 * 1024
"""More than this is no recipe."""

_EXECUTABLE = "100755"


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
    with folder("recipe") as made:
        tree = made.resolve() / repository.folder.name
        tree.mkdir()
        try:
            entries = _entries(repository, commit)
            _write(repository, commit, tree, entries)
            _link_local_files(repository, tree, entries)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise InputError(
                f"commit {commit[:SHORT]} cannot be written to a folder of its own in "
                f"{made.parent} ({why}).",
                path=repository.folder,
                remedy="Make room there, or set TMPDIR to another folder.",
            ) from error
        try:
            yield tree
        except OSError as error:
            raise _lasting(error, tree, repository.folder) from error


def _entries(repository: Repository, commit: str) -> Mapping[str, Entry]:
    entries = list_commit(repository.folder, commit)
    for name in entries:
        # git makes no such names; a repository that is to do harm may have them.
        if any(part in {"", ".", ".."} or part.lower() == ".git" for part in name.split("/")):
            raise _refusal(repository, commit, f"has a file called {name!r}")
    if sum(entry.size for entry in entries.values()) > _SIZE_LIMIT:
        raise _refusal(repository, commit, f"holds more than {_SIZE_LIMIT // 1024 // 1024} MiB")
    return entries


def _write(repository: Repository, commit: str, tree: Path, entries: Mapping[str, Entry]) -> None:
    for name, entry in entries.items():
        is_content = entry.is_file or entry.is_link
        ((tree / name).parent if is_content else tree / name).mkdir(parents=True, exist_ok=True)
    files = {tree / name: entry for name, entry in entries.items() if entry.is_file}
    links = {tree / name: entry for name, entry in entries.items() if entry.is_link}
    # All folders are there, and no link yet: nothing can be written through one.
    for path, content in zip(files, repository.blobs(files.values()), strict=True):
        mode = 0o777 if files[path].mode == _EXECUTABLE else 0o666
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(opened, "wb") as stream:
            stream.write(content)
    for path, target in zip(links, repository.blobs(links.values()), strict=True):
        path.symlink_to(os.fsdecode(target))
    for path in links:
        if not _leads_inside(path, tree):
            what = f"has a link that leads out of it, {path.relative_to(tree)}"
            raise _refusal(repository, commit, what)


def _leads_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder)
    except RuntimeError:  # a loop, up to Python 3.12
        return True


def _link_local_files(repository: Repository, tree: Path, entries: Mapping[str, Entry]) -> None:
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


def _lasting(error: OSError, tree: Path, folder: Path) -> Exception:
    """Return an error that names the recipe's own folder for one that is gone soon."""
    if not isinstance(error.filename, str) or not Path(error.filename).is_relative_to(tree):
        return error
    return InputError(
        f"the version's {Path(error.filename).relative_to(tree)} cannot be read "
        f"({error.strerror}).",
        path=folder,
        remedy="Pin another version.",
    )


def _refusal(repository: Repository, commit: str, what: str) -> InputError:
    return InputError(
        f"commit {commit[:SHORT]} {what}, and is not deployed.",
        path=repository.folder,
        remedy="Pin another version.",
    )
