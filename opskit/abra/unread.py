"""Why a text file is not what it seems: a merge was left half done, or the file is encrypted.

What such a file declares is not known, and a change of one line of it would hide the fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
