"""An operator's desk: opskit's command line in processes of its own, started without delay.

The desk has imported opskit before it forks, so a command takes no second to begin. What it starts
is opskit as installed but for two things: how long a lock lives, and the clock that it reads.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

LOCK_SECONDS = 8
"""A lock lives fifteen minutes; no campaign can wait that long for one to run out."""
_POLL_S = 0.02
_CLOCK = "chaos_clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What one process is to do.

    Parameters
    ----------
    argv
        opskit's arguments.
    env
        The whole environment.
    clock
        The file with the seconds by which its clock is off; none when clocks cannot be shifted.
    said
        The file that gets all it writes.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    clock: str
    said: str


class Process:
    """A running opskit; the leader of a session of its own, as in a terminal."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._replies = link.makefile()
        self.pid = int(self._replies.readline())

    def signal(self, number: signal.Signals, *, group: bool = False) -> bool:
        """Send a signal, to all programs that it started too or not; tell whether it lived."""
        try:
            (os.killpg if group else os.kill)(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds: float) -> int | None:
        """Return the exit status, negative for a signal; nothing when it is still at work."""
        ready, _, _ = select.select([self._link], [], [], seconds)
        if not ready:
            return None
        status = int(self._replies.readline())
        self._replies.close()
        self._link.close()
        return status


class Desk:
    """Starts opskit's processes."""

    def __init__(self, folder: Path, library: Path | None) -> None:
        self._address = str(folder / "desk.sock")
        preload = {"LD_PRELOAD": str(library)} if library else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self._address],
            env={**os.environ, **preload, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the operators' desk did not start"

    def start(self, command: Command) -> Process:
        """Start one."""
        link = socket.socket(socket.AF_UNIX)
        link.connect(self._address)
        fields = {name: getattr(command, name) for name in Command.__slots__}
        link.sendall(json.dumps(fields).encode() + b"\n")
        return Process(link)

    def close(self) -> None:
        """End the desk."""
        self._process.kill()
        self._process.wait()


def serve(address: str) -> None:
    """Start what is asked for, and say how it ended, until the one who asks is gone."""
    run = _opskit()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    links: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [], _POLL_S)
        if sys.stdin in ready:
            return
        if listener in ready:
            link, _ = listener.accept()
            wanted = Command(**json.loads(link.makefile().readline()))
            pid = os.fork()
            if pid == 0:
                listener.close()
                _work(run, wanted)
            link.sendall(f"{pid}\n".encode())
            links[pid] = link
        while links:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            link = links.pop(pid)
            with suppress(BrokenPipeError), link:
                link.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _opskit() -> Callable[[list[str]], int]:
    """Import opskit, with locks that live as long as a campaign can wait."""
    import pandas  # noqa: F401  # pyright: ignore[reportUnusedImport]

    from opskit.cli.app import run
    from opskit.cli.live import shown_steps  # noqa: F401  # pyright: ignore[reportUnusedImport]
    from opskit.fleet import Fleet  # noqa: F401  # pyright: ignore[reportUnusedImport]
    from opskit.steps import holding, lock

    lock.LIFETIME = timedelta(seconds=LOCK_SECONDS)
    # Computed from it when it was imported.
    holding._RENEW_S = LOCK_SECONDS / 3  # pyright: ignore[reportPrivateUsage]
    return run


def _work(run: Callable[[list[str]], int], wanted: Command) -> None:
    status = 70
    try:
        os.setsid()
        said = os.open(wanted.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.environ.clear()
        os.environ.update(wanted.env)
        os.chdir(wanted.env["HOME"])
        if wanted.clock:
            getattr(ctypes.CDLL(None), _CLOCK)(wanted.clock.encode())
        status = run(list(wanted.argv))
        atexit._run_exitfuncs()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
