"""Working on a file or folder alone, among this operator's processes and threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from opskit.errors import LockHeldError, StepError
from opskit.settings import state_dir


@contextmanager
def path_lock(path: Path, *, patience: float) -> Generator[None]:
    """Hold a path's lock; its file lies with opskit's state, as the path may be in a checkout.

    Parameters
    ----------
    path
        What to work on, links resolved.
    patience
        Seconds to wait for others.

    Raises
    ------
    LockHeldError
        Another process or thread works on it for longer than that.
    StepError
        The lock file cannot be made.
    """
    folder = state_dir() / "locks"
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    lock = FileLock(folder / f"{name}.lock", timeout=patience, mode=0o600)
    try:
        # Made one by one: `parents` would make the outer one with the default mode.
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise LockHeldError(
            f"another opskit is working on {path}: try again when it has ended."
        ) from error
    except OSError as error:
        raise StepError(
            f"{path} was not changed, as no lock can be made in {folder} ({error.strerror}): "
            "make that folder writable, or set OPSKIT_STATE_DIR to one that is."
        ) from error
    try:
        yield
    finally:
        lock.release()
