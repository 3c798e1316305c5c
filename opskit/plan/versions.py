"""The version that a new secret gets, and the name it has with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from opskit.hooks import HookSpec
from opskit.plan.obstacles import ObstacleError
from opskit.plan.selection import Target
from opskit.secrets.generate import Policy
from opskit.swarm.model import NAME_LIMIT

_NUMBER = re.compile(r"(.*?)([0-9]+)$")
_LETTER = re.compile(r"(.*[0-9])([a-y])$")


def next_version(version: str) -> str:
    """Return the version after this one: ``v9`` → ``v10``, ``2024a`` → ``2024b``, ``x`` → ``x2``.

    Leading zeros are kept (``007`` → ``008``), as they would be in a file.
    """
    if match := _NUMBER.fullmatch(version):
        stem, number = match.groups()
        return f"{stem}{int(number) + 1:0{len(number)}d}"
    if match := _LETTER.fullmatch(version):
        stem, letter = match.groups()
        return stem + chr(ord(letter) + 1)
    return f"{version}2" if version else "v1"


def next_free_version(prefixes: Sequence[str], version: str, taken: Collection[str]) -> str:
    """Return the first version after `version` whose swarm name is free.

    Parameters
    ----------
    prefixes
        The swarm name up to the version, ``<stack>_<secret>_``; of all secrets that get it.
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
    while any(prefix + candidate in taken for prefix in prefixes):
        candidate = next_version(candidate)
    for prefix in prefixes:
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
        raise ObstacleError(
            f"the secret name {name} would have {len(name)} characters, and Swarm allows "
            f"{NAME_LIMIT}.",
            why=f"its name would have more than the {NAME_LIMIT} characters that Swarm allows",
            remedy="Give the app a shorter STACK_NAME, or insert a value at a shorter version: "
            "opskit secret insert APP SECRET VERSION",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A secret that gets a new version.

    `policy` is ``None`` when the operator gives the value; `hook` when only the file changes.
    """

    target: Target
    version: str
    policy: Policy | None
    hook: HookSpec | None = None

    @property
    def new_name(self) -> str:
        """The new version's swarm name."""
        return self.target.declared.prefix + self.version
