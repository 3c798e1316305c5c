"""A value to be looked for in text the way a thief would: decoding what looks encoded."""

from __future__ import annotations

import base64
import io
import json
import re
import traceback
from html import unescape
from urllib.parse import unquote_plus

from IPython.core.ultratb import VerboseTB
from rich.console import Console
from rich.traceback import Traceback

CANARY = "c4nary-V4lue/+with=odd&chars<'\">ü"
"""Differs from itself in every encoding that is looked for."""


def leaks(text: str, value: str = CANARY) -> bool:
    """Tell whether a value can be read out of a text."""
    plain = value.encode()
    readings = [text, unescape(text), unquote_plus(text), _unescaped(text)]
    readings.append(_unescaped(readings[-1]))
    if any(value in reading or plain in _bytes(reading) for reading in readings):
        return True
    squeezed = re.sub(r"\\n|\s", "", text)
    return plain in _unhexed(squeezed) or any(
        plain in _decoded(run[start:])
        for run in re.findall(r"[A-Za-z0-9+/_-]{8,}", squeezed)
        for start in range(4)
    )


def encodings(value: str = CANARY) -> dict[str, str]:
    """Spell a value in every way that must be masked."""
    data = value.encode()
    spelt = {
        "plain": value,
        "json": json.dumps(value),
        "json, not ascii": json.dumps(value, ensure_ascii=False),
        "json in json": json.dumps(json.dumps(value)),
        "base64": base64.b64encode(data).decode(),
        "base64, one byte on": base64.b64encode(b"x" + data + b"yz").decode(),
        "base64, two bytes on": base64.b64encode(b"xy" + data + b"z").decode(),
        "base64 for urls": base64.urlsafe_b64encode(data).decode(),
        "base64 in lines": base64.encodebytes(b"-" * 50 + data).decode(),
        "url": "".join(f"%{byte:02X}" if chr(byte) in "/+=&<'\">" or byte > 126 else chr(byte)
                       for byte in data),
        "hex": data.hex(),
        "HEX": data.hex().upper(),
    }  # fmt: skip
    assert all(leaks(text, value) for text in spelt.values())
    return spelt


def tracebacks(error: BaseException, *, without: str = "") -> str:
    """Write a traceback with all locals, in every way operators meet.

    The frames of one file may be left out: a test's own frame holds what it tests with.
    """
    while error.__traceback__ and error.__traceback__.tb_frame.f_code.co_filename == without:
        error.__traceback__ = error.__traceback__.tb_next
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as capture:
        triple = type(error), error, error.__traceback__
        # Some thousand characters, where rich would stop at eighty.
        console.print(Traceback.from_exception(*triple, show_locals=True, locals_max_string=9999))
    ipython = VerboseTB(theme_name="nocolor", include_vars=True)
    return shown + capture.get() + ipython.text(*triple)


def _unescaped(text: str) -> str:
    simple = text.replace('\\"', '"').replace("\\\\", "\\").replace("\\/", "/").replace("\\'", "'")
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), simple)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _unhexed(text: str) -> bytes:
    return b"".join(
        bytes.fromhex(run[start : len(run) - (len(run) - start) % 2])
        for run in re.findall(r"[0-9A-Fa-f]{8,}", text)
        for start in (0, 1)
    )


def _decoded(text: str) -> bytes:
    whole = text[: len(text) - len(text) % 4].replace("-", "+").replace("_", "/")
    tail = text[len(whole) :].replace("-", "+").replace("_", "/")
    padded = tail + "=" * (4 - len(tail)) if len(tail) > 1 else ""
    return base64.b64decode(whole + padded)
