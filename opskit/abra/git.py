"""Asking git about a recipe: which commit a version names, and what that commit holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from opskit.abra.files import decode
from opskit.errors import InputError, MissingToolError

_SECONDS = 60


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
        It did not end.
    """
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env={**clean_environment(), **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise MissingToolError(
            "git is not installed here. Install it: recipes are read with it."
        ) from None
    except subprocess.TimeoutExpired:
        raise InputError(f"git did not answer in {_SECONDS} s.", path=folder) from None
    said = ended.stdout if ended.returncode == 0 else ended.stderr
    return ended.returncode, decode(said).strip()


def find_commit(folder: Path, version: str) -> str:
    """Give the commit a tag, or else a commit's own name, stands for; empty when there is none."""
    for name in (f"refs/tags/{version}", version):
        status, commit = git(
            folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
        if status == 0:
            return commit
    return ""


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
