"""Text that others wrote, made harmless where it is shown.

A server's name, a label, a task's error or a recipe may hold anything: what moves a terminal's
cursor or hides text, what turns the direction of reading, what a spreadsheet takes for a formula.
All of opskit's output passes through here: tables and errors as they are made, and whatever a
command prints at its standard output and standard error. HTML is escaped besides, where it is made.
An address of a repository may hold a token: it is shown without.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, cast

_SUSPECT = re.compile(r"[^\n\t -~]")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, formats (bidirectional marks, zero widths, tags), halves of characters, separators."""

_LOGIN = re.compile(r"(?i)(https?://)[^/?#\s]*@|(://[^:@/?#\s]*):[^/?#\s]*@")
"""Over HTTP a user's name may be the token itself."""

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def visible(text: str, instead: str = "�") -> str:
    r"""Return text of which all is seen: what steers a reader or a terminal is replaced.

    Line ends and tabs stay.

    Examples
    --------
    >>> from opskit.inert import visible
    >>> visible("all well\x1b[2K\u202e")
    'all well�[2K�'
    """
    return _SUSPECT.sub(
        lambda found: instead if unicodedata.category(found[0]) in _UNSEEN else found[0], text
    )


def visible_in(data: Any) -> Any:
    """Return plain nested data with every text of it `visible`."""
    match data:
        case str():
            return visible(data)
        case dict():
            pairs = cast("dict[Any, Any]", data).items()
            return {visible_in(key): visible_in(value) for key, value in pairs}
        case list() | tuple():
            return [visible_in(one) for one in cast("list[Any]", data)]
        case _:
            return data


def without_login(text: str) -> str:
    """Return text with no password or token in any address.

    Examples
    --------
    >>> from opskit.inert import without_login
    >>> without_login("https://bot:a-token@git.example/wiki, ssh://git@git.example/wiki")
    'https://git.example/wiki, ssh://git@git.example/wiki'
    """
    return _LOGIN.sub(lambda found: found[1] or f"{found[2]}@", text)


def no_formula(text: str) -> str:
    """Return text that a spreadsheet takes for text: ``'`` before what would begin a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
