"""The kernel that a notebook is run in, and stopping it in order."""

# jupyter_client's types are partial.
# pyright: reportMissingTypeArgument=false

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

COMMAND = (
    sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}",
    "--ext=opskit", "--HistoryManager.enabled=False",
)  # fmt: skip
"""This interpreter, with masked output and nothing remembered of the input."""

_STOPS = (signal.SIGINT, signal.SIGTERM)


class Kernel:
    """A kernel that is started by others, and may have to be stopped.

    Parameters
    ----------
    sockets
        The folder it talks through: on TCP, everybody on the machine could listen.
    """

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._pid: int | None = None

    def manager(self) -> type:
        """Give what starts it, whatever kernels are installed."""
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager

        kernel = self

        class OwnKernel(AsyncKernelManager):
            def __init__(self, **settings: Any) -> None:
                super().__init__(**settings)
                self.transport = "ipc"
                self.connection_file = str(kernel._sockets / "kernel.json")

            @property
            def kernel_spec(self) -> KernelSpec:
                return KernelSpec(argv=list(COMMAND), display_name="Python 3", language="python")

            async def start_kernel(self, **settings: Any) -> None:
                await super().start_kernel(**settings)
                kernel._pid = getattr(self.provisioner, "pid", None)

        return OwnKernel

    def interrupt(self) -> None:
        """Interrupt the cell that runs; programs it started are left alone."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)


def work_until_stopped(
    work: Callable[[], None], stop: Callable[[], None], kill: Callable[[], None]
) -> None:
    """Work in a thread while this one listens for Ctrl-C and SIGTERM.

    An exception out of a signal's handler, in the midst of an event loop, may be lost.

    Parameters
    ----------
    stop
        Called at the first signal; the work is waited for.
    kill
        Called at the second.
    """
    failed: list[BaseException] = []

    def worker() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failed.append(error)

    thread = threading.Thread(target=worker, name="opskit-notebook")
    with _counted_signals() as signals:
        thread.start()
        for answer in (stop, kill):
            while thread.is_alive() and not signals:
                thread.join(0.1)
            if signals:
                signals.pop()
                answer()
        thread.join()
    if failed:
        raise failed[0]


@contextmanager
def _counted_signals() -> Generator[list[int]]:
    """Collect signals instead of ending; only a program's main thread can."""
    signals: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return

    def note(number: int, _frame: FrameType | None) -> None:
        signals.append(number)

    before = {number: signal.signal(number, note) for number in _STOPS}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
