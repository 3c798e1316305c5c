"""``opskit app config``: an app's ``.env`` in the operator's editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from opskit.cli.change import App, Commit, Yes, carry_out, open_fleet
from opskit.errors import InputError, MissingToolError

if TYPE_CHECKING:
    from opskit.fleet import Fleet

_EDITOR = "vi"


def config(app: App, commit: Commit = False, yes: Yes = False) -> None:
    """Edit an app's .env in $EDITOR; see what a redeploy would change before it is written."""
    from opskit.abra.masked import masked_diff

    fleet = open_fleet()
    path = Path(fleet.app(app).env_file)
    before = path.read_bytes()
    after = _edited(fleet, app, path, before, ask=not yes and sys.stdin.isatty())
    if after == before:
        print("nothing was changed.")
        return
    print(masked_diff(before, after, path.name))
    carry_out(fleet.plan_config(app, after, commit=commit), dry_run=False, yes=yes)
    print(f"let it take effect: opskit app deploy {app}")


def _edited(fleet: Fleet, app: str, path: Path, before: bytes, *, ask: bool) -> bytes:
    """Let the operator edit a copy until nothing is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="opskit-config-") as folder:
        copy = Path(folder, path.name)
        copy.touch(mode=0o600)
        copy.write_bytes(before)
        while True:
            _edit(copy)
            if not copy.exists():
                raise InputError(
                    "the editor took its file away; nothing was changed.",
                    remedy="Set EDITOR to one that saves in place.",
                )
            after = copy.read_bytes()
            faults = fleet.check_config(app, after)
            if not faults:
                return after
            if not ask:
                raise faults[0]
            for fault in faults:
                print(f"opskit: {fault}", file=sys.stderr)
            if not typer.confirm("Edit it again?", default=True):
                raise typer.Exit(1)


def _edit(path: Path) -> None:
    said = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _EDITOR
    try:
        command = shlex.split(said) or [_EDITOR]
    except ValueError as error:
        raise InputError(
            f"the editor {said!r} cannot be understood ({error}).", remedy="Mend EDITOR."
        ) from None
    try:
        ended = subprocess.run([*command, str(path)], check=False)
    except FileNotFoundError:
        raise MissingToolError(
            f"the editor {command[0]} is not installed here. Set EDITOR to one that is."
        ) from None
    if ended.returncode:
        raise InputError(
            f"the editor {command[0]} ended with status {ended.returncode}; nothing was changed."
        )
