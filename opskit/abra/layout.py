"""abra's folder: servers and their apps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from opskit.abra.app import read_app
from opskit.abra.model import Declared, DeclaredApp, DeclaredServer, Problem
from opskit.abra.recipe import recipe_once
from opskit.errors import InputError

DEFAULT_SERVER = "default"
"""abra's name for the engine of this machine; old ``.env`` files outside a folder belong to it."""


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Give abra's folder: ``ABRA_DIR``, else ``~/.abra``.

    Raises
    ------
    InputError
        It holds no ``servers/``.
    """
    configured = environ.get("ABRA_DIR")
    root = Path(configured).expanduser() if configured else Path.home() / ".abra"
    check_root(root)
    return root


def check_root(root: Path) -> None:
    """Refuse a folder that is not abra's.

    Raises
    ------
    InputError
        It holds no ``servers/``.
    """
    if not (root / "servers").is_dir():
        raise InputError(
            "there is no servers/ folder here.",
            path=root,
            remedy="Set ABRA_DIR to your abra folder, or try opskit on a demo fleet: opskit demo",
        )


def read_tree(root: Path) -> Declared:
    """Read every server and app that abra's folder declares.

    Only files named ``*.env`` directly inside a server's folder are apps; symlinks are
    followed. What cannot be read is a problem of the app or of the tree, never an exception.

    Raises
    ------
    InputError
        `root` holds no ``servers/``.
    """
    check_root(root)
    recipe_once.cache_clear()
    problems: list[Problem] = []
    servers: dict[str, DeclaredServer] = {}
    loose: list[Path] = []
    for entry in _entries(root / "servers", problems):
        if entry.is_dir():
            if not entry.name.startswith("."):
                apps = _apps(root, entry.name, _entries(entry, problems))
                servers[entry.name] = DeclaredServer(name=entry.name, folder=str(entry), apps=apps)
        elif _is_app(entry):
            loose.append(entry)
    if loose:
        found = servers.get(DEFAULT_SERVER)
        apps = (found.apps if found else ()) + _apps(root, DEFAULT_SERVER, loose)
        folder = found.folder if found else str(root / "servers")
        servers[DEFAULT_SERVER] = DeclaredServer(name=DEFAULT_SERVER, folder=folder, apps=apps)
    return Declared(
        root=str(root),
        servers=tuple(servers[name] for name in sorted(servers)),
        problems=tuple(problems),
    )


def _entries(folder: Path, problems: list[Problem]) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        problems.append(
            Problem(
                path=str(folder),
                line=0,
                what=f"the folder cannot be read ({error.strerror}).",
                remedy="Check that you may read it.",
            )
        )
        return []
    problems += [
        Problem(
            path=str(path),
            line=0,
            what="the symlink points nowhere.",
            remedy="Point it at the folder or file that was moved, or remove it.",
        )
        for path in found
        if path.is_symlink() and not path.exists()
    ]
    return [path for path in found if path.exists()]


def _is_app(path: Path) -> bool:
    return path.name.endswith(".env") and path.name != ".env" and path.is_file()


def _apps(root: Path, server: str, entries: list[Path]) -> tuple[DeclaredApp, ...]:
    return tuple(read_app(root, server, path) for path in entries if _is_app(path))
