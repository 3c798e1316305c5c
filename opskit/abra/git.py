"""Asking git: the one way to run it, and what it says about a recipe's repository.

A recipe comes from elsewhere, and so may its ``.git``, whose configuration can name commands for
git to run: hooks, filters, a file system monitor, ways to fetch. None of them is run when a
`Repository` is asked. What the operator's own configuration says still holds.
"""

from __future__ import annotations

import os
import posixpath
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opskit.abra.conventions import CHAOS_MARK
from opskit.abra.files import SIZE_LIMIT, decode, encode, exists, printable, too_large
from opskit.errors import InputError, MissingToolError

SHORT = 8
_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
"""Variables that a git hook sets for what it runs, and that would lead to another repository."""

_UNATTENDED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
_INERT = {
    **_UNATTENDED,
    # A partial clone would fetch an object that is asked for, by a command of its configuration.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    # What a commit holds is what its hash says.
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_INERT_CONFIG = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "safe.bareRepository=explicit")
SECONDS = 60.0
_CLONE_SECONDS = 600.0
_ENDING_SECONDS = 5.0
_HASH = re.compile(r"[0-9a-f]{4,64}")
_FILTER = re.compile(r"filter\.(.*)\.[^.]+", re.DOTALL)
_ANSWER = re.compile(rb"(?:(?P<object>[0-9a-f]{40,64}) )?(?P<kind>[a-z]+) (?P<size>[0-9]+)")
_KNOWN_LIMIT = 4096


# -- running git ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How git ended, what it printed, and what it complained of."""

    status: int
    output: bytes
    complaint: str

    @property
    def text(self) -> str:
        """What it printed, as text."""
        return decode(self.output).strip()

    @property
    def reason(self) -> str:
        """The line in which git says what is wrong; advice may follow it."""
        lines = self.complaint.strip().splitlines() or [f"it ended with status {self.status}"]
        return printable(next((line for line in lines if line.startswith("fatal: ")), lines[-1]))


def operators_environment() -> dict[str, str]:
    """Return the environment for git in the operator's own repositories, where hooks are theirs."""
    return {k: v for k, v in os.environ.items() if k not in _PLACES} | _UNATTENDED


def run_git(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str],
    given: bytes = b"",
    seconds: float,
    apart: bool = False,
) -> Ended:
    """Run git in a folder and return how it ended.

    Parameters
    ----------
    folder
        Where it runs.
    arguments
        What follows ``git``.
    environment
        All that it finds in its environment.
    given
        What it reads from its standard input.
    seconds
        How long it may take.
    apart
        Whether it runs in a session of its own: Ctrl-C lets it end, and the deadline ends what it
        started too.

    Raises
    ------
    MissingToolError
        git is not installed.
    TimeoutError
        It did not end in time, and was killed.
    InputError
        It cannot be run.
    """
    try:
        process = subprocess.Popen(
            ["git", "--literal-pathspecs", "-C", str(folder), *arguments],
            env=environment,
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=apart,
        )
    except FileNotFoundError:
        raise MissingToolError(
            "git is not installed here. Install it: recipes are read with it."
        ) from None
    except OSError as error:
        raise InputError(f"git cannot be run on it ({error.strerror}).", path=folder) from error
    with process:
        try:
            output, complaint = process.communicate(given or None, timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process, apart=apart)
            raise TimeoutError(f"git did not answer in {seconds:g} s.") from None
        except BaseException:
            if not apart:
                _end(process, apart=False)
            raise
    return Ended(
        status=process.returncode, output=output, complaint=complaint.decode("utf-8", "replace")
    )


def _end(process: subprocess.Popen[bytes], *, apart: bool) -> None:
    if apart:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return
    # Asked to end, git removes what it began.
    process.terminate()
    try:
        process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def clone(address: str, folder: Path) -> None:
    """Clone a repository to a folder that is not there yet.

    Raises
    ------
    InputError
        It cannot be fetched; says what git said. Nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    environment = operators_environment()
    command = ("clone", "--quiet", "--", address, str(folder))
    try:
        ended = run_git(folder.parent, *command, environment=environment, seconds=_CLONE_SECONDS)
    except TimeoutError as error:
        raise InputError(str(error), path=folder) from None
    if ended.status:
        raise InputError(
            f"{address} cannot be cloned: {ended.reason}",
            remedy="Check the recipe's name, or recipe_url in your settings.",
        )


# -- a recipe's repository --------------------------------------------------------------------


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
            One is larger than a file of a recipe can be, or is not in this clone.
        """
        known = {name: _KNOWN.get((self.folder, commit, name)) for name in names}
        asked = {
            name: f"{commit}:{plain}"
            for name in known
            if known[name] is None and (plain := _plain(name))
        }
        there: dict[str, str] = {}
        for name, found in zip(
            asked, _batch(self.folder, "--batch-check", asked.values()), strict=True
        ):
            if found is not None and found.size > SIZE_LIMIT:
                raise too_large(self.folder / name)
            if found is not None:
                there[name] = found.object
        self._check_lacking(commit, [_plain(name) for name in asked if name not in there])
        for name, content in zip(there, self.blobs(there.values()), strict=True):
            known[name] = _remember((self.folder, commit, name), content)
        return {name: content for name, content in known.items() if content is not None}

    def _check_lacking(self, commit: str, names: list[str]) -> None:
        """Refuse to take a file that a partial clone has not fetched for one that is not there."""
        if not names:
            return
        listed = answered(self.folder, "ls-tree", "-z", "--full-tree", commit, "--", *names)
        for line in decode(listed.output).split("\0"):
            if line.startswith("100"):
                raise InputError(
                    f"this clone lacks {line.partition(chr(9))[2]} of commit {commit[:SHORT]}.",
                    path=self.folder,
                    remedy=f"Fetch all of it: git -C {self.folder} fetch --refetch --no-filter",
                )

    def blobs(self, objects: Iterable[str]) -> list[bytes]:
        """Return the contents of files by their objects' names.

        Raises
        ------
        InputError
            git has no such file.
        """
        objects = list(objects)
        found = _batch(self.folder, "--batch", objects)
        for name, blob in zip(objects, found, strict=True):
            if blob is None:
                raise _damaged(self.folder, f"it has no file {name[:SHORT]}")
        return [blob.content for blob in found if blob is not None]

    def is_ignored(self, name: str) -> bool:
        """Tell whether git ignores a file of the working tree."""
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
        raise _damaged(folder, status.reason)
    tags = _tags(folder)
    lines = status.text.split("\n")
    commit = next(line for line in lines if line.startswith("# branch.oid ")).split()[-1]
    if commit == "(initial)":
        return Repository(folder=folder, checkout=None, tags=tags)
    changed = any(not line.startswith("#") for line in lines)
    tag = max((name for name, tagged in tags.items() if tagged == commit), default="")
    checkout = Checkout(tag=tag, commit=commit, changed=changed)
    return Repository(folder=folder, checkout=checkout, tags=tags)


