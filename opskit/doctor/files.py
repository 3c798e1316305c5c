"""opskit's own files and abra's: settings, state, servers and recipes."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from opskit.abra.files import is_folder
from opskit.abra.layout import default_root, read_tree
from opskit.abra.model import Declared
from opskit.abra.names import recipe_folders
from opskit.abra.newapp import clone_of
from opskit.doctor.rows import CheckupRow, mend, told, well
from opskit.errors import InputError, JournalError
from opskit.inert import without_login
from opskit.journal.database import SCHEMA, Database
from opskit.settings import Settings, journal_path, read_settings, settings_path, state_dir
from opskit.swarm.context import DEFAULT_SERVER, context_names

_ROOM = 50 * 1024**2
"""Bytes that the journal of a busy year stays well below."""


def settings(check: str = "settings") -> tuple[Settings, CheckupRow]:
    """Read the operator's settings; return the defaults when they cannot be read."""
    path = settings_path()
    try:
        found = read_settings()
    except InputError as error:
        edit = f"Mend the file: ${{EDITOR:-nano}} {shlex.quote(str(path))}"
        return Settings(), told(check, error, otherwise=edit)
    return found, well(check, str(path) if path.exists() else f"the defaults; {path} may say more")


def state(seconds: float) -> CheckupRow:
    """Look whether the journal can be kept, and by nobody but its owner; change nothing."""
    check, folder, journal = "state folder", state_dir(), journal_path()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        if fault := _is_open(folder, journal):
            return mend(check, *fault)
        free = shutil.disk_usage(existing).free
        if free < _ROOM:
            return mend(
                check,
                f"only {free / 1024**2:.0f} MiB are free for {folder}.",
                f"Make room: df -h {shlex.quote(str(existing))}",
            )
        if journal.exists():
            database = Database(journal, SCHEMA, patience=seconds)
            try:
                database.check_writable()
            finally:
                database.close()
        elif not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
            return mend(
                check,
                f"{folder} cannot be made or written to.",
                'Name another folder: export OPSKIT_STATE_DIR="$HOME/opskit-state"',
            )
    except (JournalError, OSError) as error:
        return told(check, error)
    return well(check, f"{folder}, {free / 1024**3:,.1f} GiB free")


def _is_open(folder: Path, journal: Path) -> tuple[str, str] | None:
    """Return who else could change or read what is kept, and how to keep it to its owner."""
    if not folder.exists():
        return None
    name = shlex.quote(str(folder))
    if (owner := folder.stat().st_uid) != os.geteuid():
        return (
            f"{folder} belongs to another user ({owner}).",
            f"Make it yours: sudo chown -R {os.geteuid()} {name}",
        )
    if folder.stat().st_mode & 0o022:
        return f"others may write to {folder}.", f"Keep it to yourself: chmod go-w {name}"
    if journal.exists() and journal.stat().st_mode & 0o077:
        return (
            f"others may read the journal {journal}.",
            f"Keep it to yourself: chmod 600 {shlex.quote(str(journal))}",
        )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """abra's folder as it was read: what it declares, if it could be, and what to say of it."""

    declared: Declared | None
    rows: tuple[CheckupRow, ...]


def tree(recipe_url: str, environ: Mapping[str, str] = os.environ) -> Tree:
    """Read abra's folder, and look for the recipes that its apps name."""
    check = "abra's folder"
    try:
        root = default_root(environ)
        declared = read_tree(root)
    except InputError as error:
        root = error.path or Path("~/.abra").expanduser()
        if environ.get("ABRA_DIR"):
            remedy = "ABRA_DIR leads there. Point it at abra's folder, or: unset ABRA_DIR"
        else:
            remedy = _first_server(root)
        return Tree(declared=None, rows=(mend(check, f"{root} has no servers/ folder.", remedy),))
    except OSError as error:
        return Tree(declared=None, rows=(told(check, error),))
    return Tree(
        declared=declared,
        rows=(*_servers(check, root, declared), *_recipes(root, declared, recipe_url)),
    )


def _servers(check: str, root: Path, declared: Declared) -> Iterator[CheckupRow]:
    if not declared.servers:
        yield mend(check, f"{root / 'servers'} has no server in it.", _first_server(root))
        return
    apps = sum(len(server.apps) for server in declared.servers)
    found = len(declared.servers)
    yield well(
        check,
        f"{root}: {found} server{'' if found == 1 else 's'}, {apps} app{'' if apps == 1 else 's'}",
    )
    for problem in declared.problems:
        where = "recipes" if problem.path.startswith(str(root / "recipes")) else check
        yield mend(where, f"{problem.path}: {problem.what}", problem.remedy)


def _first_server(root: Path) -> str:
    """Return how to have a first server, named by a Docker context where there is one."""
    name = next((one for one in context_names() if one != DEFAULT_SERVER), "SERVER")
    if shutil.which("abra"):
        return f"Let abra make it: abra server add {shlex.quote(name)}"
    return (
        "Make a folder for each server, named as its Docker context: "
        f"mkdir -p {shlex.quote(str(root / 'servers' / name))}"
    )


def _recipes(root: Path, declared: Declared, recipe_url: str) -> Iterator[CheckupRow]:
    named = {app.recipe for server in declared.servers for app in server.apps if app.recipe}
    folder = root / "recipes"
    missing = [
        name
        for name in sorted(named)
        if not any(is_folder(folder / one) for one in recipe_folders(name))
    ]
    for name in missing:
        try:
            url, wanted = clone_of(root, name, recipe_url)
        except InputError as error:
            yield told("recipes", error)
            continue
        yield mend(
            "recipes",
            f"{name} is not in {folder}, and apps name it.",
            f"Fetch it: git clone {shlex.quote(without_login(url))} {shlex.quote(str(wanted))}",
        )
    if named and not missing:
        yield well(
            "recipes", f"all {len(named)} that apps name" if len(named) > 1 else next(iter(named))
        )
