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
    | \$ \{ (?P<defaulted> [A-Z0-9_]+ ) (?P<operator> :?[-?+] )
    | \$ \{? (?P<name> [A-Z0-9_]+ ) \}?
    """,
    re.VERBOSE,
)
_BRACES = re.compile(r"\$\{|\}")
_FORMS = {
    operator: f"abra does not know {form} in an .env; it is read here as Compose would."
    for operator, form in (("-", "${…:-default}"), ("?", "${…:?why}"), ("+", "${…:+other}"))
}
_UNKNOWN = "abra does not know what stands behind the name in ${…}; it replaces the name alone."
_LONGEST = 131_071
"""Bytes that Linux hands to a program in one variable, and so the most that a deploy can use."""
TOO_LONG = f"the value is longer than {_LONGEST:,} bytes, which no program can be given."
_DEPTH = 20
"""Defaults within defaults; deeper is no wish of anybody's."""


class TooLongError(Exception):
    """A value that was cut short, since lines that double each other would fill any memory."""


def as_dotenv(text: str) -> str:
    """Return a text of the same length that python-dotenv takes apart as abra does `text`."""
    for rewrite in REWRITES:
        text = rewrite.pattern.sub(rewrite.written, text)
    return text


def expand(raw: str, quote: str, above: Mapping[str, str]) -> tuple[str, str]:
    r"""Return a value as abra sees it, and a sentence about the first thing abra does not know.

    What only Compose knows is read as Compose would: ``${NAME:-default}``, ``${NAME:?why}``,
    ``${NAME:+other}``, without the colon too, and one within another.

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

    Raises
    ------
    TooLongError
        It is longer than what any program can be given.
    """
    if len(raw) > _LONGEST:
        raise TooLongError
    if quote == "'":
        return raw, ""
    if quote and "\\" in raw:
        raw = _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), raw)
    if "$" not in raw:
        return raw, ""
    forms: list[str] = []
    return _expanded(raw, above, forms, 0), forms[0] if forms else ""


def _expanded(text: str, above: Mapping[str, str], forms: list[str], depth: int) -> str:
    parts: list[str] = []
    at = size = 0
    while match := _REFERENCE.search(text, at):
        parts.append(text[at : match.start()])
        at = match.end()
        if match["literal"]:
            parts.append("$")
        elif match["name"]:
            parts.append(above.get(match["name"], ""))
            if match[0].startswith("${") and not match[0].endswith("}"):
                forms.append(_UNKNOWN)
        else:
            forms.append(_FORMS[match["operator"][-1]])
            end = _closing(text, at)
            parts.append(_chosen(match, text[at:end], above, forms, depth))
            at = end + 1
        size += sum(map(len, parts[-2:]))
        if size > _LONGEST:
            raise TooLongError
    return "".join(parts) + text[at:]


def _chosen(
    match: re.Match[str], word: str, above: Mapping[str, str], forms: list[str], depth: int
) -> str:
    """Return what a reference with an operator stands for."""
    found, operator = above.get(match["defaulted"]), match["operator"]
    # With a colon an empty variable counts as unset.
    is_set = bool(found) if operator.startswith(":") else found is not None
    if operator.endswith("?") or is_set is operator.endswith("-"):
        return found or ""
    if not is_set and operator.endswith("+"):
        return ""
    return _expanded(word, above, forms, depth + 1) if depth < _DEPTH else word


def _closing(text: str, start: int) -> int:
    """Find the brace that closes an expression, past those of others in it; else the text's end."""
    depth = 1
    for match in _BRACES.finditer(text, start):
        depth += 1 if match[0] == "${" else -1
        if depth == 0:
            return match.start()
    return len(text)
