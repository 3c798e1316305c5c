"""How a ``.env`` changed, told without the values that may be secrets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from opskit.abra.files import decode, printable
from opskit.abra.names import VERSION
from opskit.abra.statements import statements

_HARMLESS_KEYS = frozenset({"TYPE", "RECIPE", "DOMAIN", "COMPOSE_FILE", "STACK_NAME", "TIMEOUT"})
_HARMLESS = re.compile(r"(?i)true|false|yes|no|on|off|[0-9]{1,5}|production|staging|")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_COMMENTED = re.compile(r"(?m)^([ \t]*#[# \t]*(?:export[ \t]+)?(\w+)[ \t]*[=:][ \t]*)(\S[^\r\n]*)$")


def masked_diff(before: bytes, after: bytes, name: str) -> str:
    """Give a unified diff of a ``.env`` in which only harmless values stand.

    A value that may be a secret is a dot for the old text and a plus for a new one; versions,
    numbers, switches and what says which recipe is deployed are shown.
    """
    old, new = decode(before), decode(after)
    lines = difflib.unified_diff(
        _masked(old, {}, "").splitlines(),
        _masked(new, _values(old), "new ").splitlines(),
        f"{name} (now)",
        f"{name} (edited)",
        lineterm="",
        n=1,
    )
    return "\n".join(printable(line) for line in lines)


def _values(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in statements(text):
        found.setdefault(one.key, []).append(one.raw)
    return found


def _masked(text: str, others: Mapping[str, list[str]], mark: str) -> str:
    parts: list[str] = []
    at = 0
    for one in statements(text):
        if one.fault:
            # Nobody knows which part of it is the value.
            start = _line_starts(text)[one.line - 1]
            parts += [_comments(text[at:start]), "… (unreadable)\n"]
            at = one.stop
            continue
        parts.append(_comments(text[at : one.start]))
        hidden = "…"
        if mark and one.raw not in others.get(one.key, ()):
            hidden = f"… ({mark}value)"
        parts.append(one.raw if _is_harmless(one.key, one.raw) else hidden)
        at = one.end
    return "".join(parts) + _comments(text[at:])


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in _NEWLINE.finditer(text))]


def _comments(text: str) -> str:
    def mask(match: re.Match[str]) -> str:
        value, separator, rest = match[3].partition(" #")
        return match[1] + (match[3] if _is_harmless(match[2], value.strip()) else "…" + separator
                           + rest)  # fmt: skip

    return _COMMENTED.sub(mask, text)


def _is_harmless(key: str, value: str) -> bool:
    bare = value.strip("\"'")
    if key in _HARMLESS_KEYS or _HARMLESS.fullmatch(bare):
        return True
    return key.endswith("_VERSION") and VERSION.fullmatch(bare) is not None and len(bare) <= 16
