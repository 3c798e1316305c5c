"""Running git in the repositories of recipes: `ask` does so inertly.

A recipe comes from elsewhere, and so may its ``.git``, whose configuration can name commands for
git to run: hooks, filters, a file system monitor, ways to fetch. None of them is run by `ask`.
What the operator's own configuration says still holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from opskit.errors import InputError
from opskit.git import SECONDS, UNATTENDED, Ended, operators_environment, run_git
from opskit.inert import without_login

_INERT = {
    **UNATTENDED,
    # A partial clone would fetch an object that is asked for, by a command of its configuration.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    # What a commit holds is what its hash says.
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_INERT_CONFIG = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "safe.bareRepository=explicit")
_CLONE_SECONDS = 600.0


def clone(address: str, folder: Path) -> None:
    """Clone a repository to a folder that is not there yet.

    Raises
    ------
    InputError
        It cannot be fetched; says what git said. Nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    environment = operators_environment()
    command = ("clone", "--quiet", "--", address, str(folder))
    try:
        ended = run_git(folder.parent, *command, environment=environment, seconds=_CLONE_SECONDS)
    except TimeoutError as error:
        raise InputError(str(error), path=folder) from None
    if ended.status:
        raise InputError(
            f"{without_login(address)} cannot be cloned: {ended.reason}",
            remedy="Check the recipe's name, or recipe_url in your settings.",
        )


def ask(folder: Path, *arguments: str, config: Iterable[str] = (), stdin: bytes = b"") -> Ended:
    """Ask git about a recipe's repository, without running anything its configuration names.

    Raises
    ------
    MissingToolError
        git is not installed.
    InputError
        It did not end, or refuses the folder.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | _INERT
    # A folder above may be the operator's own repository, and is not asked instead.
    environment["GIT_CEILING_DIRECTORIES"] = str(folder.resolve().parent)
    settings = [word for setting in (*_INERT_CONFIG, *config) for word in ("-c", setting)]
    command = (*settings, f"--work-tree={folder}", *arguments)
    try:
        ended = run_git(folder, *command, environment=environment, stdin=stdin, seconds=SECONDS)
    except TimeoutError as error:
        raise InputError(str(error), path=folder) from None
    if ended.status and "dubious ownership" in ended.complaint:
        raise InputError(
            "git refuses to read this checkout, as another user owns it.",
            path=folder,
            remedy="If you trust it: git config --global --add safe.directory "
            f"{quote(str(folder))}",
        )
    return ended


def answered(folder: Path, *arguments: str, stdin: bytes = b"") -> Ended:
    """Return what `ask` does when git knows an answer.

    Raises
    ------
    InputError
        It does not; says why.
    """
    ended = ask(folder, *arguments, stdin=stdin)
    if ended.status:
        raise damaged(folder, ended.reason)
    return ended


def damaged(folder: Path, reason: str) -> InputError:
    """Make the error for a recipe's repository that git cannot read."""
    return InputError(
        f"git cannot read this checkout: {reason}.",
        path=folder,
        remedy=f"Look at it: git -C {quote(str(folder))} status; git -C {quote(str(folder))} fsck",
    )
