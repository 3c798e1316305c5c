"""abra's folder: servers and their apps."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from opskit.abra.acknowledged import read_acknowledged
from opskit.abra.app import read_app
from opskit.abra.env import EnvFile, read_env
from opskit.abra.files import as_problem, is_folder, printable, unreadable
from opskit.abra.model import Declared, DeclaredApp, DeclaredServer, Problem
from opskit.abra.names import (
    DEFAULT_SERVER,
    app_name,
    compose_files,
    is_app_file,
    pinned_version,
    recipe_of,
)
from opskit.abra.recipe import Recipes
from opskit.abra.releases import releases
from opskit.errors import InputError

_REMEDY = "Set ABRA_DIR to your abra folder, or try opskit on a demo fleet: opskit demo"


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return abra's folder: ``ABRA_DIR``, else ``~/.abra``.

    Raises
    ------
    InputError
        It holds no ``servers/``.
    """
    try:
        root = Path(environ.get("ABRA_DIR") or "~/.abra").expanduser()
    except RuntimeError:
        raise InputError("your home folder is not known.", remedy=_REMEDY) from None
    check_root(root)
    return root


def check_root(root: Path) -> None:
    """Refuse a folder that is not abra's.

    Raises
    ------
    InputError
        It holds no ``servers/``.
    """
    if not is_folder(root / "servers"):
        # Another tool uses the name ABRA_DIR too, so the variable alone proves nothing.
        raise InputError("there is no servers/ folder here.", path=root, remedy=_REMEDY)


def env_path(root: Path, server: str, app: str) -> Path:
    """Return the path of an app's ``.env``.

    Raises
    ------
    InputError
        There is no such file.
    """
    servers = root / "servers"
    places = [servers / server, *([servers] if server == DEFAULT_SERVER else [])]
    # Neither may lead elsewhere: plans that were saved name them too.
    if not any("/" in part or part in {"", ".", ".."} for part in (server, app)):
        for place in places:
            path = place / f"{app}.env"
            if is_app_file(path.name) and path.is_file():
                return path
    raise InputError(
        f"{server} has no app called {app}.",
        path=places[0],
        remedy="See what there is: opskit apps",
    )


def app_names(root: Path) -> dict[str, list[str]]:
    """Return the apps of each server, by the names of their files alone: none is opened.

    Raises
    ------
    OSError
        A folder cannot be read.
    """
    found: dict[str, list[str]] = {}
    for entry in sorted((root / "servers").iterdir()):
        if _is_app(entry):
            found.setdefault(DEFAULT_SERVER, []).append(app_name(entry.name))
        elif _is_server(entry):
            names = sorted(path.name for path in entry.iterdir() if _is_app(path))
            found.setdefault(entry.name, []).extend(map(app_name, names))
    return found


def marks(root: Path) -> frozenset[tuple[str, int, int, int]]:
    """Return what changes when a file in ``servers/`` does; cheap enough to be asked all the time.

    What cannot be looked at is left out: `read_tree` says why.
    """
    servers = _marks(root / "servers")
    return servers.union(*(_marks(Path(path)) for path, *_ in servers))


def _marks(folder: Path) -> frozenset[tuple[str, int, int, int]]:
    found: set[tuple[str, int, int, int]] = set()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                found.add((entry.path, status.st_mtime_ns, status.st_size, status.st_ino))
    return frozenset(found)


def read_tree(root: Path) -> Declared:
    """Read every server and app that abra's folder declares.

    Every folder in ``servers/`` is a server, every ``*.env`` file directly inside it an app;
    symlinks are followed, hidden files and folders passed over. What cannot be read is a problem
    of the app or of the tree, never an exception.

    Raises
    ------
    InputError
        `root` holds no ``servers/``.
    """
    check_root(root)
    return _Tree(root).read()


