"""Files that are written whole or not at all: a reader, or a crash, meets the old or the new one.

The content goes to a file beside the target, is synced, and takes the target's name in one call;
the folder is synced after it. Those of opskit itself are for their owner alone.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from opskit.errors import InputError

_ACL = "system.posix_acl_access"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class UnsyncedError(OSError):
    """The new file is in place, but its folder could not be synced: a loss of power may undo it."""


def replace_file(
    path: Path,
    content: bytes,
    *,
    like: Path | None = None,
    before: Callable[[], None] = lambda: None,
    replaced: Callable[[Path], None] | None = None,
) -> None:
    """Write a file, in place of the one of its name if there is one.

    A link of this name is replaced, not followed.

    Parameters
    ----------
    content
        The whole content.
    like
        The file whose owner, mode and extended attributes (access control lists among them) it
        gets; else it is for its owner alone.
    before
        Called last before the file takes its name; what it raises leaves the old one in place.
    replaced
        Given the file that was replaced, where the system can exchange two files at once; what it
        raises puts that one back. So not even a process that was suspended between `before` and
        the exchange overwrites what another wrote meanwhile.

    Raises
    ------
    UnsyncedError
        It is in place, and may be lost.
    OSError, ValueError
        It cannot be written there; the old one is in place.
    InputError
        The owner of `like` cannot be kept; the old one is in place.
    """
    with _synced_folder(path.parent), _staged(path, content, like=like) as staged:
        before()
        if replaced is None or not _exchange(staged, path):
            staged.replace(path)
            return
        try:
            replaced(staged)
        except BaseException:
            _exchange(staged, path)
            raise


def create_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file that is not there yet.

    Parameters
    ----------
    content
        The whole content.
    mode
        Who may do what with it, less what the umask takes away.

    Raises
    ------
    FileExistsError
        There is one, and it is as it was.
    UnsyncedError
        It is in place, and may be lost.
    OSError, ValueError
        It cannot be written there.
    """
    with _synced_folder(path.parent), _staged(path, content, mode=mode) as staged:
        # A link, unlike a rename, never replaces what is there.
        path.hardlink_to(staged)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of writing a file, while nobody else writes it."""
    with suppress(OSError):
        for leftover in path.parent.glob(f"{staging_prefix(path)}*.tmp"):
            leftover.unlink()


def staging_prefix(path: Path) -> str:
    """Return how the names of files begin in which a file's content waits for its name."""
    # Of fixed length, as a domain may fill a file name; never ending in .env, as abra reads those.
    return f".opskit-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}-"


# -- files of opskit's own -------------------------------------------------------------------


def private_folder(folder: Path, *, parents: bool = True) -> Path:
    """Return a folder, made for its owner alone; the mode of one that exists is left.

    Raises
    ------
    InputError
        It cannot be made.
    """
    try:
        if parents:
            folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from None
    return folder


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file for its owner alone, in place of one of its name.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    try:
        replace_file(path, _encoded(content))
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def write_new(folder: Path, stem: str, suffix: str, text: str) -> Path:
    """Write a file for its owner alone under a name that nobody has yet, and return its path.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    number = 1
    while True:
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
        try:
            create_file(path, _encoded(text))
        except FileExistsError:
            number += 1
        except (OSError, ValueError) as error:
            raise _unwritable(path, error) from None
        else:
            return path


# -- within ----------------------------------------------------------------------------------


@contextmanager
def _synced_folder(folder: Path) -> Generator[None]:
    """Sync a folder after what is done in it; it is opened before, so that it can be."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some file systems of networks sync no folders.
            if error.errno != errno.EINVAL:
                raise UnsyncedError(error.errno, error.strerror) from error
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Let two files have each other's names, in one call; return whether the system can."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:  # Linux has it, not on every file system; other systems do not
        return False
    names = (os.fsencode(one), os.fsencode(other))
    return rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0


@contextmanager
def _staged(
    path: Path, content: bytes, *, mode: int = 0o600, like: Path | None = None
) -> Generator[Path]:
    """Write a content beside where it is to go; what is left there in the end is removed."""
    staged = path.with_name(f"{staging_prefix(path)}{secrets.token_hex(4)}.tmp")
    try:
        _write_synced(staged, content, mode=mode, like=like)
        yield staged
    finally:
        with suppress(OSError):
            staged.unlink()


def _write_synced(path: Path, content: bytes, *, mode: int, like: Path | None) -> None:
    model = like.stat() if like is not None else None
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600 if like is not None else mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if like is not None and model is not None:
            # The owner before the mode, as changing the owner clears bits of it.
            _copy_owner(like, model, descriptor)
            _copy_attributes(like, descriptor)
            os.fchmod(descriptor, stat.S_IMODE(model.st_mode))
        os.fsync(descriptor)


def _copy_owner(source: Path, model: os.stat_result, descriptor: int) -> None:
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) == (model.st_uid, model.st_gid):
        return
    try:
        os.fchown(descriptor, model.st_uid, model.st_gid)
    except PermissionError as error:
        raise InputError(
            f"belongs to user {model.st_uid} and group {model.st_gid}, which you could "
            "not keep, and was not changed.",
            path=source,
            remedy="Run opskit as its owner.",
        ) from error


def _copy_attributes(source: Path, descriptor: int) -> None:
    if not hasattr(os, "listxattr"):  # Linux has these calls, other systems have not
        return
    try:
        wanted = os.listxattr(source)
        if _ACL in os.listxattr(descriptor) and _ACL not in wanted:
            # The folder's default list, which the file did not have.
            os.removexattr(descriptor, _ACL)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in wanted:
        try:
            os.setxattr(descriptor, name, os.getxattr(source, name))
        except OSError:
            # Others (security., trusted.) are the system's own, often not ours to set.
            if name.startswith(("user.", "system.")):
                raise


def _encoded(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")


def _unwritable(path: Path, error: OSError | ValueError) -> InputError:
    return InputError(
        f"cannot be written ({getattr(error, 'strerror', None) or error}).",
        path=path,
        remedy="Name a folder that you may write to, with free space.",
    )
