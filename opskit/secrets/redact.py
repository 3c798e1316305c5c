"""Masking values that passed through a `Secret`, wherever text leaves the process."""

from __future__ import annotations

import base64
import json
import re
import threading
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
_SHORTEST = 6
"""Shorter values occur in ordinary text; masking them would hide words and tell nothing."""
_MOST = 4096

_lock = threading.Lock()
_values: dict[bytes, None] = {}


def remember(value: bytes) -> None:
    """Mask this value from now on; the process's latest few thousand are kept."""
    if len(value.strip()) < _SHORTEST:
        return
    with _lock:
        _values.pop(value, None)
        _values[value] = None
        while len(_values) > _MOST:
            del _values[next(iter(_values))]
    _pattern.cache_clear()


def redact(text: str) -> str:
    """Mask every remembered value: plain, JSON-escaped, base64, URL-encoded and hex."""
    with _lock:
        known = tuple(_values)
    pattern = _pattern(known) if known else None
    return pattern.sub(MASK, text) if pattern else text


@lru_cache(maxsize=1)
def _pattern(known: tuple[bytes, ...]) -> re.Pattern[str] | None:
    forms = {form for value in known for form in spellings(value)}
    ordered = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def spellings(value: bytes) -> set[str]:
    """Give the ways a value may be spelt in text."""
    forms = {value.hex(), value.hex().upper(), *_base64(value)}
    for text in {value.decode("utf-8", "replace"), value.strip().decode("utf-8", "replace")}:
        forms |= {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        forms |= {quote(text, safe=""), quote_plus(text), repr(text)[1:-1]}
    return {form for form in forms if len(form) >= _SHORTEST}


def _base64(value: bytes) -> set[str]:
    """Give base64 at each of its three alignments, without the characters others share."""
    found: set[str] = set()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + value).decode()
        start = (0, 2, 3)[offset]
        end = len(encoded) if not (offset + len(value)) % 3 else -4 + (offset + len(value)) % 3
        middle = encoded[start:end]
        found |= {middle, middle.replace("+", "-").replace("/", "_")}
    return found
