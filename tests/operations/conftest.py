"""Stages on either engine, and disks that fill up or turn read-only, for real."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet
from tests.operations.stage import Stage, staged


@pytest.fixture(params=["embedded", pytest.param("dockerd", marks=pytest.mark.swarm)])
def stage(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    embedded_host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """One server with nothing on it yet, on the embedded and on a real engine."""
    host = embedded_host
    if request.param == "dockerd":
        fleet: DockerdFleet = request.getfixturevalue("real_fleet")
        host = fleet.host("srv1")
    yield from staged(tmp_path, host, monkeypatch)


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


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "opskit-test", path]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.strip()}")
    yield Disk(path=path)
    # Lazily: an open journal must not keep the mount alive.
    subprocess.run(["umount", "--lazy", path], check=True)
