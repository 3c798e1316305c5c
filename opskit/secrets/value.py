"""A secret's value, held so that it does not get out by accident."""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import hmac
import io
import resource
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import BinaryIO, Never, final

from opskit.arguments import check_text, given, path_in
from opskit.errors import InputError
from opskit.secrets.redact import remember

MAX_BYTES = 511_999
"""Swarm takes 1 to 511,999 bytes."""


_PR_SET_DUMPABLE = 4


@cache
def _keep_in_memory() -> None:
    """Let neither a crash's dump nor another process of this user read this one's memory.

    Where the system allows it: see ``prctl(2)`` and ``core(5)``. Programs that it starts write no
    dump either, unless they raise that limit again; their memory may be read as ever.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@final
class Secret:
    """A value that does not print, pickle, serialise, hash, measure or compare in plain.

    Wherever it appears by accident it shows as ``Secret(…)`` or is refused. From its creation
    on, `opskit.secrets.redact` masks the value in texts.

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
    # attributes, nor a generic encoder finds it. `len`, `hash`, order, iteration and `bytes`
    # are refused by not being there.
    __slots__ = ("__weakref__", "_reveal")

    def __init__(self, value: bytes | str, *, allow_blank: bool = False) -> None:
        held, fault = _hold(value, allow_blank)
        # A traceback may show this frame's locals.
        del value
        if fault is not None:
            raise fault
        _keep_in_memory()
        self._reveal = held
        remember(held, owner=self)

    def reveal(self) -> bytes:
        """Return the value; the only way to it."""
        return self._reveal()

    @classmethod
    def from_file(cls, path: str | Path, *, strip_newline: bool = True) -> Secret:
        """Read a value from a file; see `from_stream` for the final newline.

        Raises
        ------
        InputError
            The file cannot be read, or does not hold a value.
        """
        path = path_in("path", path)
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

        The final newline of a single line of text is removed unless told otherwise: ``echo``,
        here-documents and editors add one, and logins fail on it (docker/cli#979). Several
        lines keep theirs, as keys and certificates need it, and bytes that are not UTF-8 text
        are never touched.
        """
        return cls(_read(stream, strip_newline))

    @classmethod
    def prompt(cls, what: str) -> Secret:
        """Ask for a value twice in the terminal, without showing it.

        Raises
        ------
        InputError
            There is no terminal, or the two values differ.
        """
        check_text("what", what, "Say what is asked for.")
        first, second = cls(_ask(what)), cls(_ask(f"{what}, once more"))
        if first != second:
            raise InputError("the two values differ.", remedy="Type them again.")
        return first

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

    def _refuse(self, *_: object) -> Never:
        raise TypeError("a Secret is not copied, pickled or serialised; use reveal().")

    __reduce__ = __reduce_ex__ = __getstate__ = __copy__ = __deepcopy__ = _refuse


# In the functions below plain values are in no frame that raises.


def _hold(value: bytes | str, allow_blank: bool) -> tuple[Callable[[], bytes], InputError | None]:
    fault: InputError | None = None
    try:
        # Text from arguments, names and the terminal may carry undecodable bytes this way.
        text = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        data = bytes(memoryview(text))
    except TypeError:
        data, fault = (
            b"",
            InputError(f"the secret's value is {given(value)}.", remedy="Give a text or bytes."),
        )
    except UnicodeEncodeError:
        data, fault = b"", InputError("the secret's value is not text.", remedy="Give it as bytes.")
    else:
        if not data:
            fault = InputError("the secret's value is empty.", remedy="Check where it comes from.")
        elif len(data) > MAX_BYTES:
            fault = InputError(
                "the secret's value is too large.", remedy=f"Swarm takes 1 to {MAX_BYTES:,} bytes."
            )
        elif not allow_blank and not data.strip():
            fault = InputError(
                "the secret's value is white space only, and some engines refuse that.",
                remedy="Check where it comes from.",
            )
    return (lambda: data), fault


def _read(stream: BinaryIO | io.BufferedIOBase, strip_newline: bool) -> bytes:
    # Room for a line ending, and one more byte by which anything too large shows.
    data = stream.read(MAX_BYTES + 3)
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if strip_newline and data.endswith(b"\n") and _is_line(line):
        return line
    return data


def _is_line(data: bytes) -> bool:
    try:
        return not any(character < " " and character != "\t" for character in data.decode())
    except UnicodeDecodeError:
        return False


def _ask(what: str) -> str:
    try:
        with warnings.catch_warnings():
            # Without a terminal getpass would warn, and show what is typed.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(f"{what}: ")
    except (EOFError, OSError, NotImplementedError, getpass.GetPassWarning):
        raise InputError(
            "there is no terminal to type the value in.",
            remedy="Pipe it in, or name a file.",
        ) from None