def server_names(root: Path) -> list[str]:
    """Return the names of all servers that abra's folder declares, without reading a file.

    Raises
    ------
    InputError
        `root` holds no ``servers/``.
    """
    check_root(root)
    try:
        entries = list((root / "servers").iterdir())
    except OSError:
        return []  # `read_tree` says why.
    names = {printable(entry.name) for entry in entries if _is_server(entry)}
    if any(map(_is_app, entries)):
        names.add(DEFAULT_SERVER)
    return sorted(names)


class _Tree:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._recipes = Recipes(root)
        self._problems: list[Problem] = []

    def read(self) -> Declared:
        servers: dict[str, DeclaredServer] = {}
        folder = self._root / "servers"
        entries = self._entries(folder)
        by_folder = {
            entry: _env_files(self._entries(entry)) for entry in entries if _is_server(entry)
        }
        loose_files = _env_files(entries)
        self._read_recipes([*loose_files, *(env for envs in by_folder.values() for env in envs)])
        for entry, envs in by_folder.items():
            name = printable(entry.name)
            apps = self._apps(entry.name, envs)
            servers[name] = DeclaredServer(name=name, folder=printable(str(entry)), apps=apps)
        loose = self._apps(DEFAULT_SERVER, loose_files)
        if loose:
            found = servers.get(DEFAULT_SERVER)
            servers[DEFAULT_SERVER] = DeclaredServer(
                name=DEFAULT_SERVER,
                folder=found.folder if found else printable(str(folder)),
                apps=(found.apps if found else ()) + loose,
            )
        places = {"": folder, **{printable(entry.name): entry for entry in by_folder}}
        let_be = {name: read_acknowledged(place, name) for name, place in places.items()}
        return Declared(
            root=printable(str(self._root)),
            servers=tuple(servers[name] for name in sorted(servers)),
            problems=tuple(self._problems),
            releases=self._releases(servers),
            acknowledged=tuple(one for found, _ in let_be.values() for one in found),
            unacknowledged=tuple((name, why) for name, (_, why) in let_be.items() if why),
        )

    def _releases(self, servers: Mapping[str, DeclaredServer]) -> dict[str, tuple[str, ...]]:
        names = {app.recipe for server in servers.values() for app in server.apps}
        found = {name: self._recipes.find(name) for name in sorted(names) if name}
        return {
            printable(name): releases(self._root, name, recipe.tags)
            for name, recipe in found.items()
            if recipe is not None
        }

    def _read_recipes(self, envs: list[EnvFile]) -> None:
        wanted = [
            (name, pinned_version(env.values), compose_files(env.values))
            for env in envs
            if (name := recipe_of(env.values)[0])
        ]
        self._recipes.read(wanted)
        found = (self._recipes.find(name) for name in sorted({name for name, *_ in wanted}))
        problems = (recipe.problem for recipe in found if recipe is not None)
        # One that concerns every recipe is told once.
        self._problems += dict.fromkeys(problem for problem in problems if problem)

    def _apps(self, server: str, envs: list[EnvFile]) -> tuple[DeclaredApp, ...]:
        return tuple(read_app(self._recipes, server, env.path, env) for env in envs)

    def _entries(self, folder: Path) -> list[Path]:
        """Return what a folder holds, in order; what points nowhere and is no app is a problem."""
        try:
            found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except OSError as error:
            self._problems.append(as_problem(unreadable(folder, error), folder))
            return []
        for path in found:
            if path.is_symlink() and not is_app_file(path.name) and not path.exists():
                missing = unreadable(path, FileNotFoundError())
                self._problems.append(as_problem(missing, path))
            elif is_app_file(path.name) and is_folder(path):
                what = "this is a folder, where an app's settings would be a file."
                self._problems.append(
                    Problem(path=printable(str(path)), line=0, what=what, remedy="Rename it.")
                )
        return found


def _is_server(path: Path) -> bool:
    return not path.name.startswith(".") and is_folder(path)


def _is_app(path: Path) -> bool:
    return is_app_file(path.name) and not is_folder(path)


def _env_files(entries: list[Path]) -> list[EnvFile]:
    return [read_env(entry) for entry in filter(_is_app, entries)]
