"""Changing one value of a ``.env`` and not a byte more, and showing a change without values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from opskit.abra.env import SHOWN, parse_env
from opskit.abra.files import decode, encode, printable
from opskit.abra.names import VERSION
from opskit.abra.statements import Statement, newline_after, statements
from opskit.errors import InputError

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
_NAME = re.compile(r"[A-Za-z0-9._+:/-]+")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VERSION_KEY = re.compile(r"(?:SECRET_\w+|\w+_SECRET)_VERSION")
_NOWHERE = Path(".env")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_HARMLESS = re.compile(r"(?i)true|false|yes|no|on|off|[0-9]{1,5}|production|staging|")
_COMMENTED = re.compile(r"(?m)^([ \t]*#[# \t]*(?:export[ \t]+)?(\w+)[ \t]*[=:][ \t]*)(\S[^\r\n]*)$")


def has_line(data: bytes, key: str) -> bool:
    """Return whether a line sets the variable, be it to nothing."""
    return _winning(decode(data), key) is not None


def check_whole(data: bytes, path: Path = _NOWHERE) -> None:
    """Refuse bytes of which a part could not be read: what is written may not be what counts.

    Raises
    ------
    InputError
        A line was passed over, a merge is half done, or the file is encrypted.
    """
    unread = parse_env(data, path).unread
    if unread is not None:
        raise InputError(unread.what, path=path, line=unread.line, remedy=unread.remedy)


def set_value(data: bytes, key: str, value: str, path: Path = _NOWHERE) -> bytes:
    """Return the bytes with `key` set to `value`.

    Only the value's own token changes, on the line that wins; a key without a line gets one,
    behind the last secret version, else at the end, in the file's own newline style.

    Parameters
    ----------
    data
        The file's bytes, in whatever encoding and newline style.
    key, value
        The variable, and a version: letters, digits, dots, dashes and underscores.
    path
        Named in errors.

    Raises
    ------
    InputError
        The line cannot be changed safely; says which and why.
    """
    _check(key, value)
    return _with(data, key, value, path)


def set_name(data: bytes, key: str, value: str, path: Path = _NOWHERE) -> bytes:
    """Return the bytes with a variable set to a domain or ``recipe:version``, as `set_value` does.

    Raises
    ------
    InputError
        The line cannot be changed safely, or the value needs quotes.
    """
    if not _NAME.fullmatch(value):
        raise InputError(f"{value!r} cannot be written as {key}.", path=path)
    return _with(data, key, value, path)


def empty_value(data: bytes, key: str, path: Path = _NOWHERE) -> bytes:
    """Return the bytes with a variable set to nothing, as it was before `set_value`.

    Raises
    ------
    InputError
        The line cannot be changed safely; says which and why.
    """
    return _with(data, key, "", path)


def _with(data: bytes, key: str, value: str, path: Path) -> bytes:
    check_whole(data, path)
    text = decode(data)
    found = _winning(text, key)
    if found is None:
        changed = _added(text, key, value)
    else:
        _check_plain(found, path)
        changed = text[: found.start] + value + text[found.end :]
    result = encode(changed)
    if parse_env(result, path).values.get(key) != value:
        raise _refusal(f"{key} cannot be set here without changing other lines.", path, found)
    return result


def unset_value(data: bytes, key: str, value: str, path: Path = _NOWHERE) -> bytes:
    """Take away the line that `set_value` added for a key that had none.

    Raises
    ------
    InputError
        The line no longer reads as it was added.
    """
    check_whole(data, path)
    text = decode(data)
    found = _winning(text, key)
    if found is None:
        return data
    start = found.start - len(key) - 1
    line = text[start : found.stop]
    begins = start == 0 or text[start - 1] in "\r\n\ufeff"
    if not begins or line.rstrip("\r\n") != f"{key}={value}":
        raise InputError(
            f"the line that set {key} was edited since.",
            path=path,
            line=found.line,
            remedy="Remove it by hand if it is not wanted.",
        )
    before, after = text[:start], text[found.stop :]
    if line == line.rstrip("\r\n"):
        # It was added to a file without a final newline, together with the newline before it.
        before = before.removesuffix("\n").removesuffix("\r")
    return encode(before + after)


def masked_diff(before: bytes, after: bytes, name: str) -> str:
    """Return a unified diff of a ``.env`` in which only harmless values stand.

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


def _check(key: str, value: str) -> None:
    if not _PLAIN.fullmatch(value):
        # Not shown: what was typed here by mistake may be a secret's value.
        raise InputError(
            "this cannot be a version.",
            remedy="Use letters, digits, dots, dashes and underscores, such as v2.",
        )
    if not _KEY.fullmatch(key):
        raise InputError(f"{key!r} cannot be a variable.", remedy="Use letters, digits and _.")


def _winning(text: str, key: str) -> Statement | None:
    found = [one for one in statements(text) if one.key == key]
    return found[-1] if found else None


def _check_plain(found: Statement, path: Path) -> None:
    key = found.key
    if found.fault:
        raise _refusal(f"{key} cannot be read: {found.fault}", path, found)
    if "\n" in found.raw or "\r" in found.raw:
        raise _refusal(f"the value of {key} spans several lines.", path, found)
    if "$" in found.raw and found.quote != "'":
        raise _refusal(f"{key} is set from another variable.", path, found)


def _refusal(what: str, path: Path, found: Statement | None) -> InputError:
    line = found.line if found else None
    remedy = f"Write it as {found.key}=v1 first." if found else "Mend the lines reported first."
    return InputError(what, path=path, line=line, remedy=remedy)


def _added(text: str, key: str, value: str) -> str:
    versions = [one.stop for one in statements(text) if _VERSION_KEY.fullmatch(one.key)]
    at = versions[-1] if versions else len(text)
    before, after = text[:at], text[at:]
    newline = newline_after(text) or "\n"
    line = f"{key}={value}"
    if before.rstrip("\ufeff") and not before.endswith(("\n", "\r")):
        # A file without a final newline keeps ending without one.
        return before + newline + line + after
    return before + line + newline + after


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
    if (key in SHOWN and len(bare.splitlines()) <= 1) or _HARMLESS.fullmatch(bare):
        return True
    return key.endswith("_VERSION") and VERSION.fullmatch(bare) is not None and len(bare) <= 16
