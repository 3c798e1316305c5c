"""What is left of a process that was killed, and what is never taken from one that lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from opskit.files import temporary
from opskit.files.temporary import folder

HOLD = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from opskit.files.temporary import Folder
held = Folder("kind")
print(held.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders are made; all of them count as old."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "_YOUNG_S", -1.0)
    temporary.sweep.cache_clear()
    return tmp_path


def holder(place: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_private_and_goes_with_its_use() -> None:
    with folder("kind") as made:
        assert made.stat().st_mode & 0o777 == 0o700
        (made / "file").touch()
    assert not made.exists()


def test_the_next_start_removes_what_a_killed_process_left_and_nothing_of_one_that_lives(
    place: Path,
) -> None:
    (dead, left), (alive, used) = holder(place), holder(place)
    (left / "file").touch()
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    with folder("kind"), folder("other"):
        assert not left.exists()
        assert used.exists()
    alive.communicate("")


def test_what_is_no_folder_of_ours_stays(place: Path) -> None:
    target = place / "elsewhere"
    target.mkdir()
    (place / "opskit-kind-link").symlink_to(target)
    (place / "opskit-kind-file").touch()
    if os.geteuid() == 0:
        (place / "opskit-kind-foreign").mkdir()
        os.chown(place / "opskit-kind-foreign", 65534, -1)
    before = set(place.iterdir())
    with folder("kind"):
        pass
    assert set(place.iterdir()) == before


def test_a_young_folder_stays_as_its_owner_may_be_about_to_hold_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_YOUNG_S", 60.0)
    (place / "opskit-kind-young").mkdir()
    with folder("kind"):
        assert (place / "opskit-kind-young").exists()
