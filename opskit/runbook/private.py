"""Files that only their owner may read, written whole or not at all."""

from __future__ import annotations

import os
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
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def reserve(folder: Path, stem: str, suffix: str) -> Path:
    """Make an empty private file of a name that nobody has yet, and give its path.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    number = 1
    while True:
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            number += 1
        except OSError as error:
            raise _unwritable(path, error) from None
        else:
            return path


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that a reader, or a crash, meets the old one or the new one.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be written ({error.strerror}).",
        path=path,
        remedy="Name a folder that you may write to.",
    )
