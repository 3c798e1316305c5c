"""A recipe's repository: its checkout, its tags, and the files of its commits, also written out."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from shlex import quote

from opskit.abra.files import SIZE_LIMIT, decode, exists, printable
from opskit.abra.git import answered, ask, damaged
from opskit.abra.names import CHAOS_MARK
from opskit.abra.releases import highest
from opskit.errors import InputError
from opskit.files.bounded import too_large
from opskit.files.temporary import folder
from opskit.git import Ended

SHORT = 8
_HASH = re.compile(r"[0-9a-f]{4,64}")
_FILTER = re.compile(r"filter\.(.*)\.[^.]+", re.DOTALL)
_LINKS_IN_A_ROW = 8
_KNOWN_LIMIT, _KNOWN_SIZE = 4096, 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What is checked out: a tag if one names exactly this commit, the commit, changed or not.

    It is `changed` if a tracked file, staged or not, differs from the commit's.
    """

    tag: str
    commit: str
    changed: bool

    @property
    def short(self) -> str:
        """The commit as abra writes it, such as ``0a1b2c3d+U``."""
        return self.commit[:SHORT] + (CHAOS_MARK if self.changed else "")

    def __str__(self) -> str:
        return f"{self.tag} ({self.short})" if self.tag else self.short


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a commit has under a name: a file, a link, or the commit of a submodule."""

    mode: str
    object: str
    size: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, executable or not."""
        return self.mode.startswith("100")

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == "120000"


