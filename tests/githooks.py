"""The environment a git hook finds, as git itself makes it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Literal

import pytest

Hook = Literal["pre-commit", "pre-receive"]


def enter(hook: Hook, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the variables of git's that a hook of a repository made here is given."""
    seen = folder / "seen"
    _git(folder, "init", "--quiet", "--bare", "--template=", "theirs")
    _git(folder, "clone", "--quiet", "--template=", "theirs", "ours")
    _git(folder / "ours", "commit", "--quiet", "--allow-empty", "-m", "Begin")
    # In a worktree a hook is told the most.
    _git(folder / "ours", "worktree", "add", "--quiet", "../tree")
    for hooks in (folder / "ours" / ".git" / "hooks", folder / "theirs" / "hooks"):
        hooks.mkdir()
        (hooks / hook).write_text(f"#!/bin/sh\nenv -0 > {seen}\n")
        (hooks / hook).chmod(0o700)
    _git(folder / "tree", "commit", "--quiet", "--allow-empty", "-m", "More")
    _git(folder / "tree", "push", "--quiet", "origin", "HEAD")
    for name, _, value in (one.partition("=") for one in seen.read_text().split("\0")):
        if name.startswith("GIT_"):
            monkeypatch.setenv(name, value)
    assert "GIT_DIR" in os.environ


def _git(folder: Path, *arguments: str) -> None:
    who = {
        f"GIT_{who}_{what}": "them@test.example"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **who}, check=True, capture_output=True
    )
