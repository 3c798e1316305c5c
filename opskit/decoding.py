"""Decoding what others wrote, into types that any thread may decode into.

msgspec works out what a type is made of when it is first used, and a second thread that uses it
meanwhile takes it half worked out: a segmentation fault, now and then, of whatever reads several
servers at once.
"""

from __future__ import annotations

import ast
import threading
import warnings
from functools import cache
from typing import Any, Literal, TypeVar

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
    except UnicodeError:
        # msgspec's own word for it is no MsgspecError.
        raise msgspec.DecodeError("it holds what is no UTF-8") from None


def decode_msgpack(content: bytes, kind: type[_T]) -> _T:
    """Decode MessagePack that may come from anybody.

    Raises
    ------
    msgspec.DecodeError
        It is none, is of another shape, or is nested more deeply than anything opskit reads.
    """
    try:
        return msgspec.msgpack.decode(content, type=ready(kind))
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeError:
        raise msgspec.DecodeError("it holds what is no UTF-8") from None


def parse_python(text: str, mode: Literal["exec", "eval"]) -> ast.AST:
    """Parse Python that may come from anybody; nothing of it is run.

    Raises
    ------
    SyntaxError
        It is none, or is nested more deeply than Python reads.
    """
    with warnings.catch_warnings():
        # Of '\d' and the like, on stderr.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text, mode=mode)
        except (ValueError, MemoryError, RecursionError):
            raise SyntaxError from None


def ready(kind: type[_T]) -> type[_T]:
    """Return a type once it is wholly worked out, with all that it is made of."""
    _work_out(kind)
    return kind


@cache
def _work_out(kind: type[Any]) -> None:
    with _one_at_a_time:
        msgspec.json.Decoder(kind)