@lru_cache(maxsize=512)
def list_commit(folder: Path, commit: str) -> Mapping[str, Entry]:
    """List what a commit holds by name, which never changes.

    Raises
    ------
    InputError
        git cannot read it, or this clone lacks a file of it.
    """
    listing = ("ls-tree", "-r", "-z", "--long", "--full-tree", commit)
    found: dict[str, Entry] = {}
    for line in filter(None, decode(answered(folder, *listing).output).split("\0")):
        fields, _, name = line.partition("\t")
        mode, _, object_name, size = fields.split()
        if size == "BAD":
            raise InputError(
                f"this clone lacks {printable(name)} of commit {commit[:SHORT]}.",
                path=folder,
                remedy=f"Fetch all of it: git -C {quote(str(folder))} fetch --refetch --no-filter",
            )
        found[name] = Entry(mode=mode, object=object_name, size=int(size) if size != "-" else 0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A recipe's repository as git described it at one moment.

    Parameters
    ----------
    folder
        Its working tree.
    checkout
        What is checked out; ``None`` before the first commit.
    tags
        Its tags, and what each stands for.
    """

    folder: Path
    checkout: Checkout | None
    tags: Mapping[str, str]

    def commit_of(self, version: str) -> str:
        """Return the commit a tag, or else a commit's own name, stands for; empty without one.

        A branch is no version: it would be another one tomorrow.
        """
        if version in self.tags:
            return self.tags[version]
        if not _HASH.fullmatch(version):
            return ""
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{version}^{{commit}}")
        found = ask(self.folder, *asked).text
        # A branch may be called like the beginning of a commit.
        return found if found.startswith(version) else ""

    def files(self, commit: str, names: Iterable[str]) -> dict[str, bytes]:
        """Return files of a commit by name, without those it does not have.

        Links are followed within the commit.

        Raises
        ------
        InputError
            One is larger than a file of a recipe can be, or not in this clone.
        """
        entries = list_commit(self.folder, commit)
        found = {name: entries.get(self._follow(entries, _plain(name))) for name in names}
        there = {name: entry for name, entry in found.items() if entry and entry.is_file}
        for name, entry in there.items():
            if entry.size > SIZE_LIMIT:
                raise too_large(self.folder / name, SIZE_LIMIT)
        return dict(zip(there, self.blobs(there.values()), strict=True))

    def _follow(self, entries: Mapping[str, Entry], path: str) -> str:
        for _ in range(_LINKS_IN_A_ROW):
            parts = path.split("/")
            above = ("/".join(parts[:at]) for at in range(1, len(parts) + 1))
            link = next((one for one in above if one in entries and entries[one].is_link), None)
            if link is None:
                return path
            target = decode(self.blobs([entries[link]])[0])
            path = _plain(posixpath.join(posixpath.dirname(link), target) + path[len(link) :])
        return ""

    def blobs(self, entries: Iterable[Entry]) -> list[bytes]:
        """Return the contents of a commit's files.

        Raises
        ------
        InputError
            git has no such file.
        """
        wanted = [entry.object for entry in entries]
        known = ((name, _KNOWN.get((self.folder, name))) for name in wanted)
        found = {name: content for name, content in known if content is not None}
        asked = dict.fromkeys(name for name in wanted if name not in found)
        if asked:
            stdin = "".join(f"{name}\n" for name in asked).encode()
            output = answered(self.folder, "cat-file", "--batch", stdin=stdin).output
            for name in asked:
                header, _, rest = output.partition(b"\n")
                kind, _, size = header.removeprefix(name.encode()).strip().partition(b" ")
                if kind != b"blob":
                    raise damaged(self.folder, f"object {printable(decode(header))}")
                found[name], output = rest[: int(size)], rest[int(size) + 1 :]
            _remember(self.folder, found)
        return [found[name] for name in wanted]

    def is_ignored(self, name: str) -> bool:
        """Return whether git ignores a file of the working tree."""
        if not _plain(name):
            return False
        ignored = ("--others", "--ignored", "--exclude-standard", "-z", "--", name)
        return bool(answered(self.folder, "ls-files", *ignored).output)


def open_repository(folder: Path) -> Repository | None:
    """Ask git what a folder has checked out, and of its tags; ``None`` when it is no checkout.

    Raises
    ------
    InputError
        git cannot or will not read it; says why.
    MissingToolError
        git is not installed.
    """
    if not exists(folder / ".git"):
        return None
    listed = ask(folder, "config", "--list", "-z", "--show-scope")
    if "not a git repository" in listed.complaint:
        return None
    status = ask(
        folder,
        "status",
        "--porcelain=v2",
        "--branch",
        "--untracked-files=no",
        # Looking into one would run git by the submodule's own configuration.
        "--ignore-submodules=dirty",
        "--no-renames",
        "--no-ahead-behind",
        config=_without_filters(folder, listed),
    )
    if "not a git repository" in status.complaint:
        return None
    if status.status:
        raise damaged(folder, status.reason)
    tags = _tags(folder)
    lines = status.text.split("\n")
    commit = next(line for line in lines if line.startswith("# branch.oid ")).split()[-1]
    if commit == "(initial)":
        return Repository(folder=folder, checkout=None, tags=tags)
    changed = any(not line.startswith("#") for line in lines)
    tag = highest(name for name, tagged in tags.items() if tagged == commit)
    checkout = Checkout(tag=tag, commit=commit, changed=changed)
    return Repository(folder=folder, checkout=checkout, tags=tags)


def _without_filters(folder: Path, listed: Ended) -> list[str]:
    """Return the settings that turn off each filter which the repository's configuration has.

    git would run them to compare a file whose times are other than those it knows.
    """
    if listed.status:
        raise damaged(folder, listed.reason)
    fields = decode(listed.output).split("\0")
    names: set[str] = set()
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        match = _FILTER.fullmatch(entry.partition("\n")[0])
        if match and scope in {"local", "worktree"}:
            names.add(match[1])
    if any("=" in name for name in names):
        # `-c` would take what follows for the value.
        raise damaged(folder, "its configuration has a filter with = in its name")
    off = ("clean=", "process=", "required=false")
    return [f"filter.{name}.{setting}" for name in sorted(names) for setting in off]


def _tags(folder: Path) -> dict[str, str]:
    shown = ask(folder, "show-ref", "--tags", "--dereference")
    if shown.status > 1:
        raise damaged(folder, shown.reason)
    found: dict[str, str] = {}
    for line in filter(None, shown.text.split("\n")):
        pointed, _, name = line.partition(" ")
        # An annotated tag is followed by what it stands for.
        found[name.removeprefix("refs/tags/").removesuffix("^{}")] = pointed
    return found


def _plain(name: str) -> str:
    """Return a file's name as a commit has it; empty when no commit can have one of that name."""
    plain = posixpath.normpath(name)
    outside = plain.startswith(("/", "../")) or plain in {".", ".."}
    return "" if outside or "\n" in name or "\0" in name else plain


_KNOWN: dict[tuple[Path, str], bytes] = {}
"""Contents by their hashes, which never change; one repository is not believed about another."""


def _remember(folder: Path, contents: Mapping[str, bytes]) -> None:
    if len(_KNOWN) >= _KNOWN_LIMIT:
        _KNOWN.clear()
    _KNOWN.update({(folder, name): b for name, b in contents.items() if len(b) <= _KNOWN_SIZE})


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
