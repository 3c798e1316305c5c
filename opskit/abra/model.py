"""What abra's files declare, as plain data; no values except names, versions and paths."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could not be read: where, what, and how to mend it."""

    path: str
    line: int
    what: str
    remedy: str


class DeclaredSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret an app's enabled services use, at the version its ``.env`` names."""

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


class DeclaredConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A config an app declares, at the version in force."""

    name: str
    version: str
    swarm_name: str
    env_key: str


class DeclaredApp(msgspec.Struct, frozen=True, kw_only=True):
    """One ``.env`` file: an instance of a recipe on a server."""

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


class DeclaredServer(msgspec.Struct, frozen=True, kw_only=True):
    """A folder below ``servers/`` and its apps."""

    name: str
    folder: str
    apps: tuple[DeclaredApp, ...]


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an abra folder declares."""

    root: str
    servers: tuple[DeclaredServer, ...]
    problems: tuple[Problem, ...]
