"""What abra's files declare, as plain data; no values except names, versions and paths."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

import msgspec

ProblemKind = Literal["amiss", "unread", "conflict", "locked"]
"""``amiss``: read, and something is wrong with it. ``unread``: a line or file that was passed over.
``conflict``: a merge was left half done. ``locked``: the file is encrypted."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that could not be read: where, what, and how to mend it.

    `line` counts from 1; 0 means the file or folder as a whole. `about` is the variable whose line
    it is, where that is known: lines move, and what they hold may be a value.
    """

    path: str
    line: int
    what: str
    remedy: str
    kind: ProblemKind = "amiss"
    about: str = ""


class DeclaredSecret(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A secret an app's enabled services use, at the version its ``.env`` names.

    `name` is the middle of `swarm_name`, between the stack and the version, or the compose file's
    `key` where two keys have one middle. `swarm_name` ends with `version`, so the next version's
    name is the same text with another end. `mounts` are the services that use it, each with the
    name of the file it is there. `env_key` is the variable that gives the version, empty when no
    ``.env`` line could change it; `env_line` is 0 when the version comes from the compose file's
    default. `length` and `charset` are the marks, ``None`` and empty without; `problems` are of
    marks that cannot be read. `shared` marks a
    name without this stack's prefix.
    """

    name: str
    version: str
    swarm_name: str
    env_key: str
    env_line: int
    generate: bool
    length: int | None
    charset: str
    services: tuple[str, ...]
    shared: bool
    problems: tuple[Problem, ...] = ()
    key: str = ""
    mounts: tuple[tuple[str, str], ...] = ()

    @property
    def prefix(self) -> str:
        """Its swarm name up to the version."""
        return self.swarm_name[: len(self.swarm_name) - len(self.version)]


class DeclaredConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A config an app's enabled services use, at the version in force."""

    name: str
    version: str
    swarm_name: str
    env_key: str


class DeclaredApp(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One ``.env`` file: an instance of a recipe on a server.

    `recipe_version` is what ``TYPE`` pins, `revision` what is checked out. `compose_files` are
    relative to the recipe's folder. `guessed` says that compose files are missing, so that
    `secrets` rests on the ``.env`` too; `note` says why. `unsupported` lists what its compose files
    have and no stack can. `named_with` says, of each variable that gives a secret its version, what
    else has its name from it and cannot be renewed along, such as ``the config x``.
    """

    server: str
    name: str
    domain: str
    recipe: str
    recipe_version: str
    revision: str
    stack: str
    env_file: str
    env_sha256: str
    compose_files: tuple[str, ...]
    secrets: tuple[DeclaredSecret, ...]
    configs: tuple[DeclaredConfig, ...]
    guessed: bool
    note: str
    problems: tuple[Problem, ...]
    unsupported: tuple[Problem, ...] = ()
    named_with: dict[str, tuple[str, ...]] = {}

    def renewed_with(self, secret: DeclaredSecret) -> tuple[DeclaredSecret, ...]:
        """Return the secrets, this one among them, that one variable gives their version."""
        key = secret.env_key
        return tuple(one for one in self.secrets if one.env_key == key) if key else (secret,)

    @property
    def unread(self) -> Problem | None:
        """Why the ``.env`` was not read whole: no plan goes by what it says, or writes to it."""
        return self._unread(own=True)

    @property
    def recipe_unread(self) -> Problem | None:
        """Why a file of its recipe was not read whole: what that says of its secrets is a guess."""
        return self._unread(own=False)

    def _unread(self, *, own: bool) -> Problem | None:
        found = (one for one in self.problems if (one.path == self.env_file) is own)
        return next((one for one in found if one.kind != "amiss"), None)


class DeclaredServer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A folder below ``servers/`` and its apps."""

    name: str
    folder: str
    apps: tuple[DeclaredApp, ...]


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the audit that somebody looked at and lets be, up to a day and with it.

    It is about what the check `check` finds at a server, app, secret and `subject`; the latter
    three may be empty, and the server is where it is about the whole folder.
    """

    check: str
    server: str = ""
    app: str = ""
    secret: str = ""
    subject: str = ""
    who: str
    why: str
    until: date
    made_on: date

    @property
    def about(self) -> tuple[str, ...]:
        """What it is about: what makes the finding's key."""
        return (self.check, self.server, self.app, self.secret, self.subject)

    def was_made(self, day: date) -> bool:
        """Return whether it was made by a day, such as that of a snapshot."""
        # Where a colleague is, it may be tomorrow. A day far off would let it be for decades.
        return self.made_on <= day + timedelta(days=1)

    def holds(self, day: date) -> bool:
        """Return whether it was made and not over on a day."""
        return self.was_made(day) and self.until >= day

    def over(self, day: date) -> str:
        """Return who made it, until when and why, of one that does not hold."""
        why_not = (
            "which is over" if self.was_made(day) else f"made on {self.made_on}, a day to come"
        )
        return f"It was acknowledged by {self.who} until {self.until}, {why_not}: {self.why}"


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an abra folder declares.

    `releases` lists the versions known here of each recipe in use, the oldest first. `others` are
    the servers that were left out when some were chosen: their swarms may be those of the chosen.
    `acknowledged` is what colleagues let be, of every ``opskit.toml`` that could be read;
    `unacknowledged` says why the others could not, each under its server.
    """

    root: str
    servers: tuple[DeclaredServer, ...]
    problems: tuple[Problem, ...]
    releases: dict[str, tuple[str, ...]] = {}
    others: tuple[DeclaredServer, ...] = ()
    acknowledged: tuple[Acknowledged, ...] = ()
    unacknowledged: tuple[tuple[str, Problem], ...] = ()
