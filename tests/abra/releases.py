"""A recipe with a history, as `abra recipe fetch` leaves it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Nobody" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "nobody@example.com" for who in ("AUTHOR", "COMMITTER")},
}


@dataclass(frozen=True, slots=True)
class Releases:
    """A recipe's checkout."""

    folder: Path

    def git(self, *arguments: str) -> str:
        """Run git in it."""
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=ENVIRONMENT, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def release(self, version: str, files: Mapping[str, str], *, message: str = "") -> str:
        """Commit these files and tag them, annotated when there is a message."""
        if not (self.folder / ".git").exists():
            if shutil.which("git") is None:
                pytest.skip("git is not installed")
            self.folder.mkdir(parents=True, exist_ok=True)
            self.git("init", "-q", "-b", "main")
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", f"Release {version}")
        self.git("tag", version, *(("-a", "-m", message) if message else ()))
        return self.git("rev-parse", "HEAD")

    def state(self) -> tuple[str, str, str, dict[str, bytes]]:
        """Give what deploying must leave alone: HEAD, status, index, and the working tree."""
        files = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and ".git" not in path.parts
        }
        return (
            self.git("rev-parse", "HEAD"),
            self.git("status", "-s"),
            self.git("stash", "list"),
            files,
        )
