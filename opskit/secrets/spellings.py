"""The ways a value may be spelt in text: escaped, encoded or quoted by something on the way."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""In bytes; shorter spellings occur in ordinary text by chance."""

_SHORTEST_LINE = 16
_LARGE = 4096


def spellings(value: bytes) -> frozenset[str]:
    """Give every spelling that is looked for.

    Of base64 inside a longer base64 text, only the characters that the value alone decides:
    up to four bits at each end are shared with its neighbours. Of several lines, such as a
    private key, each is looked for too, as logs put something before every line. Very large
    values are looked for in the commonest spellings only.
    """
    found: set[str] = set()
    # A value often appears without the white space around it: printed, typed, or in a table.
    for data in {value, value.strip()}:
        found |= {data.hex(), data.hex().upper(), *_base64(data)}
        if len(data) <= _LARGE:
            found |= {*_undecoded(data), *_urls(data)}
        text = data.decode(errors="replace")
        # Of bytes that are no text, too little may be left to be told from other such bytes.
        if len(text.replace("\N{REPLACEMENT CHARACTER}", "")) >= SHORTEST:
            found |= {*_escaped(text), *_lines(text)}
    return frozenset(form for form in found if len(form.encode(errors="surrogatepass")) >= SHORTEST)


def _escaped(text: str) -> Iterator[str]:
    yield text
    if len(text) > _LARGE:
        yield from _json(text)
        return
    yield repr(text)[1:-1]
    yield shlex.quote(text)
    for quotes in (True, False):
        yield html.escape(text, quote=quotes)
    yield html.escape(text).replace("&#x27;", "&#39;")
    for once in _json(text):
        yield once
        # JSON inside JSON: a log line in a log line, a notebook's output.
        yield json.dumps(once)[1:-1]


def _json(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        plain = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield plain
        # PHP's way, and that of Go, in which the engine is written.
        yield plain.replace("/", "\\/")
        yield plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _undecoded(data: bytes) -> Iterator[str]:
    yield repr(data)[2:-1]
    for errors in ("backslashreplace", "surrogateescape"):
        yield data.decode(errors=errors)
        yield json.dumps(data.decode(errors=errors))[1:-1]


def _urls(data: bytes) -> Iterator[str]:
    yield quote(data)
    for url in (quote(data, safe=""), quote_plus(data)):
        yield url
        head, *escapes = url.split("%")
        yield head + "".join(f"%{escape[:2].lower()}{escape[2:]}" for escape in escapes)


def _lines(text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > 1:
        for line in lines:
            if len(line) >= _SHORTEST_LINE and not line.startswith("-----"):
                yield line
                yield json.dumps(line)[1:-1]


def _base64(data: bytes) -> Iterator[str]:
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + data).decode()
        start, rest = (0, 2, 3)[offset], (offset + len(data)) % 3
        middle = whole[start : len(whole) if rest == 0 else rest - 4]
        for form in (middle, whole.rstrip("="), whole) if offset == 0 else (middle,):
            yield form
            yield form.replace("+", "-").replace("/", "_")
