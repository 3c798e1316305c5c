"""Whether a process still works on a run or runbook: a file lock the kernel drops when it ends.

A process id cannot tell: it is reused after a restart, and means another process in another
container.
"""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from opskit.errors import JournalError, LockHeldError

_PROBE_S = 5.0


class RunLocks:
    """The runs that this process works on, each held by an exclusive lock.

    Parameters
    ----------
    folder
        Where the lock files are, one for each run that has not ended well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, FileLock] = {}
        self._guard = threading.Lock()

    def take(self, run: str) -> None:
        """Hold a run until `drop`, or until this process ends.

        Raises
        ------
        LockHeldError
            A live process holds it.
        JournalError
            The lock file cannot be made.
        """
        lock = FileLock(self._path(run), thread_local=False, mode=0o600)
        try:
            # Made one by one: `parents` would make the outer one with the default mode.
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            # Longer than `is_held` keeps it anywhere, which must not pass for a live run.
            lock.acquire(timeout=_PROBE_S)
        except Timeout as error:
            raise LockHeldError(
                f"run {run} is still being worked on by a live process: wait for it to end, "
                "or end that process first."
            ) from error
        except OSError as error:
            raise JournalError(
                f"the lock file {self._path(run)} cannot be made ({error.strerror}): make its "
                "folder writable, or set OPSKIT_STATE_DIR to a folder that is."
            ) from error
        with self._guard:
            self._held[run] = lock

    def drop(self, run: str, *, forget: bool) -> None:
        """Let a run go; `forget` also removes the lock file, for a run that nobody resumes."""
        with self._guard:
            lock = self._held.pop(run, None)
        if lock is None:
            return
        if forget:
            self._path(run).unlink(missing_ok=True)
        lock.release()

    def drop_all(self) -> None:
        """Let all runs go, as the end of the process would."""
        with self._guard:
            runs = list(self._held)
        for run in runs:
            self.drop(run, forget=False)

    def holds(self, run: str) -> bool:
        """Return whether this object holds the run."""
        with self._guard:
            return run in self._held

    def is_held(self, run: str) -> bool:
        """Return whether a live process, this one included, holds the run."""
        try:
            with self._path(run).open("rb") as file:
                # Shared, so that two who ask at once do not take each other for a live process.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, ValueError):
            # A name with a NUL byte is of no file.
            return False
        except OSError:
            # Held; or not ours to lock, and then it is safer to believe that someone holds it.
            return True
        return False

    def _path(self, run: str) -> Path:
        return self._folder / f"{run}.lock"
