"""Which revision of a recipe is checked out, read from the files of its ``.git``.

Asking git takes some milliseconds a question, too long for every recipe of every app. The formats
are those of https://git-scm.com/docs/gitrepository-layout and
https://git-scm.com/docs/index-format.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from opskit.abra.files import decode, read_bytes
from opskit.abra.git import clean_environment
from opskit.errors import InputError

CHAOS_MARK = "+U"
"""abra's mark for a checkout with changes of its own."""

SHORT = 8
_ASKED_S = 60.0
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HEADER = struct.Struct(">4sLL")
_ENTRY = struct.Struct(">10L20sH")
_NAME_LENGTH = 0x0FFF
_EXTENDED = 0x4000
_ASSUME_VALID = 0x8000
_SKIP_WORKTREE = 0x4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What is checked out: a tag if one names exactly this commit, the commit, changed or not.

    It is `changed` if a tracked file differs from what git has in its index.
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


def checkout(folder: Path) -> Checkout | None:
    """Tell what is checked out in a folder; ``None`` when it is no checkout."""
    git = _git_folder(folder)
    commit = _head(git) if git else ""
    if git is None or not commit:
        return None
    return Checkout(tag=_tag(git, commit, folder), commit=commit, changed=_changed(git, folder))


def revision(folder: Path) -> str:
    """Give the checked-out revision, such as ``1.2.0+3.4.1 (0a1b2c3d+U)``, or nothing."""
    return str(checkout(folder) or "")


def tagged(folder: Path, tag: str) -> tuple[str, str]:
    """Give what a tag points at, and the commit; the latter is empty when only git can tell."""
    git = _git_folder(folder)
    if git is None:
        return "", ""
    shared = _shared(git)
    pointed = _text(shared / "refs" / "tags" / tag).strip()
    if pointed:
        return pointed, _peeled(shared, pointed)
    commit = _packed(shared).get(f"refs/tags/{tag}", "")
    return commit, commit


def tag_names(folder: Path) -> frozenset[str]:
    """List the tags of a checkout; none when it is no checkout."""
    git = _git_folder(folder)
    if git is None:
        return frozenset()
    shared, prefix = _shared(git), "refs/tags/"
    packed = (name.removeprefix(prefix) for name in _packed(shared) if name.startswith(prefix))
    return frozenset(packed).union(name for name, _ in _loose_tags(shared / prefix))


def _text(path: Path) -> str:
    try:
        return decode(read_bytes(path))
    except InputError:
        return ""


def _git_folder(folder: Path) -> Path | None:
    git = folder / ".git"
    if git.is_file():
        # A worktree or submodule has a file that points at the folder.
        pointed = _text(git).strip()
        git = folder / pointed.removeprefix("gitdir:").strip()
    return git if (git / "HEAD").is_file() else None


def _shared(git: Path) -> Path:
    """Give the folder that holds the references, which worktrees share."""
    return git / (_text(git / "commondir").strip() or ".")


def _head(git: Path) -> str:
    found = _text(git / "HEAD").strip()
    # A symbolic reference may point at another one.
    for _ in range(5):
        name = found.removeprefix("ref: ")
        if name == found:
            break
        shared = _shared(git)
        found = _text(git / name).strip() or _text(shared / name).strip()
        found = found or _packed(shared).get(name, "")
    return found if _COMMIT.fullmatch(found) else ""


def _packed(shared: Path) -> dict[str, str]:
    """Give the packed references; for an annotated tag the commit it peels to."""
    found: dict[str, str] = {}
    name = ""
    for line in _text(shared / "packed-refs").splitlines():
        if line.startswith("^"):
            found[name] = line[1:].strip()
        elif not line.startswith("#"):
            commit, _, name = line.strip().partition(" ")
            found[name] = commit
    return found


