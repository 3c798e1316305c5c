"""The statements of a ``.env`` file: where each stands and what it is made of.

python-dotenv finds them, in a text that reads to it as the file reads to abra; where the two differ
is all in `opskit.abra.dialect`. The pieces are then cut out of the file's own text, at their place.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dotenv.parser import Binding, Position, Reader, parse_binding

from opskit.abra.dialect import BLANKS, NAMED, as_dotenv

_NEWLINE = re.compile(r"\r\n|\n|\r")

UNCLOSED = "the quote that opens this value is never closed."
TRAILING = "something follows the closing quote."
NO_VALUE = "this line gives no variable a value."
LONG_BLANK = "a thousand blanks or more stand in a row here."


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
    """Read a text's statements in order, faulty ones too; comments and blank lines are none.

    Parameters
    ----------
    text
        A file's text, newlines as they are, with or without a byte order mark.
    """
    # This is `dotenv.parser.parse_stream`, except that it can go back to the end of a line.
    reader = Reader(io.StringIO(as_dotenv(text)))
    while reader.has_next():
        binding = parse_binding(reader)
        found = binding.original.string.lstrip()
        blank = binding.original.string.removesuffix(found)
        line = binding.original.line + len(_NEWLINE.findall(blank))
        stop = reader.position.chars
        begin = stop - len(found)
        written = text[begin:stop].lstrip()
        statement = None
        if written and not written.startswith("#"):
            statement = _statement(text, binding, begin, stop, line)
        if binding.error or (statement and statement.fault):
            reader.position.set(Position(_line_end(text, begin), line + 1))
        if statement:
            yield statement


def newline_after(text: str, at: int = 0) -> str:
    r"""Return the first newline from `at` on: ``\n``, ``\r\n``, ``\r``, or nothing."""
    match = _NEWLINE.search(text, at)
    return match[0] if match else ""


def _line_end(text: str, at: int) -> int:
    match = _NEWLINE.search(text, at)
    return match.end() if match else len(text)


def _statement(text: str, binding: Binding, begin: int, stop: int, line: int) -> Statement:
    """Cut a statement out of the text where python-dotenv has found it."""
    named = NAMED.match(text, begin)
    if named is None or binding.value is None:
        key, fault = named["key"] if named else "", _fault(binding, named)
        return Statement(key=key, line=line, stop=_line_end(text, begin), fault=fault)
    quote = text[named.end()] if text.startswith(("'", '"'), named.end()) else ""
    start = named.end() + len(quote) if quote or binding.value else named.end("sign")
    end = start + len(binding.value)
    rest = text[end + len(quote) : stop].lstrip(BLANKS).rstrip("\r\n")
    if rest and not rest.startswith("#"):
        stop = _line_end(text, begin)
        return Statement(key=named["key"], line=line, stop=stop, fault=LONG_BLANK)
    return Statement(
        key=named["key"],
        raw=text[start:end],
        quote=quote,
        comment=rest[1:],
        line=line,
        start=start,
        end=end,
        stop=stop,
    )


def _fault(binding: Binding, named: re.Match[str] | None) -> str:
    """Return why a statement that begins with this name, if any, has no value."""
    if named is None:
        return NO_VALUE
    if not binding.error:
        return LONG_BLANK
    value = _NEWLINE.split(binding.original.string.lstrip()[len(named[0]) :], maxsplit=1)[0]
    return TRAILING if value[0] in value[1:] else UNCLOSED
