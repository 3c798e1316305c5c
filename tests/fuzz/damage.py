"""Ways to damage what was sound: data in its structure, then bytes without a thought for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

LARGEST = 200_000
"""Bytes of an input; what is larger is refused by size, which other tests hold."""
_CHANGES = 6
_KINDS_OF_CHANGE = ("other", "other", "other", "gone", "doubled", "moved", "named", "grown")

_NASTY_TEXTS = (
    "", " ", "\0", "\n", "\r", "\x1b[31m", "\u202e", "\ud800", "\ufeff", "=1+1", "<b>x</b>",
    "../..", "/dev/zero", "-", "--help", "$", "${", "${A:-${B:?c}}", "$$", "%s", "{0}", "null",
    "true", "1e999", "9" * 400, "x" * 70, "x" * 70_000, "a_" * 40 + "v1", "v99999999999999999999",
    "\uff10", "é" * 64, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
    "2026-01-01T00:00:00+23:59", "-1-01-01", "2026-02-30", "{}", "[" * 3000, "'", '"', "`", "\\",
    "ssh://", "ssh://-oProxyCommand=x/", "unix://\0", "tcp://[::1", "complete", "running",
    "current",
)  # fmt: skip
_NASTY_NUMBERS = (
    0, -1, 1, 7, 2**31, 2**53 + 1, -(2**63), 2**63 - 1, 2**63, 2**64, 10**30, 0.5, -0.0, 1e-320,
    1e308,
)  # fmt: skip
NASTY: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(_NASTY_TEXTS),
    st.sampled_from(_NASTY_NUMBERS),
    # Anew each time, as what holds it is changed.
    st.sampled_from(["null", "true", "false", "[]", "{}", "[[]]", "[null]", '{"": null}',
                     '{"a": {"a": {}}}']).map(json.loads),
    st.text(max_size=8),
    st.integers(),
    st.floats(),
)  # fmt: skip
"""Values of every kind that some reader somewhere was once not ready for."""


@st.composite
def bent(draw: Draw, seeds: Sequence[Any]) -> Any:
    """Return sound data of which some parts are others, are gone, are doubled or are elsewhere."""
    data = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, _CHANGES))):
        places = list(_places(data))
        if not places:
            return draw(NASTY)
        holder, key = draw(st.sampled_from(places))
        _change(draw, holder, key, places)
    return data


def _change(draw: Draw, holder: Any, key: Any, places: Sequence[tuple[Any, Any]]) -> None:
    what = draw(st.sampled_from(_KINDS_OF_CHANGE))
    match what:
        case "other":
            holder[key] = draw(NASTY)
        case "gone":
            del holder[key]
        case "doubled" if isinstance(holder, list):
            holder[key:key] = [copy.deepcopy(holder[key])] * draw(st.sampled_from((1, 2, 50)))
        case "moved":
            other, place = draw(st.sampled_from(places))
            # One that holds this very place would then hold itself.
            holder[key] = json.loads(json.dumps(other[place]))
        case "named" if isinstance(holder, dict):
            holder[str(draw(NASTY))] = holder.pop(key)
        case "grown" if isinstance(holder[key], str):
            holder[key] = holder[key] * draw(st.sampled_from((2, 50, 2000)))
        case _:
            holder[key] = None


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [data]
    while waiting:
        found = waiting.pop()
        keys: Sequence[Any] = ()
        if isinstance(found, dict):
            keys = list(found)
        elif isinstance(found, list):
            keys = range(len(found))
        for key in keys:
            yield found, key
            waiting.append(found[key])


@st.composite
def damaged(draw: Draw, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """Return one of some sound texts, or parts of two, changed here and there.

    `words` are what texts of the kind are made of, and are put where they do not belong.
    """
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, _CHANGES))):
        content = _damage(draw, content, seeds, words)[:LARGEST]
    return content


def _damage(draw: Draw, content: bytes, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    start = draw(st.integers(0, len(content)))
    end = min(len(content), start + draw(st.sampled_from((0, 1, 2, 5, 20, 200))))
    part = content[start:end]
    match draw(
        st.sampled_from(("gone", "word", "word", "bytes", "text", "again", "ends", "other"))
    ):
        case "gone":
            part = b""
        case "word" if words:
            part = draw(st.sampled_from(words))
        case "bytes":
            part = draw(st.binary(max_size=8))
        case "text":
            part = draw(st.sampled_from(_NASTY_TEXTS)).encode("utf-8", "surrogatepass")
        case "again":
            part *= draw(st.sampled_from((2, 3, 100, 2000)))
        case "ends":
            end = len(content)
        case _:
            part = draw(st.sampled_from(seeds))[start:]
    return content[:start] + part + content[end:]
