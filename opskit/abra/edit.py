"""Changing one value in the bytes of a ``.env`` file and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from opskit.abra.env import parse_env
from opskit.errors import InputError

_SAFE_VALUE = re.compile(r"[A-Za-z0-9._-]+")
_VERSION_KEY = re.compile(r"SECRET_\w*VERSION$|\w*SECRET_VERSION$")
_NOWHERE = Path(".env")


def set_value(data: bytes, key: str, value: str, path: Path = _NOWHERE) -> bytes:
    """Give the bytes with `key` set to `value`.

    Only the value's own token changes, on the line that wins; a key without a line gets one,
    behind the last secret version, in the file's own newline style.

    Parameters
    ----------
    data
        The file's bytes, in whatever encoding and newline style.
    key, value
        The variable, and a version: letters, digits, dot, dash and underscore.
    path
        Named in errors.

    Raises
    ------
    InputError
        The line cannot be changed safely; says which and why.
    """
    if not _SAFE_VALUE.fullmatch(value):
        raise InputError(
            f"{value!r} cannot be a secret's version.",
            remedy="Use letters, digits, dots, dashes and underscores, such as v2.",
        )
    line = parse_env(data, path).lines.get(key)
    if line is None:
        changed = _added(data, key, value, path)
    else:
        changed = _changed(data, key, value, line, path)
    if parse_env(changed, path).values.get(key) != value:
        raise InputError(
            f"{key} cannot be changed here without changing its meaning.",
            path=path,
            line=line,
            remedy=f"Set {key}={value} by hand.",
        )
    return changed


def unset_value(data: bytes, key: str, value: str, path: Path = _NOWHERE) -> bytes:
    """Take away the line that `set_value` added for a key that had none.

    Raises
    ------
    InputError
        The line no longer reads as it was added.
    """
    line = parse_env(data, path).lines.get(key)
    if line is None:
        return data
    lines = data.splitlines(keepends=True)
    there = lines[line - 1]
    if there.rstrip(b"\r\n") != f"{key}={value}".encode():
        raise InputError(
            f"the line that set {key} was edited since.",
            path=path,
            line=line,
            remedy="Remove it by hand if it is not wanted.",
        )
    before, after = lines[: line - 1], lines[line:]
    if not after and there == there.rstrip(b"\r\n") and before:
        # It was added to a file without a final newline, together with the newline before it.
        before[-1] = before[-1].rstrip(b"\r\n")
    return b"".join(before + after)


def _changed(data: bytes, key: str, value: str, line: int, path: Path) -> bytes:
    lines = data.splitlines(keepends=True)
    text = lines[line - 1]
    rest_at = match.end() if (match := _assignment(key).match(text)) else 0
    rest = text[rest_at:].rstrip(b"\r\n")
    token = _token(rest) if match else None
    if token is None or b"$" in rest[slice(*token)]:
        raise InputError(
            f"{key} is not set to a plain version on one line.",
            path=path,
            line=line,
            remedy=f"Write it as {key}=v1 first.",
        )
    start, end = (rest_at + offset for offset in token)
    lines[line - 1] = text[:start] + value.encode() + text[end:]
    return b"".join(lines)


def _assignment(key: str) -> re.Pattern[bytes]:
    return re.compile(
        rb"(?:\xef\xbb\xbf)?[ \t]*(?:export[ \t]+)?" + re.escape(key.encode()) + rb"[ \t]*=[ \t]*"
    )


def _token(rest: bytes) -> tuple[int, int] | None:
    """Find the value within what stands behind the equals sign, without quotes and comment."""
    if rest[:1] in (b"'", b'"'):
        end = rest.find(rest[:1], 1)
        return (1, end) if end > 0 else None
    comment = re.search(rb"[ \t]#", rest)
    bare = rest[: comment.start()] if comment else rest
    return 0, len(bare.rstrip())


def _added(data: bytes, key: str, value: str, path: Path) -> bytes:
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    addition = f"{key}={value}".encode()
    numbers = [n for k, n in parse_env(data, path).lines.items() if _VERSION_KEY.search(k)]
    lines = data.splitlines(keepends=True)
    at = max(numbers, default=len(lines))
    before, after = b"".join(lines[:at]), b"".join(lines[at:])
    if before and not before.endswith((b"\n", b"\r")):
        return before + newline + addition + after
    return before + addition + newline + after
