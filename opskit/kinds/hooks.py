"""The kinds of credential hooks, and how one is written down in settings and on the command line.

`HOOKS` feeds settings, command line and forms: a kind is added by an entry of it and a script of
its name in ``opskit/steps/scripts``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from opskit.errors import InputError


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


class HookSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator says of a hook.

    `service` is the database's, found by its image when empty. `user` is the database user, by
    default the one that the container's own environment names. `program` is what a ``command``
    hook runs: the password comes in on its input, the old one when the change is undone.
    """

    kind: str
    service: str = ""
    user: str = ""
    program: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in HOOKS:
            raise _wrong(self.kind)


def parse_hook(text: str) -> HookSpec:
    """Read ``KIND[:SERVICE] [user=NAME]`` or ``command:SERVICE PROGRAM ARGUMENT…``.

    Raises
    ------
    InputError
        It is neither.
    """
    try:
        head, *words = shlex.split(text) or [""]
    except ValueError as error:
        raise _wrong(text) from error
    kind, _, service = head.partition(":")
    if kind not in HOOKS:
        raise _wrong(text)
    if HOOKS[kind].takes_program:
        if not (service and words):
            raise _wrong(text)
        return HookSpec(kind=kind, service=service, program=tuple(words))
    users = [word.removeprefix("user=") for word in words if word.startswith("user=")]
    if len(users) != len(words) or len(users) > 1:
        raise _wrong(text)
    return HookSpec(kind=kind, service=service, user="".join(users))


def _wrong(text: str) -> InputError:
    return InputError(
        f"{text!r} is no hook.",
        remedy=f"Write {databases_in_words()}, with :SERVICE and user=NAME if need be; or "
        f"{PROGRAMS}.",
    )
