"""Where the sockets of ssh connections that are kept may lie."""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path

from opskit.settings import state_dir

LONGEST_NAME = 24
"""Characters that the name of a socket may have."""
_LONGEST = 104 - len("/.0123456789abcdef\0") - LONGEST_NAME
"""Bytes of a folder: ssh binds a socket under a longer name before it gives it its own, and
macOS takes 104 bytes, NUL included."""

_PLAIN = re.compile(r"[\w./@+-]+")
"""What ssh takes as it stands: it reads spaces, quotes, ``%``, ``$`` and more in its own way."""
_RUNTIME = Path("/run/user")
"""Where systemd makes the folders that XDG_RUNTIME_DIR names."""
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def kept_folder() -> tuple[Path | None, str]:
    """Return the folder, which may be still to be made, of masters that are kept; else why none is.

    ``opskit`` in ``XDG_RUNTIME_DIR``, or in what that would be; else ``ssh`` in opskit's state
    folder.
    """
    faults = {folder: _unfit(folder) or _refusal(folder) for folder in _candidates()}
    fit = next((folder for folder, fault in faults.items() if not fault), None)
    return fit, "" if fit else next(iter(faults.values()))


def make_folder() -> Path | None:
    """Make that folder, if there is none yet, and return it; ``None`` where none can be."""
    kept, _ = kept_folder()
    return kept if kept and _is_made(kept) else None


def present_folders() -> list[Path]:
    """Return the folders where masters that are kept may be."""
    return [folder for folder in _candidates() if folder.is_dir() and not _unfit(folder)]


def _candidates() -> list[Path]:
    # cron and others set none, but are to find what a terminal made.
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or _RUNTIME / str(os.geteuid()))
    # It may be another user's, as behind su, or a folder for all.
    fits = runtime.is_absolute() and runtime.is_dir() and not _unfit(runtime, _WRITABLE)
    return [*([runtime / "opskit"] if fits else []), state_dir() / "ssh"]


def _is_made(folder: Path) -> bool:
    with suppress(OSError):
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder.is_dir() and not _unfit(folder) and not _refusal(folder)


def _refusal(folder: Path) -> str:
    """Return why a folder, if it is there, takes no sockets, as on some shared file systems."""
    return _refusal_of(folder) if folder.is_dir() else ""


@cache
def _refusal_of(folder: Path) -> str:
    bound, linked = (folder / f"try.{secrets.token_hex(8)}" for _ in range(2))
    try:
        # As ssh does it.
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(bound))
            linked.hardlink_to(bound)
    except OSError as error:
        return f"no socket can be made in {folder} ({error.strerror or error})"
    finally:
        with suppress(OSError):
            bound.unlink(missing_ok=True)
            linked.unlink(missing_ok=True)
    return ""


def _unfit(folder: Path, closed_to: int = stat.S_IRWXG | stat.S_IRWXO) -> str:
    """Return why a folder, if it is there, is no place for sockets."""
    if len(os.fsencode(folder)) > _LONGEST:
        return f"the path of {folder} is too long for a socket"
    if not _PLAIN.fullmatch(str(folder)):
        return f"ssh cannot read the path of {folder}"
    try:
        # Not what a link leads to: whoever made it could have it lead elsewhere.
        status = folder.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror})"
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return f"{folder} is no folder of yours"
    if status.st_mode & closed_to:
        return f"others have rights in {folder}"
    return ""
