"""An output guard for IPython kernels: known values are masked wherever a cell would show them.

``%load_ext opskit`` masks every value that passed through a `Secret` in this process, in all the
spellings of `opskit.secrets.redact`, in printed text, displayed data, results and tracebacks, and
in what programs and libraries write past Python, straight to the file descriptors. It is a net
under the tightrope: a value that never was a `Secret` in this process is not known to it.
"""

from __future__ import annotations

import array
import codecs
import fcntl
import io
import os
import select
import sys
import termios
import threading
from typing import Any, Protocol, TextIO, cast

from opskit.secrets.redact import redact, unfinished


class Shell(Protocol):
    """What is used of IPython's shell."""

    display_pub: Any
    displayhook: Any
    events: Any
    history_manager: Any
    _showtraceback: Any


class _Masked(io.TextIOBase):
    """A stream that masks what is written, and waits while a value may still be incomplete."""

    def __init__(self, stream: TextIO, descriptor: int | None = None) -> None:
        self.stream, self.descriptor, self._held = stream, descriptor, ""

    def write(self, text: str, /) -> int:
        # Masked first: the end of a whole value may look like the beginning of another.
        pending = redact(self._held + text)
        cut = unfinished(pending)
        self._held = pending[cut:]
        if cut:
            self.stream.write(pending[:cut])
        return len(text)

    def release(self) -> None:
        """Write what was waited for: nothing more comes."""
        held, self._held = self._held, ""
        if held:
            self.stream.write(redact(held))

    def flush(self) -> None:
        """Flush what is certain; what may be half a value stays until the cell ends."""
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    # What the base class has answers of its own for, and `__getattr__` is not asked.

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.stream.errors

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.stream.fileno() if self.descriptor is None else self.descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Descriptor:
    """A file descriptor of this process, whose bytes go masked to a stream instead.

    A kernel shows them as they are, and sends them once more to wherever its server writes.
    """

    def __init__(self, number: int, stream: TextIO) -> None:
        self._number, self._masked = number, _Masked(stream)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lock = threading.Lock()
        self._before = os.dup(number)
        self._source, sink = os.pipe()
        os.dup2(sink, number)
        os.close(sink)
        threading.Thread(target=self._pass_on, name="opskit-guard", daemon=True).start()

    def release(self) -> None:
        """Pass on what was written so far, also what was waited for."""
        waiting = array.array("i", [1])
        while waiting[0]:
            with self._lock:
                fcntl.ioctl(self._source, termios.FIONREAD, waiting)
        with self._lock:
            self._masked.release()

    def give_back(self) -> None:
        """Let the descriptor be what it was."""
        self.release()
        os.dup2(self._before, self._number)
        os.close(self._before)

    def _pass_on(self) -> None:
        ready = select.poll()
        ready.register(self._source, select.POLLIN)
        while True:
            ready.poll()
            # What was taken out of the pipe is passed on before anybody finds it empty.
            with self._lock:
                piece = os.read(self._source, 65_536)
                if not piece:
                    os.close(self._source)
                    return
                self._masked.write(self._decoder.decode(piece))


class Guard:
    """Masks the output of one shell until it is taken off.

    Parameters
    ----------
    shell
        IPython's.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._own = [sys.stdout, sys.stderr]
        self._streams: list[_Masked] = []
        self._descriptors: list[_Descriptor] = []
        self._publish = shell.display_pub.publish
        self._write_data = shell.displayhook.write_format_data
        self._show = shell._showtraceback  # pyright: ignore[reportPrivateUsage]

    def put_on(self) -> None:
        """Begin to mask."""
        for number, stream in enumerate(self._own, start=1):
            captured = _goes_elsewhere(stream, number)
            if captured:
                self._descriptors.append(_Descriptor(number, stream))
            self._streams.append(_Masked(stream, number if captured else None))
        sys.stdout, sys.stderr = cast("list[TextIO]", self._streams)
        self._shell.display_pub.publish = self._masked_publish
        self._shell.displayhook.write_format_data = self._masked_data
        self._shell._showtraceback = self._masked_traceback  # pyright: ignore[reportPrivateUsage]
        self._shell.events.register("post_run_cell", self._end_of_cell)

    def take_off(self) -> None:
        """Mask no more."""
        self._end_of_cell()
        for descriptor in self._descriptors:
            descriptor.give_back()
        sys.stdout, sys.stderr = self._own
        self._streams, self._descriptors = [], []
        self._shell.display_pub.publish = self._publish
        self._shell.displayhook.write_format_data = self._write_data
        self._shell._showtraceback = self._show  # pyright: ignore[reportPrivateUsage]
        self._shell.events.unregister("post_run_cell", self._end_of_cell)

    def _end_of_cell(self, *_: object) -> None:
        for one in (*self._descriptors, *self._streams):
            one.release()

    def _masked_publish(self, data: Any, *more: Any, **named: Any) -> Any:
        return self._publish(masked(data), *more, **named)

    def _masked_data(self, format_dict: Any, *more: Any, **named: Any) -> Any:
        return self._write_data(masked(format_dict), *more, **named)

    def _masked_traceback(self, etype: Any, evalue: Any, stb: list[str]) -> Any:
        # The reply to the cell repeats the exception's own text.
        if isinstance(evalue, BaseException):
            evalue.args = tuple(masked(one) for one in evalue.args)
        return self._show(etype, evalue, redact("\n".join(stb)).split("\n"))


def _goes_elsewhere(stream: TextIO, number: int) -> bool:
    """Return whether a stream is a kernel's, and not a way to the descriptor of its number."""
    try:
        return stream.fileno() != number
    except (OSError, ValueError):
        return True


def masked(data: Any) -> Any:
    """Mask every text in plain nested data."""
    match data:
        case str():
            return redact(data)
        case dict():
            return {masked(key): masked(value) for key, value in data.items()}  # pyright: ignore[reportUnknownVariableType]
        case list() | tuple():
            return [masked(one) for one in data]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return data


_PLACE = "_opskit_guard"
"""Where a shell holds its guard: an id would be another shell's once this one is gone."""


def load_ipython_extension(shell: Shell) -> None:
    """Mask this shell's output; for ``%load_ext opskit``."""
    if getattr(shell, _PLACE, None) is None:
        guard = Guard(shell)
        guard.put_on()
        setattr(shell, _PLACE, guard)


def unload_ipython_extension(shell: Shell) -> None:
    """Mask no more; for ``%unload_ext opskit``."""
    guard: Guard | None = getattr(shell, _PLACE, None)
    if guard is not None:
        guard.take_off()
        setattr(shell, _PLACE, None)


def history_off() -> None:
    """Stop writing this kernel's input history to disk, as shared kernels should.

    What was typed before stays in the history file (``%history -g`` shows it).
    """
    from IPython import get_ipython  # pyright: ignore[reportUnknownVariableType, reportPrivateImportUsage]

    shell = cast("Shell | None", get_ipython())
    if shell is not None:
        shell.history_manager.enabled = False
