"""Reading the small text files of an abra folder, and what may be said of them."""

from __future__ import annotations

import re
from pathlib import Path

from opskit.abra.model import Problem
from opskit.bounded import read_regular
from opskit.errors import InputError

_UNDECODED = re.compile(r"[\ud800-\udfff]")

SIZE_LIMIT = 1024**2
"""More than this is no ``.env`` and no compose file."""


def read_bytes(path: Path) -> bytes:
    """Read a regular file, following symlinks.

    Raises
    ------
    InputError
        It is missing, not permitted, too large or no file.
    """
    try:
        return read_regular(path, SIZE_LIMIT)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> InputError:
    """Return why a file or folder cannot be read."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return InputError(
            "the symlink points nowhere.",
            path=path,
            remedy="Point it at what was moved, or remove it.",
        )
    return InputError(
        f"it cannot be read ({error.strerror or error}).",
        path=path,
        remedy="Check that it exists and that you may read it.",
    )


def as_problem(error: InputError, path: Path) -> Problem:
    """Return an error as a problem, to be shown beside what could be read."""
    return Problem(
        path=printable(str(error.path or path)),
        line=error.line or 0,
        what=error.what,
        remedy=error.remedy,
        kind="unread",
    )


def exists(path: Path) -> bool:
    """Return whether anything is there, readable or not."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def decode(data: bytes) -> str:
    """Decode UTF-8 so that `encode` gives the very same bytes, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes that `decode` read."""
    return text.encode("utf-8", "surrogateescape")


def is_utf8(text: str) -> bool:
    """Return whether all of the bytes that `decode` read were UTF-8."""
    return not _UNDECODED.search(text)


def printable(text: str) -> str:
    r"""Return text that can be saved and shown, control characters and the like as ``\x1b``."""
    if text.isprintable():
        return text
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


def is_folder(path: Path) -> bool:
    """Return whether this is a folder; one that may not be looked at is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # not permitted, a name too long or with a NUL byte
        return False


def is_utf16(data: bytes) -> bool:
    """Return whether the bytes begin as UTF-16 text does."""
    return data.startswith((b"\xff\xfe", b"\xfe\xff"))
