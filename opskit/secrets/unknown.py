"""Masking what may be a value that nobody here knows, in lines that a program wrote.

`opskit.secrets.redact` knows the values of this run. One that only the swarm and an app know is
told by what it is not: only what looks like ordinary words, names, numbers and paths is shown.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise

from opskit.secrets.generate import word_list
from opskit.secrets.redact import MASK

_HOLE = "\0"
"""Stands for the mask while a line is worked on; lines have no such character."""

_KEYED = re.compile(
    r"""(?ix)
    (?P<key> [\w.-]* (?: pass(?:word|wd|phrase)? | pwd | secret | token | credential s? | dsn
      | api_?key | private_?key | cookie | auth(?:orization)?(?![a-z]) ) [\w.-]* ["']? \s* [:=] \s*
      (?: (?:bearer|basic|token) \s+ )? )
    (?P<value> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | \S+ )
    """
)
_USERINFO = re.compile(r"(?P<user>://[^\s:/@]*:)\S+(?P<at>@)")
_APART = re.compile(r"""([/:,;"'`()\[\]{}<>|\\?]+)""")
"""What is in no value that is made, nor in most of its spellings."""
_LINKS = re.compile(r"[=&@]+")
_NAME = re.compile(r"[a-z_-]{3,}|[A-Z_]{3,}")
_SPECIAL = re.compile(r"[!@#$%^&*+=]")
_MOST_SPECIAL = 2
"""More in one run come from a value that was drawn from special characters."""
_AROUND = "!#$%^&*+-_.~…"

_SHORT = 5
"""Fewer characters than a half of any value that is made."""
_LONG_WORD = 7
"""Longer words must be pronounceable."""
_RARE_PAIR = 8
"""Pairs of letters that occur less often in EFF's words hardly occur in others."""
_MOST_DIGITS = 7
_MOST_HYPHENS = 2
"""More join words of a passphrase."""

_NUMBER = re.compile(
    rf"\d{{1,{_MOST_DIGITS}}}([.,]\d{{1,{_MOST_DIGITS}}})*(ms|[smhkKMGT]?i?[bB]?|Z|%)?"
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d)?|\d\d\.\d{1,9}(Z|[+-]\d\d)?|T?\d\d[+-]\d\d")
_PIECES = re.compile(r"[-_.]+")
_HUMPS = re.compile(r"[a-z]{3,}([A-Z][a-z]{2,})+|([A-Z][a-z]{2,}){2,}|[A-Z]{2,}[a-z]{3,}")
_NUMBERED = re.compile(r"(?P<word>v|[a-z]{2,}|[A-Z]{2,}|[A-Z][a-z]+)\d{1,4}")
_HEX = re.compile(r"[a-f]{6,}")
_NAMES = frozenset({
    "apache", "hostname", "keycloak", "localhost", "mariadb", "mysqld", "nextcloud", "postgres",
    "postgresql", "rabbitmq", "sqlstate", "vaultwarden", "wordpress",
})  # fmt: skip
"""What fails often in the field, and is no word of any language."""


def mask_unknown(text: str) -> str:
    """Mask in each line what does not look like words, names, numbers or paths.

    What follows a name such as ``password=`` and the password of an address go, whatever they
    look like.
    """
    text = _USERINFO.sub(rf"\g<user>{_HOLE}\g<at>", text.replace(MASK, _HOLE))
    text = _KEYED.sub(rf"\g<key>{_HOLE}", text)
    masked = "".join(part if part.isspace() else _token(part) for part in re.split(r"(\s+)", text))
    return re.sub(rf"{_HOLE}(?:[^\s\w]*{_HOLE})*", MASK, masked)


def _token(token: str) -> str:
    """Return what stands between two spaces, its suspicious runs masked."""
    parts = _APART.split(token)
    runs = parts[::2]
    suspicious = [_is_suspicious(run, spare=_SHORT) for run in runs]
    if any(suspicious):
        # What is short may be a piece of what is not.
        suspicious = [_is_suspicious(run, spare=0) for run in runs]
    for at, is_bad in enumerate(suspicious):
        if is_bad:
            name, equals, _ = runs[at].partition("=")
            is_name = equals and _NAME.fullmatch(name) and _is_ordinary(name)
            parts[2 * at] = f"{name}={_HOLE}" if is_name else _HOLE
    return "".join(parts)


def _is_suspicious(run: str, *, spare: int) -> bool:
    """Return whether something in a run is no word, name or number, nor at most so long."""
    spare = 0 if len(_SPECIAL.findall(run)) > _MOST_SPECIAL else spare
    atoms = (atom.strip(_AROUND) for atom in _LINKS.split(run.replace(_HOLE, "")))
    return not all(len(atom) <= spare or _is_ordinary(atom) for atom in atoms)


def _is_ordinary(core: str) -> bool:
    """Return whether it is a number, a time, a word, or names joined by ``-``, ``_`` and dots."""
    if not core or _NUMBER.fullmatch(core) or _MOMENT.fullmatch(core):
        return True
    pieces = _PIECES.split(core)
    is_phrase = core.count("-") > _MOST_HYPHENS
    return not is_phrase and all(map(_is_piece, pieces))


def _is_piece(piece: str) -> bool:
    if piece.isdigit():
        return len(piece) <= _MOST_DIGITS
    if numbered := _NUMBERED.fullmatch(piece):
        piece = numbered["word"]
    return piece.isalpha() and _is_word(piece)


def _is_word(letters: str) -> bool:
    """Return whether letters look like a word, or like several in one as programs name things."""
    lower = letters.lower()
    if not letters.isascii() or lower in _NAMES:
        return True
    if letters in (lower, letters.upper(), letters.capitalize()):
        return not _HEX.fullmatch(lower) and (len(letters) <= _LONG_WORD or _odd(lower) <= 1)
    return bool(_HUMPS.fullmatch(letters)) and _odd(lower) <= len(letters) // 12


def _odd(letters: str) -> int:
    """Count the pairs of letters that hardly occur in words."""
    common = _common_pairs()
    return sum(first + second not in common for first, second in pairwise(letters))


@lru_cache(maxsize=1)
def _common_pairs() -> frozenset[str]:
    found = Counter(first + second for word in word_list() for first, second in pairwise(word))
    return frozenset(pair for pair, times in found.items() if times >= _RARE_PAIR)
