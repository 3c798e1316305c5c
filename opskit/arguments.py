"""Checks of what callers give, each refusing in one sentence what something else would become.

Annotations bind an editor only: without a check a text given for a list is taken letter by
letter, and a word outside a closed set falls through every branch and looks like success. The
value itself is named only where a number or one of a few words is meant: anything else may be a
secret in the wrong place.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence, Set
from pathlib import Path
from typing import Any, cast

from opskit.errors import InputError

_SHOWN = 40
LONGEST_S = 604_800.0
"""A week: whoever waits longer meant something else."""
"""So much of a mistaken word is shown."""


def given(value: object) -> str:
    """Name what was given by its type."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _number(value: object) -> str:
    return repr(value) if isinstance(value, bool | int | float) else given(value)


def check_text(name: str, value: object, remedy: str, *, empty: bool = False) -> None:
    """Refuse what is no text, and an empty one unless that has a meaning.

    Raises
    ------
    InputError
        It is one of these.
    """
    if not isinstance(value, str):
        raise InputError(f"{name} is {given(value)}, not a text.", remedy=remedy)
    if not empty and not value.strip():
        raise InputError(f"{name} is empty.", remedy=remedy)


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false.

    Raises
    ------
    InputError
        It is something else, such as the text "no", which counts as true.
    """
    if not isinstance(value, bool):
        raise InputError(
            f"{name} is {given(value)}, neither true nor false.", remedy="Give True or False."
        )


def check_number(name: str, value: object, *, least: float = 0, above: float | None = None) -> None:
    """Refuse what is no number of at least `least`, or above `above`, up to a week's seconds.

    Raises
    ------
    InputError
        It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        fits = False
    else:
        least_holds = value >= least if above is None else value > above
        fits = math.isfinite(value) and least_holds and value <= LONGEST_S
    if not fits:
        wanted = f"{least:g} or more" if above is None else f"more than {above:g}"
        raise InputError(
            f"{name} is {_number(value)}.",
            remedy=f"Give a number of seconds, {wanted}, at most a week.",
        )


def check_count(name: str, value: object, *, least: int) -> None:
    """Refuse what is no whole number of at least `least`.

    Raises
    ------
    InputError
        It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            f"{name} is {_number(value)}.", remedy=f"Give a whole number, {least} or more."
        )


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse what is none of a few words.

    Raises
    ------
    InputError
        It is something else.
    """
    if not isinstance(value, str) or value not in choices:
        shown = repr(value[:_SHOWN]) if isinstance(value, str) else given(value)
        raise InputError(f"{name} is {shown}.", remedy=f"Choose from: {', '.join(choices)}.")


def check_kind(name: str, value: object, kind: type | tuple[type, ...], remedy: str) -> None:
    """Refuse what is not an instance of a class.

    Raises
    ------
    InputError
        It is something else.
    """
    if not isinstance(value, kind):
        raise InputError(f"{name} is {given(value)}.", remedy=remedy)


def check_function(name: str, value: object) -> None:
    """Refuse what cannot be called.

    Raises
    ------
    InputError
        It is something else.
    """
    if not callable(value):
        raise InputError(f"{name} is {given(value)}.", remedy="Give a function.")


def names_in(name: str, value: object, *, empty: bool = False) -> tuple[str, ...]:
    """Return the texts of a list, set or column; `empty` lets them be empty.

    Raises
    ------
    InputError
        It is one text, something else, or holds what is none or an empty one.
    """
    remedy = 'Give a list of names, such as ["one", "two"].'
    if isinstance(value, str):
        raise InputError(f"{name} is one text, where a list is meant.", remedy=remedy)
    if not isinstance(value, bytes) and isinstance(value, Sequence | Set):
        found = list(cast("Collection[object]", value))
    elif hasattr(value, "tolist"):
        # A column of a frame, but no frame: that would give the names of its columns.
        found = list(cast("Any", value).tolist())
    else:
        raise InputError(f"{name} is {given(value)}, not a list.", remedy=remedy)
    for one in found:
        check_text(f"one of {name}", one, remedy, empty=empty)
    return tuple(cast("list[str]", found))


def path_in(name: str, value: object) -> Path:
    """Return a path that is given as one or as text.

    Raises
    ------
    InputError
        It is something else, or empty.
    """
    if isinstance(value, Path):
        return value
    check_text(name, value, "Give a path.")
    return Path(str(value))
