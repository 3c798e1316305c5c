"""What programs wrote, taken out of the frames in which engines send it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import IO

STREAMS = {0: "stdin", 1: "stdout", 2: "stderr"}
"""What the first byte of a frame may be. Text that is not framed starts with another."""
_PIECE_BYTES = 65_536


def is_framed(reader: io.BufferedReader) -> bool:
    """Return whether frames follow; a terminal's output comes bare, and so do some complaints."""
    return reader.peek(1)[:1] in (b"", *(bytes([number]) for number in STREAMS))


def read_frames(reader: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Read the pieces to the end, each with the number of its stream; bare text as stream 1."""
    from docker.utils.socket import frames_iter  # pyright: ignore[reportUnknownVariableType]

    with open(os.devnull, "rb") as always_ready:  # noqa: PTH123
        yield from frames_iter(_Polled(reader, always_ready), tty=not is_framed(reader))


class _Polled:
    """A reader as ``docker.utils.socket`` takes a socket: polled, then read.

    It polls without a time limit, and knows nothing of bytes that a buffer or TLS holds back. So
    it is shown a file that is always ready, and reading waits instead, as long as it may.
    """

    def __init__(self, reader: io.BufferedReader, always_ready: IO[bytes]) -> None:
        self._reader, self.fileno = reader, always_ready.fileno

    def recv(self, size: int) -> bytes:
        """Read what is there, up to `size`: a length may be anything when frames are damaged."""
        return self._reader.read1(min(size, _PIECE_BYTES))
