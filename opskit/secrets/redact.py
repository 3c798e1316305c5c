"""Masking values that passed through a `Secret`, wherever text leaves the process.

Values are known while a `Secret` holds them and for ten minutes after, as a message with a
value in it may come later than the end of what held it. Masked are all `spellings` of a value:
escaped, encoded or quoted by something on the way; long ones also where line breaks,
indentation, spaces, colours or a table's frame cut them up. The time it takes hardly depends on
how many values are known. Values of less than six bytes are not masked: they occur in ordinary
text by chance, and a mask over a word or a number of it would itself point at the value.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import threading
import time
import weakref
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""In bytes; shorter spellings occur in ordinary text by chance."""

_SHORTEST_LINE = 16
_LARGE = 4096


def spellings(value: bytes) -> frozenset[str]:
    """Return every spelling that is looked for.

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


_GRAM = 8
_SAMPLED = 2 * _GRAM - 1
"""A string this long covers, wherever it stands, a whole gram at a multiple of `_GRAM`."""
_LONGEST_TAIL = 4096

Span = tuple[int, int]


class Finder:
    """A changing collection of strings, looked for together.

    Every `_GRAM`-th place of a text is looked up in a table of the pieces of the long strings;
    the few short ones are searched for one by one.
    """

    __slots__ = ("_grams", "_ordered", "_short", "_strings")

    def __init__(self) -> None:
        self._strings: Counter[str] = Counter()
        self._grams: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        self._short: set[str] = set()
        self._ordered: list[str] | None = None

    def add(self, strings: Iterable[str]) -> None:
        """Look for these strings too, until they have been removed as often as added."""
        for string in strings:
            self._strings[string] += 1
            if len(string) < _SAMPLED:
                self._short.add(string)
            for gram, place in _pieces(string):
                self._grams[gram].add((string, place))
        self._ordered = None

    def remove(self, strings: Iterable[str]) -> None:
        """Take back an `add`."""
        for string in strings:
            self._strings[string] -= 1
            if self._strings[string] > 0:
                continue
            del self._strings[string]
            self._short.discard(string)
            for gram, place in _pieces(string):
                self._grams[gram].discard((string, place))
                if not self._grams[gram]:
                    del self._grams[gram]
        self._ordered = None

    def spans(self, text: str) -> list[Span]:
        """Return where strings stand in a text, in order, those that touch or overlap joined."""
        found = sorted([*self._sampled(text), *self._searched(text)])
        joined: list[Span] = []
        for start, end in found:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def unfinished(self, text: str) -> int:
        """Return where a string begins that the text's end cuts short; else the text's length."""
        if self._ordered is None:
            self._ordered = sorted(self._strings)
        longest = min(max(map(len, self._ordered), default=0), _LONGEST_TAIL)
        for start in range(max(0, len(text) - longest), len(text)):
            tail = text[start:]
            place = bisect_left(self._ordered, tail)
            # The strings that begin with the tail follow each other, the tail itself first.
            following = self._ordered[place : place + 2]
            if any(string.startswith(tail) and string != tail for string in following):
                return start
        return len(text)

    def _sampled(self, text: str) -> Iterator[Span]:
        grams = self._grams
        if not grams:
            return
        for at in range(0, len(text) - _GRAM + 1, _GRAM):
            gram = text[at : at + _GRAM]
            if gram in grams:
                for string, place in grams[gram]:
                    start = at - place
                    if start >= 0 and text.startswith(string, start):
                        yield start, start + len(string)

    def _searched(self, text: str) -> Iterator[Span]:
        for string in self._short:
            start = text.find(string)
            while start >= 0:
                yield start, start + len(string)
                start = text.find(string, start + 1)


def _pieces(string: str) -> Iterator[tuple[str, int]]:
    if len(string) >= _SAMPLED:
        for place in range(_GRAM):
            yield string[place : place + _GRAM], place


MASK = "[redacted]"

_LINGER_S = 600.0
_SHORTEST_CUT = 12
"""Shorter spellings are not looked for in pieces: numbers of a table could make one up."""
_SEAMS = re.compile(r"[\s│]+|\\[nrt]|\x1b\[[0-9;]*m")


@dataclass(slots=True)
class _Known:
    """What is looked for of a value, and how many hold it or did a moment ago."""

    forms: frozenset[str]
    seams_dropped: frozenset[str]
    holders: int = 0


class Registry:
    """The values that are masked.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[bytes, _Known] = {}
        self._whole, self._cut = Finder(), Finder()
        # Objects are finalised at any moment, also while this thread has the lock: their
        # finaliser only leaves a note.
        self._released: deque[bytes] = deque()
        self._leaving: deque[tuple[float, bytes]] = deque()

    def remember(self, reveal: Callable[[], bytes], *, owner: object) -> None:
        """Mask a value while its owner lives, and a while longer."""
        value = reveal()
        if len(value.strip()) < SHORTEST:
            return
        with self._lock:
            self._forget()
            if value not in self._known:
                forms = spellings(value)
                dropped = frozenset(map(_drop_seams, forms))
                known = _Known(forms, frozenset(s for s in dropped if len(s) >= _SHORTEST_CUT))
                self._known[value] = known
                self._whole.add(known.forms)
                self._cut.add(known.seams_dropped)
            self._known[value].holders += 1
        weakref.finalize(owner, self._released.append, value).atexit = False

    def redact(self, text: str) -> str:
        """Mask every known value in a text."""
        with self._lock:
            self._forget()
            if not self._known:
                return text
            text = _masked(text, self._whole.spans(text))
            dropped = _drop_seams(text)
            if dropped == text or not (spans := self._cut.spans(dropped)):
                return text
        return _masked(text, _with_seams(text, spans))

    def unfinished(self, text: str) -> int:
        """Return where a value begins that may continue in the text to come."""
        with self._lock:
            return self._whole.unfinished(text)

    def _forget(self) -> None:
        now = self._clock()
        while self._released:
            self._leaving.append((now + _LINGER_S, self._released.popleft()))
        while self._leaving and self._leaving[0][0] <= now:
            _, value = self._leaving.popleft()
            known = self._known[value]
            known.holders -= 1
            if not known.holders:
                del self._known[value]
                self._whole.remove(known.forms)
                self._cut.remove(known.seams_dropped)


_REGISTRY = Registry()
remember = _REGISTRY.remember
redact = _REGISTRY.redact
unfinished = _REGISTRY.unfinished


def _drop_seams(text: str) -> str:
    return _SEAMS.sub("", text)


def _with_seams(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Translate places in a text without its seams to places in the text."""
    begins, shifts, seen = [0], [0], 0
    for seam in _SEAMS.finditer(text):
        seen += seam.end() - seam.start()
        begins.append(seam.end() - seen)
        shifts.append(seen)

    def there(place: int) -> int:
        return place + shifts[bisect_right(begins, place) - 1]

    return [(there(start), there(end - 1) + 1) for start, end in spans]


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    parts: list[str] = []
    done = 0
    for start, end in spans:
        parts += [text[done:start], MASK]
        done = end
    return "".join([*parts, text[done:]])
