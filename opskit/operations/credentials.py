"""Secrets that are also stored inside a database, where a new file changes nothing."""

from __future__ import annotations

import re

from opskit.errors import InputError
from opskit.operations.hooks.kinds import hooks_in_words
from opskit.operations.select import Target

_DATABASE = re.compile(
    r"(?:^|[_-])(?:db|database|pg|postgres(?:ql)?|mysql|mariadb|redis|mongo(?:db)?)(?:[_-]|$)"
)
_PASSWORD = re.compile(r"pass(?:word|wd)?|pwd|pw(?:[_-]|$)|secret")


def looks_like_database_password(name: str) -> bool:
    """Tell whether a secret's name says it is a database's password."""
    return bool(_DATABASE.search(name) and _PASSWORD.search(name))


def refuse_database_password(target: Target) -> None:
    """Refuse to rotate a password that a database keeps a copy of.

    Database images read the mounted file when they first make their data, and never again:
    the new file would lock the app out.

    Raises
    ------
    InputError
        The secret looks like a database password.
    """
    if looks_like_database_password(target.declared.name):
        raise InputError(
            f"{target.app.name} {target.declared.name} looks like a database password, and the "
            "database keeps the old one inside whatever the file says.",
            remedy=f"Say --hook {hooks_in_words()}; or --no-hook "
            "and change it in the database in the same minute; or leave it out.",
        )
