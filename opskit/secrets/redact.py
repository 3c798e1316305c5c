"""Masking values that passed through a `Secret`, wherever text leaves the process.

Values are known while a `Secret` holds them and for ten minutes after, as a message with a
value in it may come later than the end of what held it. Masked are all of a value's `spellings`;
long ones also where line breaks, indentation, spaces, colours or a table's frame cut them up.
Values of less than six bytes are not masked: they occur in ordinary text by chance, and a mask
over a word or a number of it would itself point at the value.
"""

from __future__ import annotations

import re
import threading
import time
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from opskit.secrets.finder import Finder
from opskit.secrets.spellings import SHORTEST, spellings

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
        """Give where a value begins that may continue in the text to come."""
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
