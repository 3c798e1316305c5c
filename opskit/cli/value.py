"""A value that an operator gives: from a file, standard input or a hidden prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opskit.errors import InputError

if TYPE_CHECKING:
    from opskit.secrets.value import Secret

FileOption = Annotated[Path | None, typer.Option("--file", help="Read the value here.")]
KeepNewline = Annotated[
    bool, typer.Option("--keep-newline", help="Keep the value's final newline.")
]


def given_value(
    what: str, file: Path | None = None, *, keep_newline: bool = False, asks: bool
) -> Secret:
    """Return a value, never from an argument; `asks` says that an answer is still to come.

    Raises
    ------
    InputError
        It came in where that answer would.
    """
    from opskit.secrets.value import Secret

    if file is not None:
        return Secret.from_file(file, strip_newline=not keep_newline)
    if sys.stdin.isatty():
        return Secret.prompt(f"Value of {what}")
    value = Secret.from_stream(sys.stdin.buffer, strip_newline=not keep_newline)
    if asks:
        raise InputError(
            "the value came in where the answer would.",
            remedy="Say --yes, or give the value with --file.",
        )
    return value