def _without_filters(folder: Path, listed: Ended) -> list[str]:
    """Return the settings that turn off each filter which the repository's configuration has.

    git would run them to compare a file whose times are other than those it knows.
    """
    if listed.status:
        raise _damaged(folder, listed.reason)
    fields = decode(listed.output).split("\0")
    names: set[str] = set()
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        match = _FILTER.fullmatch(entry.partition("\n")[0])
        if match and scope in {"local", "worktree"}:
            names.add(match[1])
    if any("=" in name for name in names):
        # `-c` would take what follows for the value.
        raise _damaged(folder, "its configuration has a filter with = in its name")
    off = ("clean=", "process=", "required=false")
    return [f"filter.{name}.{setting}" for name in sorted(names) for setting in off]


def _tags(folder: Path) -> dict[str, str]:
    shown = ask(folder, "show-ref", "--tags", "--dereference")
    if shown.status > 1:
        raise _damaged(folder, shown.reason)
    found: dict[str, str] = {}
    for line in filter(None, shown.text.split("\n")):
        pointed, _, name = line.partition(" ")
        # An annotated tag is followed by what it stands for.
        found[name.removeprefix("refs/tags/").removesuffix("^{}")] = pointed
    return found


def ask(folder: Path, *arguments: str, config: Iterable[str] = (), given: bytes = b"") -> Ended:
    """Ask git about a recipe's repository, without running anything its configuration names.

    Raises
    ------
    MissingToolError
        git is not installed.
    InputError
        It did not end, or refuses the folder.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | _INERT
    # A folder above may be the operator's own repository, and is not asked instead.
    environment["GIT_CEILING_DIRECTORIES"] = str(folder.resolve().parent)
    settings = [word for setting in (*_INERT_CONFIG, *config) for word in ("-c", setting)]
    command = (*settings, f"--work-tree={folder}", *arguments)
    try:
        ended = run_git(folder, *command, environment=environment, given=given, seconds=SECONDS)
    except TimeoutError as error:
        raise InputError(str(error), path=folder) from None
    if ended.status and "dubious ownership" in ended.complaint:
        raise InputError(
            "git refuses to read this checkout, as another user owns it.",
            path=folder,
            remedy=f"If you trust it: git config --global --add safe.directory {folder}",
        )
    return ended


def answered(folder: Path, *arguments: str, given: bytes = b"") -> Ended:
    """Return what `ask` does when git knows an answer.

    Raises
    ------
    InputError
        It does not; says why.
    """
    ended = ask(folder, *arguments, given=given)
    if ended.status:
        raise _damaged(folder, ended.reason)
    return ended


def _damaged(folder: Path, reason: str) -> InputError:
    return InputError(
        f"git cannot read this checkout: {reason}.",
        path=folder,
        remedy=f"Look at it: git -C {folder} status; git -C {folder} fsck",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blob:
    object: str
    size: int
    content: bytes


def _batch(folder: Path, how: str, asked: Iterable[str]) -> list[_Blob | None]:
    given = b"".join(encode(f"{request}\n") for request in asked)
    if not given:
        return []
    answer = answered(folder, "cat-file", how, "--follow-symlinks", given=given)
    return list(_blobs(answer.output, whole=how == "--batch"))


def _blobs(output: bytes, *, whole: bool) -> Iterator[_Blob | None]:
    """Read the answers of ``cat-file``; ``None`` for what is missing or no file."""
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        answer = _ANSWER.fullmatch(output, at, end)
        at = end + 1
        if answer is None:
            yield None
            continue
        size, content = int(answer["size"]), b""
        # A link that leads out of the commit is given as its target.
        if whole or answer["object"] is None:
            content = output[at : at + size]
            at += size + 1
        is_blob = answer["kind"] == b"blob"
        name = decode(answer["object"] or b"")
        yield _Blob(object=name, size=size, content=content) if is_blob else None


def _plain(name: str) -> str:
    """Return a file's name as a commit has it; empty when no commit can have one of that name."""
    plain = posixpath.normpath(name)
    outside = plain.startswith(("/", "../")) or plain in {".", ".."}
    return "" if outside or "\n" in name or "\0" in name else plain


_KNOWN: dict[tuple[Path, str, str], bytes] = {}
"""Files of commits: what a commit holds never changes."""


def _remember(key: tuple[Path, str, str], content: bytes) -> bytes:
    if len(_KNOWN) >= _KNOWN_LIMIT:
        _KNOWN.clear()
    _KNOWN[key] = content
    return content
