"""Files that only their owner may read, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from opskit.errors import InputError


def private_folder(folder: Path) -> Path:
    """Give a folder, making it for its owner alone; the mode of one that exists is left.

    Raises
    ------
    InputError
        It cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from None
    return folder


def write_new(folder: Path, stem: str, suffix: str, text: str) -> Path:
    """Write a private file of a name that nobody has yet, and give its path.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    number = 1
    temporary = _written(folder / f"{stem}{suffix}", text)
    try:
        while True:
            path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
            try:
                # Unlike renaming, this never replaces anything.
                path.hardlink_to(temporary)
            except FileExistsError:
                number += 1
            except OSError as error:
                raise _unwritable(path, error) from None
            else:
                return path
    finally:
        temporary.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a private file so that a reader, or a crash, meets the old one or the new one.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    temporary = _written(path, text)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _written(path: Path, text: str) -> Path:
    """Write a text beside where it is to go."""
    temporary = ""
    try:
        # Readable by its owner only.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, ValueError) as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    return Path(temporary)


def _unwritable(path: Path, error: OSError | ValueError) -> InputError:
    return InputError(
        f"cannot be written ({getattr(error, 'strerror', None) or error}).",
        path=path,
        remedy="Name a folder that you may write to, with free space.",
    )
