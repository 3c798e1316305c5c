"""Finding any of many strings in a text, in a time that hardly depends on how many they are."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

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
        """Give where strings stand in a text, in order, those that touch or overlap joined."""
        found = sorted([*self._sampled(text), *self._searched(text)])
        joined: list[Span] = []
        for start, end in found:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def unfinished(self, text: str) -> int:
        """Give where a string begins that the text's end cuts short; else the text's length."""
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
