"""A secret's value, held so that it does not get out by accident."""

from __future__ import annotations

import getpass
import hmac
import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Never

from opskit.errors import InputError
from opskit.secrets.redact import remember

MAX_BYTES = 511_999
"""Swarm takes 1 to 511,999 bytes."""


class Secret:
    """A value that does not print, pickle, serialise, hash, measure or compare in plain.

    Parameters
    ----------
    value
        Text is encoded as UTF-8.
    allow_blank
        Whether white space alone is a value; some engines refuse it.

    Raises
    ------
    InputError
        Empty, blank, or larger than Swarm takes.
    """

    # The value is a closure, so that neither vars(), nor a debugger's or traceback's dump of
    # attributes, nor a generic encoder finds it.
    __slots__ = ("__weakref__", "_reveal")

    def __init__(self, value: bytes | str, *, allow_blank: bool = False) -> None:
        data = value.encode() if isinstance(value, str) else bytes(value)
        if not data or len(data) > MAX_BYTES:
            raise InputError(
                "the secret's value is empty." if not data else "the secret's value is too large.",
                remedy=f"Swarm takes 1 to {MAX_BYTES:,} bytes.",
            )
        if not allow_blank and not data.strip():
            raise InputError(
                "the secret's value is white space only, and some engines refuse that.",
                remedy="Check where it comes from.",
            )
        remember(data)
        self._reveal: Callable[[], bytes] = lambda: data

    def reveal(self) -> bytes:
        """Give the value; the only way to it."""
        return self._reveal()

    @classmethod
    def from_file(cls, path: Path, *, strip_newline: bool = True) -> Secret:
        """Read a value from a file; see `from_stream` for the final newline."""
        try:
            with path.open("rb") as file:
                return cls.from_stream(file, strip_newline=strip_newline)
        except OSError as error:
            raise InputError(
                f"the value cannot be read ({error.strerror}).",
                path=path,
                remedy="Check the path and that you may read it.",
            ) from None

    @classmethod
    def from_stream(
        cls, stream: BinaryIO | io.BufferedIOBase, *, strip_newline: bool = True
    ) -> Secret:
        """Read a value to the end of a stream.

        One final newline is removed unless told otherwise: ``echo`` and editors add one, and
        logins fail on it (docker/cli#979). All other bytes stay as they are.
        """
        data = stream.read(MAX_BYTES + 2)
        if strip_newline:
            data = data.removesuffix(b"\n").removesuffix(b"\r")
        return cls(data)

    @classmethod
    def prompt(cls, what: str) -> Secret:
        """Ask for a value twice in the terminal, without showing it."""
        try:
            first = getpass.getpass(f"{what}: ")
            second = getpass.getpass(f"{what}, once more: ")
        except (EOFError, getpass.GetPassWarning):
            raise InputError(
                "there is no terminal to type the value in.",
                remedy="Pipe it in, or name a file with --file.",
            ) from None
        if not hmac.compare_digest(first.encode(), second.encode()):
            raise InputError("the two values differ.", remedy="Type them again.")
        return cls(first)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time, with another `Secret` only."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal(), other.reveal())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return True

    def _refuse(self, *_: object) -> Never:
        raise TypeError("a Secret is not measured, copied, pickled or serialised; use reveal().")

    __reduce__ = __reduce_ex__ = __getstate__ = __copy__ = __deepcopy__ = _refuse
    __len__ = __iter__ = __bytes__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
