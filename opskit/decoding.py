"""Decoding what others wrote, into types that any thread may decode into.

msgspec works out what a type is made of when it is first used, and a second thread that uses it
meanwhile takes it half worked out: a segmentation fault, now and then, of whatever reads several
servers at once.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T")

_one_at_a_time = threading.Lock()


def decode_json(content: bytes | str, kind: type[_T]) -> _T:
    """Decode JSON that may come from anybody.

    Raises
    ------
    msgspec.DecodeError
        It is none, is of another shape, or is nested more deeply than anything opskit reads.
    """
    try:
        return msgspec.json.decode(content, type=ready(kind))
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None


def ready(kind: type[_T]) -> type[_T]:
    """Return a type once it is wholly worked out, with all that it is made of."""
    _work_out(kind)
    return kind


@cache
def _work_out(kind: type[Any]) -> None:
    with _one_at_a_time:
        msgspec.json.Decoder(kind)
