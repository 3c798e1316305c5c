"""The grammar of ``.env`` files: where each statement stands and what it is made of.

Read as abra reads them, whose parser is a fork of https://github.com/joho/godotenv: ``KEY=value``
or ``KEY: value`` after an optional ``export``, quotes that may span lines, comments after
whitespace. Three things differ on purpose: one bad statement does not spoil the file, the first of
two comments on a line ends the value, and a comment right behind ``KEY=`` is one.

python-dotenv's parser does not fit: it keeps neither the quotes, which decide on expansion, nor
positions, which editing needs, and takes four times as long over a fleet's hundreds of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_BLANK = r"[ \t\v\f\x85\xa0]"
_STATEMENT = re.compile(
    rf"""
    {_BLANK}* (?: export {_BLANK}+ )?
    (?P<key> [A-Za-z0-9_.]+ ) {_BLANK}* [=:] (?P<pad> {_BLANK}* )
    (?: (?P<quote> ["'] )
        (?P<quoted> (?: (?!(?P=quote)) [^\\] | \\. )*+ )
        (?P=quote) (?P<rest> [^\r\n]* )
      | (?! ["'] ) (?P<bare> [^\r\n]* )
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_KEY = re.compile(rf"{_BLANK}*(?:export{_BLANK}+)?(?P<key>[A-Za-z0-9_.]+){_BLANK}*[=:]")
_COMMENT = re.compile(rf"{_BLANK}\#")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_BLANKS = " \t\v\f\x85\xa0"

UNCLOSED = "the quote that opens this value is never closed."
TRAILING = "something follows the closing quote."
NO_VALUE = "this line gives no variable a value."


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement; never shows its value.

    Parameters
    ----------
    key
        The variable; empty where none could be made out.
    raw
        The value as it stands between its quotes, neither expanded nor unescaped.
    quote
        ``"``, ``'`` or nothing.
    comment
        What follows the ``#`` behind the value.
    line
        Where the statement begins, from 1.
    start, end
        Where `raw` stands in the text.
    stop
        Where the next statement's line begins.
    fault
        What is wrong with it; empty when nothing is. A faulty statement has no value.
    """

    key: str
    raw: str = field(default="", repr=False)
    quote: str = ""
    comment: str = field(default="", repr=False)
    line: int
    start: int = 0
    end: int = 0
    stop: int
    fault: str = ""


def statements(text: str) -> Iterator[Statement]:
    """Take a text apart; comments and blank lines are passed over.

    Parameters
    ----------
    text
        A file's text, newlines as they are, with or without a byte order mark.

    Yields
    ------
    Statement
        In order, faulty ones too.
    """
    at, line = (1 if text.startswith("\ufeff") else 0), 1
    while at < len(text):
        stop = _line_end(text, at)
        first = text[at:stop].lstrip()[:1]
        if first and first != "#":
            statement = _statement(text, at, stop, line)
            yield statement
            stop = statement.stop
        line += len(_NEWLINE.findall(text, at, stop))
        at = stop


def newline_after(text: str, at: int = 0) -> str:
    r"""Give the first newline from `at` on: ``\n``, ``\r\n``, ``\r``, or nothing."""
    match = _NEWLINE.search(text, at)
    return match[0] if match else ""


def _line_end(text: str, at: int) -> int:
    match = _NEWLINE.search(text, at)
    return match.end() if match else len(text)


def _statement(text: str, at: int, stop: int, line: int) -> Statement:
    match = _STATEMENT.match(text, at)
    if match is None:
        keyed = _KEY.match(text, at)
        fault = UNCLOSED if keyed else NO_VALUE
        return Statement(key=keyed["key"] if keyed else "", line=line, stop=stop, fault=fault)
    key, quote = match["key"], match["quote"] or ""
    if not quote:
        start, raw, comment = _bare(match)
        end = start + len(raw)
        return Statement(
            key=key, raw=raw, comment=comment, line=line, start=start, end=end, stop=stop
        )
    rest = match["rest"].lstrip(_BLANKS)
    if rest and not rest.startswith("#"):
        # A quote that closes on a later line, in the middle of something, was not meant to.
        fault = UNCLOSED if match.end() > stop else TRAILING
        return Statement(key=key, line=line, stop=stop, fault=fault)
    return Statement(
        key=key,
        raw=match["quoted"],
        quote=quote,
        comment=rest[1:],
        line=line,
        start=match.start("quoted"),
        end=match.end("quoted"),
        stop=_line_end(text, match.end()),
    )


def _bare(match: re.Match[str]) -> tuple[int, str, str]:
    """Split an unquoted value from its comment: its start, itself, the comment."""
    bare = match["bare"]
    if match["pad"] and bare.startswith("#"):
        return match.start("pad"), "", bare[1:]
    comment = _COMMENT.search(bare)
    raw = (bare[: comment.start()] if comment else bare).rstrip(_BLANKS)
    start = match.start("bare") if raw else match.start("pad")
    return start, raw, bare[comment.end() :] if comment else ""
