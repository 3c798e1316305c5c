"""An app's ``.env`` on the disk: replaced so that it is wholly old or wholly new, and committed.

It keeps its owner, mode and extended attributes. Links are followed: the file they lead to is the
one replaced. Whoever works on it does so alone, among this operator's processes and threads.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from filelock import FileLock, Timeout

from opskit.abra.files import printable
from opskit.errors import (
    InputError,
    LockHeldError,
    LockLostError,
    MissingToolError,
    StalePlanError,
    StepError,
)
from opskit.files.atomic import UnsyncedError, create_file, remove_leftovers, replace_file
from opskit.git import Ended, operators_environment, run_git
from opskit.settings import state_dir


@contextmanager
def path_lock(path: Path, *, patience: float) -> Generator[None]:
    """Hold a path's lock; its file lies with opskit's state, as the path may be in a checkout.

    Parameters
    ----------
    path
        What to work on, links resolved.
    patience
        Seconds to wait for others.

    Raises
    ------
    LockHeldError
        Another process or thread works on it for longer than that.
    StepError
        The lock file cannot be made.
    """
    folder = state_dir() / "locks"
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    lock = FileLock(folder / f"{name}.lock", timeout=patience, mode=0o600)
    try:
        # Made one by one: `parents` would make the outer one with the default mode.
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise LockHeldError(
            f"another opskit is working on {path}: try again when it has ended."
        ) from error
    except OSError as error:
        raise StepError(
            f"{path} was not changed, as no lock can be made in {folder} ({error.strerror}): "
            "make that folder writable, or set OPSKIT_STATE_DIR to one that is."
        ) from error
    try:
        yield
    finally:
        lock.release()


_FILE_PATIENCE_S = 10.0
_NEW_MODE = 0o660

_GIT_DEADLINE_S = 60.0
_INDEX_PATIENCE_S = 5.0
_INDEX_PAUSE_S = 0.2


def replace_env(
    path: Path,
    *,
    expected_sha256: str,
    content: bytes,
    fence: Callable[[], None] = lambda: None,
) -> str:
    """Replace a file's content, if it still is what the caller saw.

    Parameters
    ----------
    path
        The file, or a link to it.
    expected_sha256
        The digest of what `content` was made from.
    content
        The whole new content.
    fence
        Raises when the caller may not write any more; asked directly before and after.

    Returns
    -------
    str
        The digest of the new content.

    Raises
    ------
    StalePlanError
        The file changed or is gone; it was not touched.
    LockHeldError
        Another opskit is replacing it.
    InputError
        It must not be replaced; the text says why.
    StepError
        It could not be replaced; the old content is in place, unless the text says otherwise.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise StalePlanError(f"{path} is gone or leads nowhere ({error}). Plan again.") from error
    with path_lock(target, patience=_FILE_PATIENCE_S):
        remove_leftovers(target)
        _replace(target, expected_sha256, content, fence)
    try:
        fence()
    except LockLostError as error:
        raise LockLostError(f"{error} {path} was changed at that moment.") from error
    return hashlib.sha256(content).hexdigest()


def create_env(path: Path, content: bytes) -> None:
    """Write a file that is not there yet: it appears whole, or not at all.

    Raises
    ------
    InputError
        The file exists, or cannot be written.
    """
    try:
        create_file(path, content, mode=_NEW_MODE)
    except FileExistsError:
        raise InputError(
            "this app exists already, and nothing is overwritten.",
            path=path,
            remedy=f"Edit it: opskit app config {quote(path.name.removesuffix('.env'))}",
        ) from None
    except OSError as error:
        raise InputError(f"it cannot be written ({error.strerror}).", path=path) from error


def check_replaceable(path: Path) -> None:
    """Refuse a file that `replace_env` would refuse, before anything else is changed.

    Raises
    ------
    InputError
        It must not be replaced; the text says why.
    """
    _check_replaceable(path.resolve(strict=True))


def _check_replaceable(target: Path) -> None:
    found = target.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError("is not a regular file.", path=target)
    if found.st_nlink > 1:
        raise InputError(
            f"has {found.st_nlink} hard links; replacing it would leave its other names with the "
            "old content.",
            path=target,
            remedy="Make those symbolic links to it, or copies.",
        )
    # root may write anything, but a file that nobody may write is meant to be left alone.
    if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
        raise InputError(
            "is read-only and was not changed.", path=target, remedy="Make it writable first."
        )


def _replace(target: Path, expected_sha256: str, content: bytes, fence: Callable[[], None]) -> None:
    def compare(there: Path = target) -> None:
        if hashlib.sha256(there.read_bytes()).hexdigest() != expected_sha256:
            raise StalePlanError(
                f"{target} changed since the plan was made, and was not touched. Plan again."
            )

    def last() -> None:
        fence()
        # Last, so that hardly any time is left in which an editor could save.
        compare()

    try:
        _check_replaceable(target)
        replace_file(target, content, like=target, before=last, replaced=compare)
    except OSError as error:
        state = "the old content is in place"
        if isinstance(error, UnsyncedError):
            state = "the new content is in place, but a loss of power may undo it"
        raise StepError(f"{target} was not replaced: {error.strerror}; {state}.") from error


def commit_env(path: Path, message: str, *, add: bool = False) -> str | None:
    """Commit just this file, when it is in a git checkout and under version control there.

    What else is staged or changed stays so. A file git does not track, ignored or not, is left
    so too: it may hold what its owner does not want to share. With `add` one that git does not
    ignore is added.

    Returns
    -------
    str or None
        The commit's hash, or ``None`` when there was nothing to commit.

    Raises
    ------
    StepError
        git refused, or took too long; the text has its words.
    LockHeldError
        Another opskit is committing in this checkout.
    MissingToolError
        It is in a checkout, and git is not installed.
    """
    target = path.resolve()
    checkout = next((p for p in target.parents if (p / ".git").exists()), None)
    if checkout is None:
        return None
    with path_lock(checkout, patience=_GIT_DEADLINE_S):
        status = _git(target, "status", "--porcelain", "--", target.name)
        if status.startswith("??") and add:
            _git(target, "add", "--intent-to-add", "--", target.name)
        elif not status or status.startswith("??"):
            return None
        _git(target, "commit", "--quiet", "--only", "-m", message, "--", target.name)
        return _git(target, "rev-parse", "HEAD")


def _git(target: Path, *arguments: str) -> str:
    until = time.monotonic() + _INDEX_PATIENCE_S
    while True:
        ended = _run_git(target, arguments)
        if ended.status == 0:
            return ended.text
        # An editor's git takes the index for moments; a lock that stays is for the operator.
        if "index.lock" not in ended.complaint or time.monotonic() >= until:
            words = printable(" ".join((ended.complaint or ended.text).split()))
            raise StepError(f"git could not {arguments[0]} {target}: {words[:500]}")
        time.sleep(_INDEX_PAUSE_S)


def _run_git(target: Path, arguments: Sequence[str]) -> Ended:
    try:
        return run_git(
            target.parent,
            *arguments,
            environment=operators_environment(),
            seconds=_GIT_DEADLINE_S,
            # Ctrl-C lets a commit end, the deadline ends its hooks too.
            apart=True,
        )
    except MissingToolError as error:
        raise MissingToolError(
            f"{target} is in a git checkout, and git is not installed: install it, or leave "
            "--commit out."
        ) from error
    except TimeoutError as error:
        raise StepError(
            f"git {arguments[0]} of {target} did not end within {_GIT_DEADLINE_S:g} s, perhaps "
            "for a hook or a signing key; see git log for whether it was made."
        ) from error
