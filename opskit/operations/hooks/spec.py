"""How a hook is written down, in settings and on the command line, and what it runs."""

from __future__ import annotations

import shlex
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from opskit.errors import InputError
from opskit.operations.hooks.kinds import HOOKS, PROGRAMS, databases_in_words

Action = Literal["set", "restore"]
TRY_LATER = 75
"""The exit status of a script whose database is not there yet."""
_SHOWN = "opskit: "


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

    def arguments(self, action: Action, file: str) -> tuple[str, ...]:
        """Return what to run in the container whose mounted `file` holds the old password."""
        script = _script("common") + _script(self.kind)
        return ("sh", "-c", script, "opskit-hook", action, file, self.user, *self.program)


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


def complaint(stderr: bytes) -> str:
    """Give what a script says to the operator; nothing else of its output may be shown."""
    lines = stderr.decode(errors="replace").splitlines()
    said = [line.removeprefix(_SHOWN) for line in lines if line.startswith(_SHOWN)]
    return said[-1] if said else "it ended without saying why."


@cache
def _script(name: str) -> str:
    return (files("opskit.operations.hooks") / "scripts" / f"{name}.sh").read_text()


def _wrong(text: str) -> InputError:
    return InputError(
        f"{text!r} is no hook.",
        remedy=f"Write {databases_in_words()}, with :SERVICE and user=NAME if need be; or "
        f"{PROGRAMS}.",
    )
