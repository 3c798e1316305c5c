"""Asking git about a recipe: which commit a version names, and what that commit holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from opskit.abra.files import decode
from opskit.errors import InputError, MissingToolError

HASH = re.compile(r"[0-9a-f]{4,64}")
"""A commit's own name, or the beginning of it."""

_CLONE_SECONDS = 600.0


def clean_environment() -> dict[str, str]:
    """Give this process's environment without git's own variables.

    Within a git hook, ``GIT_DIR`` and its like would point at another repository.
    """
    return {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}


def git(folder: Path, *arguments: str, more: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run git in a folder: its exit status, and what it printed (on failure, its complaint).

    Raises
    ------
    MissingToolError
        git is not installed.
    InputError
        It did not end, or refuses the folder.
    """
    status, said, complaint = _run(folder, arguments, more=more)
    return status, decode(complaint if status else said).strip()


def _run(
    folder: Path,
    arguments: Sequence[str],
    *,
    more: Mapping[str, str] | None = None,
    seconds: float = 60.0,
) -> tuple[int, bytes, bytes]:
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env={**clean_environment(), **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise MissingToolError(
            "git is not installed here. Install it: recipes are read with it."
        ) from None
    except subprocess.TimeoutExpired:
        raise InputError(f"git did not answer in {seconds:g} s.", path=folder) from None
    if ended.returncode and b"dubious ownership" in ended.stderr:
        raise InputError(
            "git refuses to read this checkout, as another user owns it.",
            path=folder,
            remedy=f"If you trust it: git config --global --add safe.directory {folder}",
        )
    return ended.returncode, ended.stdout, ended.stderr


def find_commit(folder: Path, version: str) -> str:
    """Give the commit a tag, or else a commit's own name, stands for; empty when there is none.

    A branch is no version: it would be another one tomorrow.
    """
    for name in (f"refs/tags/{version}", *((version,) if HASH.fullmatch(version) else ())):
        status, commit = git(
            folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
        if status == 0:
            return commit
    return ""


def file_of(folder: Path, commit: str, name: str) -> bytes | None:
    """Give a file of a commit; ``None`` when the commit has none of that name."""
    status, found, _ = _run(folder, ("cat-file", "blob", f"{commit}:{name}"))
    return found if status == 0 else None


def clone(address: str, folder: Path) -> None:
    """Clone a repository to a folder that is not there yet.

    Raises
    ------
    InputError
        It cannot be fetched; says what git said. Nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Nobody is there to answer a question for a password.
    quiet = {"GIT_TERMINAL_PROMPT": "0"}
    command = ("clone", "--quiet", "--", address, str(folder))
    status, _, complaint = _run(folder.parent, command, more=quiet, seconds=_CLONE_SECONDS)
    if status:
        raise InputError(
            f"{address} cannot be cloned: {_reason(decode(complaint))}",
            remedy="Check the recipe's name, or recipe_url in your settings.",
        )


def _reason(complaint: str) -> str:
    """Give the line in which git says what is wrong; advice may follow it."""
    lines = complaint.strip().splitlines() or [""]
    return next((line for line in lines if line.startswith("fatal: ")), lines[-1])


@contextmanager
def tree_of(folder: Path, commit: str) -> Generator[Path, None, None]:
    """Write a commit's files to a folder of their own, removed afterwards.

    Neither the working tree nor the index of the checkout is touched.

    Raises
    ------
    InputError
        git cannot read the commit.
    """
    made = Path(tempfile.mkdtemp(prefix="opskit-recipe-"))
    try:
        index = {"GIT_INDEX_FILE": str(made / "index")}
        tree = made / folder.name
        tree.mkdir()
        for command in (
            ("read-tree", commit),
            ("checkout-index", "--all", f"--prefix={tree}/"),
        ):
            status, said = git(folder, *command, more=index)
            if status:
                raise InputError(
                    f"git cannot read commit {commit[:8]} ({said.rpartition(chr(10))[2]}).",
                    path=folder,
                    remedy="Check the recipe: git fsck",
                )
        yield tree
    finally:
        shutil.rmtree(made, ignore_errors=True)
