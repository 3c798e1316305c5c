"""Reading files that anybody may have put there: regular ones only, and up to a size."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path

from opskit.errors import InputError

_PIECE = 1024 * 1024


def read_regular(path: Path, limit: int) -> bytes:
    """Read a regular file, following symlinks.

    Neither a FIFO, which would wait for a writer for ever, nor a device is opened for good, and
    a file that grows meanwhile is not read beyond its limit.

    Parameters
    ----------
    path
        The file.
    limit
        Bytes it may have.

    Raises
    ------
    InputError
        It is no regular file, or is too large.
    OSError
        It cannot be opened or read.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise InputError("this is no regular file.", path=path, remedy="Remove it.")
        with open(opened, "rb", closefd=False) as stream:
            content = stream.read(limit + 1)
    finally:
        os.close(opened)
    if len(content) > limit:
        raise too_large(path, limit)
    return content


def too_large(path: Path, limit: int) -> InputError:
    """Make the error for a file larger than any of its kind."""
    return InputError(
        f"the file is larger than {limit // 1024**2} MiB.",
        path=path,
        remedy="Nothing of its kind is that large: look what it holds.",
    )


def unzipped(content: bytes, limit: int) -> bytes | None:
    """Unpack gzip, up to a limit.

    Parameters
    ----------
    content
        One gzip member.
    limit
        Bytes it may unpack to; one that holds more gives ``None``.

    Raises
    ------
    zlib.error
        It is no gzip, or is damaged.
    EOFError
        It ends too early.
    """
    unpacker = zlib.decompressobj(wbits=31)
    unpacked = bytearray()
    while content and not unpacker.eof:
        unpacked += unpacker.decompress(content, _PIECE)
        content = unpacker.unconsumed_tail
        if len(unpacked) > limit:
            return None
    if not unpacker.eof:
        raise EOFError("it ends too early")
    return bytes(unpacked)
