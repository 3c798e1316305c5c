"""What a runbook is given, checked before it is written: titles, and whether something holds."""

from __future__ import annotations

from opskit.errors import InputError
from opskit.journal.runbooks import masked

_LONGEST = 300


def checked_title(title: object, kind: str) -> str:
    """Return a title as a book holds it.

    Raises
    ------
    InputError
        It is empty, too long or no text.
    """
    if not isinstance(title, str) or not title.strip():
        raise InputError(f"a {kind} needs a title.", remedy='Give a text, such as "Rotate".')
    if len(title) > _LONGEST:
        raise InputError(
            f"the title of the {kind} has {len(title):,} characters.",
            remedy=f"Keep it under {_LONGEST}.",
        )
    return masked(title)


def checked_truth(what: str, ok: object) -> bool:
    """Return whether something holds.

    Raises
    ------
    InputError
        It is neither true nor false, as a function that was not called or a whole table.
    """
    try:
        if callable(ok) or ok != ok:
            raise ValueError
        return bool(ok)
    except (ValueError, TypeError):
        raise InputError(
            f"the check {what!r} got a {type(ok).__name__}, which is neither true nor false.",
            remedy="Say what of it must hold: f(), table.empty, len(table) == 3.",
        ) from None
