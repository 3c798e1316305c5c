"""Reading the small text files of an abra folder, and why one is not what it seems.

A merge was left half done, or the file is encrypted: what such a file declares is not known, and a
change of one line of it would hide the fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from opskit.abra.model import Problem
from opskit.errors import InputError
from opskit.files.bounded import read_regular

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


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_OPENS, _CLOSES = re.compile(r"<{7}(?!<)"), re.compile(r">{7}(?!>)")
_MARK = re.compile(r"(?:<{7}|\|{7}|={7}|>{7})(?:[ \t].*)?", re.DOTALL)

CONFLICT_REMEDY = "Keep what is right of each part, take the marks away, then: git add it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a file is encrypted with, and how to get at its text."""

    program: str
    remedy: str


_GIT_CRYPT = Lock(program="git-crypt", remedy="Unlock the checkout: git-crypt unlock")
_VAULT = Lock(program="ansible-vault", remedy="Decrypt it: ansible-vault decrypt FILE")
_SOPS = Lock(program="sops", remedy="Decrypt it: sops decrypt --in-place FILE")
# Both print the text when no file is named for it.
_GPG = Lock(program="GnuPG", remedy="Decrypt it: gpg --output FILE.plain --decrypt FILE")
_AGE = Lock(program="age", remedy="Decrypt it: age --output FILE.plain --decrypt FILE")
_BEGINNINGS = (
    (b"\0GITCRYPT\0", _GIT_CRYPT),
    (b"$ANSIBLE_VAULT;", _VAULT),
    (b"-----BEGIN PGP MESSAGE-----", _GPG),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", _AGE),
    (b"age-encryption.org/v1", _AGE),
)
_OF_SOPS = re.compile(rb"ENC\[AES256_GCM,data:")


def lock_of(content: bytes) -> Lock | None:
    """Return what a file is encrypted with, be it only its values; ``None`` for plain text."""
    for beginning, lock in _BEGINNINGS:
        if content.startswith(beginning):
            return lock
    return _SOPS if _OF_SOPS.search(content) else None


def conflicts(text: str) -> list[tuple[int, int]]:
    """Return the first and the last line, from 1, of each merge conflict that git left."""
    found: list[tuple[int, int]] = []
    begins = ends = 0
    for number, line in enumerate(_LINE.findall(text), 1):
        if not _MARK.fullmatch(line.rstrip("\r\n")):
            continue
        ends = number
        if _OPENS.match(line):
            begins = begins or number
        elif _CLOSES.match(line):
            found.append((begins or number, number))
            begins = 0
    return [*found, (begins, ends)] if begins else found


def about_conflicts(found: list[tuple[int, int]]) -> str:
    """Return a sentence that names the lines of merge conflicts."""
    spans = (f"{first} to {last}" if first != last else str(first) for first, last in found)
    noun = "line" if len(found) == 1 and found[0][0] == found[0][1] else "lines"
    return f"a merge conflict was left here, {noun} {' and '.join(spans)}."


def without_conflicts(text: str, found: list[tuple[int, int]]) -> str:
    """Return a text with the lines of its merge conflicts emptied, every other one at its place."""
    lines = _LINE.findall(text)
    for first, last in found:
        for at in range(first - 1, last):
            lines[at] = lines[at][len(lines[at].rstrip("\r\n")) :]
    return "".join(lines)
