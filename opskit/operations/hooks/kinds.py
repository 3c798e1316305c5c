"""The kinds of hooks: one entry each, which feeds settings, the command line and the forms.

A kind is added by an entry of `HOOKS` and a script of its name in ``scripts``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HookKind:
    """A kind of database, or a program that somebody names.

    Parameters
    ----------
    images
        Finds the database's service by the last part of its image's name; without one the
        service must be named.
    takes_program
        Whether the operator says what runs, as in ``command:SERVICE PROGRAM``.
    """

    images: re.Pattern[str] | None = None
    takes_program: bool = False


HOOKS: Mapping[str, HookKind] = {
    "postgres": HookKind(images=re.compile(r"postgres|postgis|pgvector|timescaledb")),
    "mariadb": HookKind(images=re.compile(r"mariadb|mysql|percona")),
    "redis": HookKind(images=re.compile(r"redis|valkey")),
    "command": HookKind(takes_program=True),
}

NO_HOOK = "none"
"""What a person says who wants only the file changed."""

OFFERED = tuple(name for name, kind in HOOKS.items() if not kind.takes_program)
"""What a person may say without more."""


PROGRAMS = ", ".join(f"{name}:SERVICE PROGRAM" for name in HOOKS if HOOKS[name].takes_program)
"""How those are written down that take a program."""


def databases_in_words() -> str:
    """Name the kinds that a person may say without more."""
    return f"{', '.join(OFFERED[:-1])} or {OFFERED[-1]}"


def hooks_in_words() -> str:
    """Name every kind as it is written down."""
    return f"{', '.join(OFFERED)} or {PROGRAMS}"
