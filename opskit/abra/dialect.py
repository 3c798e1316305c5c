r"""Where abra reads a ``.env`` otherwise than python-dotenv, which does the reading here.

abra's parser is a fork of https://github.com/joho/godotenv. What python-dotenv would take for
something else is written as python-dotenv knows it, in place, so that every character stays where
it is (`REWRITES`); a variable's name is held against abra's rule (`NAMED`); a value's escapes and
references are read as abra reads them (`expand`).

Neither is followed in this: a statement that cannot be read costs its own line, while abra refuses
the file and python-dotenv goes on behind all the lines it has tried. And abra is not followed,
but python-dotenv, where abra's reading is nobody's wish: the first of two comments ends a value,
not the last; ``KEY= # comment`` is empty; ``"\""`` is a quote; ``$(x)`` stays; a value over several
lines keeps its newlines, be they ``\r\n``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

BLANKS = " \t\v\f\x85\xa0"
"""What abra skips within a line."""

NAMED = re.compile(
    rf"(?:export[{BLANKS}]+)?+(?P<key>[A-Za-z0-9_.]+)[{BLANKS}]*(?P<sign>[=:])[{BLANKS}]*"
)
"""What stands before a value: python-dotenv takes any word for a name, quoted ones, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One thing that is written for python-dotenv in another way of the same length."""

    name: str
    why: str
    pattern: re.Pattern[str]
    written: str | Callable[[re.Match[str]], str]


REWRITES = (
    Rewrite(
        name="byte order mark",
        why="python-dotenv drops it, and gives the place of all that follows without it.",
        pattern=re.compile(r"\A\ufeff"),
        written=" ",
    ),
    Rewrite(
        name="Unicode space",
        why="It is blank to python-dotenv, which strips it; to abra it is part of the value.",
        pattern=re.compile(r"[\x1c-\x1f\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"),
        written="_",
    ),
    Rewrite(
        name="colon",
        why="abra takes KEY: value for KEY=value.",
        pattern=re.compile(
            rf"((?:^|(?<=\r))[{BLANKS}]*(?:export[{BLANKS}]+)?+[A-Za-z0-9_.]+[{BLANKS}]*):",
            re.MULTILINE,
        ),
        written=r"\1=",
    ),
    Rewrite(
        name="escape",
        why="python-dotenv gives a value unescaped, and so not as long as it is in the file.",
        pattern=re.compile(r"""\\[\\'"abfnrtv]"""),
        written="__",
    ),
    Rewrite(
        name="long blank",
        why="python-dotenv looks through it once for each of its characters; a comment is skipped.",
        pattern=re.compile(rf"(?<=\S)[{BLANKS}]{{1000,}}"),
        written=lambda match: " ".ljust(len(match[0]), "#"),
    ),
)

_ESCAPE = re.compile(r"\\([^$])", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r"}
_REFERENCE = re.compile(
    r"""
    \\ (?P<literal> \$ )
    | \$ \{ (?P<defaulted> [A-Z0-9_]+ ) (?P<operator> :?- ) (?P<default> [^{}]* ) \}
    | \$ \{? (?P<name> [A-Z0-9_]+ ) \}?
    """,
    re.VERBOSE,
)


def as_dotenv(text: str) -> str:
    """Return a text of the same length that python-dotenv takes apart as abra does `text`."""
    for rewrite in REWRITES:
        text = rewrite.pattern.sub(rewrite.written, text)
    return text


def expand(raw: str, quote: str, above: Mapping[str, str]) -> tuple[str, bool]:
    r"""Return a value as abra sees it, and whether a default was taken as Compose would.

    python-dotenv decodes ``\t`` and the like, knows ``${NAME:-default}`` and no ``$NAME``, and
    falls back on this process's environment. abra decodes ``\n`` and ``\r`` between double quotes,
    drops other backslashes there, and knows ``$NAME`` and ``${NAME}`` in capitals, without
    defaults.

    Parameters
    ----------
    raw, quote
        The value as it stands between its quotes, and which quotes.
    above
        The variables that the lines above it set; all others are empty.
    """
    if quote == "'":
        return raw, False
    if quote and "\\" in raw:
        raw = _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), raw)
    if "$" not in raw:
        return raw, False
    defaulted = any(match["defaulted"] for match in _REFERENCE.finditer(raw))
    return _REFERENCE.sub(lambda match: _referred(match, above), raw), defaulted


def _referred(match: re.Match[str], above: Mapping[str, str]) -> str:
    if match["literal"]:
        return "$"
    if match["name"]:
        return above.get(match["name"], "")
    found = above.get(match["defaulted"])
    missing = not found if match["operator"] == ":-" else found is None
    return match["default"] if missing else found or ""
