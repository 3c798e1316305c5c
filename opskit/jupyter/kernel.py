"""The kernel that a notebook is run in, and stopping it in order."""

# jupyter_client's types are partial, and papermill has none.
# pyright: reportMissingTypeArgument=false, reportUnknownVariableType=false

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
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
_START_S = 180
_OUTPUT_S = 60
"""After a cell has ended; in the client's usual 4 s, a busy machine may not bring the last."""
_HEARD_S = 10.0
_BEGINS_S = 0.3


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
        self._has_cell = threading.Event()
        self._has_cell.set()

    def engine(self, may_begin: Callable[[], None]) -> type:
        """Return what papermill lets carry out a notebook in this kernel.

        Parameters
        ----------
        may_begin
            Called when a cell is to go to the kernel; it may raise.
        """
        from papermill.clientwrap import PapermillNotebookClient
        from papermill.engines import Engine
        from papermill.log import logger

        kernel = self

        class Client(PapermillNotebookClient):
            def execute_cell(self, *cell: Any, **more: Any) -> Any:
                # In this order: who stops it lets nothing begin first, and then looks.
                kernel._has_cell.clear()
                try:
                    may_begin()
                    return super().execute_cell(*cell, **more)
                finally:
                    kernel._has_cell.set()

            def process_message(self, message: Any, *cell: Any) -> Any:
                if message["msg_type"] == "execute_input":
                    kernel._has_cell.set()
                return super().process_message(message, *cell)

        class OwnEngine(Engine):
            @classmethod
            def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> Any:
                return Client(
                    nb_man, kernel_name=kernel_name, kernel_manager_class=kernel.manager(),
                    startup_timeout=_START_S, iopub_timeout=_OUTPUT_S, log=logger,
                ).execute()  # fmt: skip

        return OwnEngine

    def manager(self) -> type:
        """Return what starts it, whatever kernels are installed."""
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

            async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
                """End it without the interrupt that usually comes first.

                A kernel that has just ended a cell may not ignore it yet, and complains of it.
                """
                if not now:
                    await self.request_shutdown(restart=restart)
                await self.finish_shutdown(restart=restart)
                await self.cleanup_resources(restart=restart)

        return OwnKernel

    def interrupt(self) -> None:
        """Interrupt the cell that runs; programs it started are left alone.

        A cell on its way to the kernel is waited for: a kernel without one ignores interrupts.
        """
        self._has_cell.wait(_HEARD_S)
        # The kernel is about to carry it out.
        time.sleep(_BEGINS_S)
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
