"""Disks that fill up or turn read-only, for real."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system of 1 MB."""

    path: Path

    def fill(self) -> None:
        """Use up all of its space."""
        with (self.path / "ballast").open("ab", buffering=0) as ballast:
            while True:
                try:
                    ballast.write(b"x" * 4096)
                except OSError:
                    return

    def drain(self) -> None:
        """Give the space back."""
        (self.path / "ballast").unlink()

    def make_read_only(self) -> None:
        """Remount it read-only."""
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)


@contextmanager
def small_disk(path: Path) -> Iterator[Disk]:
    """Mount one in a folder of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "opskit-test", path]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.strip()}")
    try:
        yield Disk(path=path)
    finally:
        # Lazily: an open journal must not keep the mount alive.
        subprocess.run(["umount", "--lazy", path], check=True)
