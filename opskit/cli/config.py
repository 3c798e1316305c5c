"""``opskit app config``: an app's ``.env`` in the operator's editor."""

from __future__ import annotations

import glob
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opskit.cli.change import carry_out, open_fleet
from opskit.cli.options import App, Commit, Yes
from opskit.errors import InputError, MissingToolError, StalePlanError

if TYPE_CHECKING:
    from opskit.fleet import Fleet

_EDITOR = "vi"

From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Go on with this text, such as one kept for you."),
]


def config(app: App, from_: From = None, commit: Commit = False, yes: Yes = False) -> None:
    """Edit an app's .env in $EDITOR; see what a redeploy would change before it is written."""
    from opskit.abra.edit import masked_diff
    from opskit.plan.config import check_editable

    fleet = open_fleet()
    found = fleet.app(app)
    check_editable(found)
    path = Path(found.env_file)
    before = path.read_bytes()
    with _copy(app, path, before, from_) as copy:
        after = _edited(fleet, app, copy, ask=not yes and sys.stdin.isatty())
        if after == before:
            print("nothing was changed.")
            return
        plan = fleet.plan_config(app, after, commit=commit)
        # The plan is over the file as it is now, which is not what was edited.
        if path.read_bytes() != before:
            raise StalePlanError(f"{path} was saved by someone else while you edited it.")
        print(masked_diff(before, after, path.name))
        carry_out(plan, dry_run=False, yes=yes)
    print(f"let it take effect: opskit app deploy {shlex.quote(app)}")


@contextmanager
def _copy(app: str, path: Path, before: bytes, from_: Path | None) -> Generator[Path, None, None]:
    """Return a copy to edit, for the operator alone; what was not applied of it stays.

    It lies with opskit's state from the beginning, as a lost connection ends this process too.
    """
    copy = _begun(path, before, from_)
    try:
        yield copy
    except BaseException:
        text = copy.read_bytes() if copy.exists() else before
        if text == before:
            shutil.rmtree(copy.parent, ignore_errors=True)
        else:
            told = f"opskit app config {shlex.quote(app)} --from {shlex.quote(str(copy))}"
            print(f"your text is kept, for you alone: {copy}\ngo on with it: {told}",
                  file=sys.stderr)  # fmt: skip
        raise
    shutil.rmtree(copy.parent, ignore_errors=True)


def _begun(path: Path, before: bytes, from_: Path | None) -> Path:
    from opskit.settings import state_dir

    edits = state_dir() / "edits"
    try:
        if from_ is not None and from_.absolute().parent.parent == edits and from_.exists():
            return from_.absolute()
        text = before if from_ is None else from_.read_bytes()
        # Nobody was told of these if the connection was lost.
        for left in sorted(edits.glob(f"*/{glob.escape(path.name)}")):
            print(f"a text of yours from earlier is kept: {left}   (go on with it: --from)",
                  file=sys.stderr)  # fmt: skip
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", path=from_) from None
    try:
        edits.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        edits.mkdir(mode=0o700, exist_ok=True)
        copy = Path(tempfile.mkdtemp(prefix=f"{path.stem[:100]}-", dir=edits), path.name)
        copy.touch(mode=0o600)
        copy.write_bytes(text)
    except OSError as error:
        raise InputError(
            f"no copy to edit can be made there: {error.strerror}.",
            path=edits,
            remedy="Mend that, or name another folder in OPSKIT_STATE_DIR.",
        ) from None
    return copy


def _edited(fleet: Fleet, app: str, copy: Path, *, ask: bool) -> bytes:
    """Let the operator edit a copy until nothing is wrong with it."""
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
    said = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not said and not sys.stdin.isatty():
        raise InputError(
            "no editor is named, and there is no terminal for vi.",
            remedy="Set EDITOR, or run it in a terminal.",
        )
    try:
        command = shlex.split(said or "") or [_EDITOR]
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