def _tag(git: Path, commit: str, folder: Path) -> str:
    shared = _shared(git)
    prefix = "refs/tags/"
    packed = _packed(shared)
    tags = {n.removeprefix(prefix): c for n, c in packed.items() if n.startswith(prefix)}
    unknown: list[str] = []
    for name, pointed in _loose_tags(shared / prefix):
        peeled = pointed if pointed == commit else _peeled(shared, pointed)
        tags[name] = peeled
        if not peeled:
            unknown.append(pointed)
    exact = sorted(name for name, tagged in tags.items() if tagged == commit)
    if exact:
        return exact[-1]
    try:
        return _asked(folder, commit, tuple(unknown)) if unknown else ""
    except (OSError, subprocess.SubprocessError):
        return ""


def _loose_tags(tags: Path) -> Iterator[tuple[str, str]]:
    for folder, _, names in os.walk(tags):
        for name in names:
            path = Path(folder, name)
            yield path.relative_to(tags).as_posix(), _text(path).strip()


def _peeled(shared: Path, name: str) -> str:
    """Follow an annotated tag to its commit; empty if the object lies in a pack."""
    try:
        content = zlib.decompress(read_bytes(shared / "objects" / name[:2] / name[2:]))
    except (InputError, zlib.error):
        return ""
    kind, _, body = content.partition(b"\0")
    if not kind.startswith(b"tag "):
        return name
    first = body.split(b"\n", 1)[0]
    return first.removeprefix(b"object ").decode("ascii", "replace")


@lru_cache(maxsize=1024)
def _asked(folder: Path, commit: str, unknown: tuple[str, ...]) -> str:  # noqa: ARG001 (the key)
    """Ask git, once for each state: packed objects are its own business.

    It raises when git gives no answer, as what it raises is not remembered.
    """
    command = ["git", "-C", str(folder), "tag", "--points-at", commit]
    answer = subprocess.run(
        command, env=clean_environment(), capture_output=True, check=True, timeout=_ASKED_S
    )
    return max(decode(answer.stdout).split(), default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tracked:
    name: str
    mode: int
    size: int
    modified: tuple[int, int]
    digest: bytes


def _changed(git: Path, folder: Path) -> bool:
    index = git / "index"
    try:
        content = read_bytes(index)
        written = index.stat().st_mtime_ns
        return any(_differs(folder, tracked, written) for tracked in _tracked(content))
    except (InputError, OSError, struct.error, ValueError):
        # An index in a form not read here (version 4, SHA-256) tells nothing.
        return False


def _tracked(index: bytes) -> Iterator[_Tracked]:
    magic, version, count = _HEADER.unpack_from(index)
    if magic != b"DIRC" or version not in {2, 3}:
        return
    at = _HEADER.size
    for _ in range(count):
        fields = _ENTRY.unpack_from(index, at)
        flags = fields[11]
        begin = at + _ENTRY.size
        ignored = bool(flags & _ASSUME_VALID)
        if flags & _EXTENDED:
            ignored = ignored or bool(struct.unpack_from(">H", index, begin)[0] & _SKIP_WORKTREE)
            begin += 2
        end = index.index(b"\0", begin + min(flags & _NAME_LENGTH, _NAME_LENGTH - 1))
        if not ignored:
            yield _Tracked(
                name=decode(index[begin:end]),
                mode=fields[6],
                size=fields[9],
                modified=(fields[2], fields[3]),
                digest=fields[10],
            )
        # Entries are padded with one to eight NUL bytes to a multiple of eight.
        at += (end - at + 8) // 8 * 8


def _differs(folder: Path, tracked: _Tracked, written: int) -> bool:
    path = folder / tracked.name
    if stat.S_IFMT(tracked.mode) not in {stat.S_IFREG, stat.S_IFLNK}:
        return False
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    seconds, nanoseconds = divmod(found.st_mtime_ns, 1_000_000_000)
    same = found.st_size == tracked.size and tracked.modified in {(seconds, nanoseconds)}
    # A file as young as the index may have changed within the clock's tick.
    if same and found.st_mtime_ns < written:
        return False
    link = stat.S_ISLNK(found.st_mode)
    if link != stat.S_ISLNK(tracked.mode):
        return True
    content = os.fsencode(path.readlink()) if link else read_bytes(path)
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return blob.digest() != tracked.digest
