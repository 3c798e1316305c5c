"""Running a program that takes or prints a value: no shell, a deadline, nothing shown."""

from __future__ import annotations

import io
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

MOST_BYTES = 1_000_000
"""More output than this is no value; a program that never stops printing is ended."""

_CHUNK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended; `repr` does not show what it printed.

    Parameters
    ----------
    status
        Its exit status, negative when a signal ended it.
    output
        What it printed.
    said
        The lines it wrote to standard error.
    """

    status: int
    output: bytes = field(repr=False)
    said: tuple[str, ...] = field(repr=False)


def run(
    command: Sequence[str],
    *,
    seconds: float,
    stdin: Callable[[], bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a program to its end.

    Every local that could hold a value is a buffer or a function, because tracebacks may show
    `repr` of locals. The program gets a session of its own, so that whatever it started ends
    with it when the deadline has passed.

    Parameters
    ----------
    command
        The program and its arguments; never a value among them.
    seconds
        Deadline.
    stdin
        Gives what to write to its standard input; by default that is empty.
    environment
        Its whole environment; this process's by default.

    Raises
    ------
    OSError
        The program cannot be started; ``FileNotFoundError`` when it is not installed.
    TimeoutError
        It did not end in time.
    OverflowError
        It printed more than `MOST_BYTES`.
    """
    output, said = io.BytesIO(), io.BytesIO()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment,
    ) as process:
        try:
            until = time.monotonic() + seconds
            pending = memoryview(b"" if stdin is None else stdin())
            _exchange(process, pending, output, said, until)
            process.wait(max(0.0, until - time.monotonic()))
        except BaseException as error:
            # Also on Ctrl-C: a program left waiting for a passphrase would keep the terminal.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError from None
            raise
    return Ended(
        status=process.returncode,
        output=output.getvalue(),
        said=tuple(said.getvalue().decode(errors="replace").splitlines()),
    )


def _exchange(
    process: subprocess.Popen[bytes],
    pending: memoryview,
    output: io.BytesIO,
    said: io.BytesIO,
    until: float,
) -> None:
    """Feed the program and collect what it prints until it closes both its outputs."""
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, said)
        while selector.get_map():
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                if key.data is None:
                    pending = pending[_write(key.fd, pending) :]
                    if not pending and process.stdin is not None:
                        selector.unregister(key.fileobj)
                        process.stdin.close()
                elif not key.data.write(os.read(key.fd, _CHUNK)):
                    selector.unregister(key.fileobj)
                elif key.data.tell() > MOST_BYTES:
                    raise OverflowError


def _write(descriptor: int, pending: memoryview) -> int:
    try:
        return os.write(descriptor, pending[:_CHUNK])
    except BrokenPipeError:
        # The program wants no more; its exit status tells whether that is an error.
        return len(pending)
