"""Private folders that are gone when their process is, however it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_YOUNG_S = 60.0


class Folder:
    """A private folder that this process holds, until it is removed.

    Parameters
    ----------
    kind
        What it is for; its name begins ``opskit-KIND-``.
    below
        Where it is made; by default where temporary files belong.

    Attributes
    ----------
    path
        The folder.
    """

    def __init__(self, kind: str, below: str = "") -> None:
        prefix, place = f"opskit-{kind}-", below or tempfile.gettempdir()
        sweep(prefix, place)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        # Held as long as this process lives, which tells a sweep that it does. A lock, and not a
        # process's number: in a container there are others of the same number.
        self._held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._held, fcntl.LOCK_SH)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)


@contextmanager
def folder(kind: str) -> Generator[Path]:
    """Make a private folder, and remove it afterwards."""
    made = Folder(kind)
    try:
        yield made.path
    finally:
        made.remove()


@cache
def sweep(prefix: str, place: str) -> None:
    """Remove the folders that killed processes of this user left, once in each process.

    Parameters
    ----------
    prefix, place
        How their names begin, and where they are.
    """
    for found in Path(place).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            status = found.lstat()
            # A young one's owner may be about to hold it.
            if status.st_uid == os.geteuid() and time.time() - status.st_ctime > _YOUNG_S:
                _remove_if_nobodys(found)


def _remove_if_nobodys(found: Path) -> None:
    held = os.open(found, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(found, ignore_errors=True)
    finally:
        os.close(held)
