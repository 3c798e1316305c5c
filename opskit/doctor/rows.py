"""What a check-up says: one row for each thing that was looked at."""

from __future__ import annotations

from typing import Annotated, Literal

from opskit.errors import EngineError, InputError, UnreachableError
from opskit.views.columns import Column, Row

State = Literal["well", "note", "mend"]


class CheckupRow(Row, frozen=True, kw_only=True):
    """A row of a check-up: one thing that was looked at."""

    server: Annotated[str | None, Column("The server, as abra names it; nothing for this machine.")]
    check: Annotated[str, Column("What was looked at.")]
    state: Annotated[
        State, Column("well; note, which only some of opskit needs; or mend, which is in the way.")
    ]
    what: Annotated[str, Column("What was found, in a sentence.")]
    remedy: Annotated[str | None, Column("How to mend it, with the command.")]


def well(check: str, what: str, *, server: str | None = None) -> CheckupRow:
    """Return that all is well."""
    return CheckupRow(server=server, check=check, state="well", what=what, remedy=None)


def note(check: str, what: str, remedy: str) -> CheckupRow:
    """Return what only some of opskit needs."""
    return CheckupRow(server=None, check=check, state="note", what=what, remedy=remedy)


def mend(check: str, what: str, remedy: str, *, server: str | None = None) -> CheckupRow:
    """Return what is in the way."""
    return CheckupRow(server=server, check=check, state="mend", what=what, remedy=remedy or None)


def told(
    check: str, error: Exception, *, server: str | None = None, otherwise: str = ""
) -> CheckupRow:
    """Return an error as what is in the way; `otherwise` is its remedy when it names none."""
    match error:
        case InputError(what=what, remedy=remedy, path=path):
            found = f"{path}: {what}" if path else what
        case EngineError(what=found, remedy=remedy) | UnreachableError(what=found, remedy=remedy):
            pass
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            found, remedy = f"{where}{error.strerror or error}.", ""
        case _:
            found, remedy = str(error), ""
    return mend(check, found, remedy or otherwise, server=server)
