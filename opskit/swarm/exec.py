"""A program run inside a container: what it is given, what it says, how it ends.

Once started, the connection leaves HTTP: the program's input goes one way bare, and both its
outputs come the other way in pieces, each behind a header: one byte that says which output, three
that mean nothing, four with the length (big-endian).
"""

from __future__ import annotations

import contextlib
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from opskit.errors import RefusedError
from opskit.swarm.stream import Stream

_HEADER = struct.Struct(">BxxxL")
_STDOUT = 1
_KEPT_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended; what it said is left out where this is shown."""

    code: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)


class ExecRequest(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What is to run; whoever may ask the engine can read it."""

    cmd: Sequence[str]
    attach_stdin: bool = True
    attach_stdout: bool = True
    attach_stderr: bool = True


class ExecState(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Whether a program still runs, and its exit status afterwards."""

    running: bool = False
    exit_code: int | None = None


def converse(stream: Stream, stdin: bytes, *, server: str) -> tuple[bytes, bytes]:
    """Give a started program its input, and read what it says to the end.

    The end of the input is told where a connection can end one way only. TLS cannot, so a
    program must know from its input when it has all of it.

    Returns
    -------
    tuple[bytes, bytes]
        The beginnings of its output and of its error output.

    Raises
    ------
    UnreachableError
        The connection broke off or the time was up; whether the program ended is unknown.
    RefusedError
        The engine said why the program cannot be started.
    """
    said: dict[int, bytearray] = {}
    try:
        # A program that ends without reading its input is told by its exit status.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stream.sendall(stdin)
            if not isinstance(stream.sock, ssl.SSLSocket):
                stream.end_of_input()
        while header := _read(stream, _HEADER.size):
            if len(header) < _HEADER.size or header[0] > 2:
                raise _not_started(header + _read(stream, _KEPT_BYTES), server)
            kind, length = _HEADER.unpack(header)
            piece = _read(stream, length)
            kept = said.setdefault(kind, bytearray())
            kept += piece[: _KEPT_BYTES - len(kept)]
    except OSError as error:
        raise stream.lost(error) from error
    stdout = said.pop(_STDOUT, bytearray())
    return bytes(stdout), b"".join(said.values())


def _read(stream: Stream, size: int) -> bytes:
    """Read so many bytes, fewer only at the end."""
    found = bytearray()
    while len(found) < size and (piece := stream.recv(size - len(found))):
        found += piece
    return bytes(found)


def _not_started(said: bytes, server: str) -> RefusedError:
    # The engine puts its complaint on the bare connection, without a header.
    text = " ".join(said.decode(errors="replace").split())
    return RefusedError(f"the program in the container could not be started ({text}).",
                        server=server)  # fmt: skip
