"""The next free version of a secret."""

from __future__ import annotations

import re
from collections.abc import Collection

from opskit.errors import InputError

NAME_LIMIT = 64
_NUMBER = re.compile(r"(.*?)([0-9]+)$")
_LETTER = re.compile(r"(.*[0-9])([a-y])$")


def next_version(version: str) -> str:
    """Give the version after this one: ``v9`` → ``v10``, ``2024a`` → ``2024b``, ``x`` → ``x2``.

    Leading zeros are kept (``007`` → ``008``), as they would be in a file.
    """
    if match := _NUMBER.fullmatch(version):
        stem, number = match.groups()
        return f"{stem}{int(number) + 1:0{len(number)}d}"
    if match := _LETTER.fullmatch(version):
        stem, letter = match.groups()
        return stem + chr(ord(letter) + 1)
    return f"{version}2" if version else "v1"


def next_free_version(prefix: str, version: str, taken: Collection[str]) -> str:
    """Give the first version after `version` whose swarm name is free.

    Parameters
    ----------
    prefix
        The swarm name up to the version, ``<stack>_<secret>_``.
    version
        The one in force.
    taken
        All secret names of that swarm.

    Raises
    ------
    InputError
        The name would be longer than Swarm allows.
    """
    candidate = next_version(version)
    while prefix + candidate in taken:
        candidate = next_version(candidate)
    check_name(prefix + candidate)
    return candidate


def check_name(name: str) -> None:
    """Refuse a name Swarm would refuse for its length.

    Raises
    ------
    InputError
        It is too long; says by how much.
    """
    if len(name) > NAME_LIMIT:
        raise InputError(
            f"the secret name {name} would have {len(name)} characters, and Swarm allows "
            f"{NAME_LIMIT}.",
            remedy="Give the app a shorter STACK_NAME, or insert a value at a shorter version: "
            "opskit secret insert APP SECRET VERSION",
        )
