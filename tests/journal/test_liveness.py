"""A run is held by a live process, and by nobody who only asks."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from opskit.journal.liveness import RunLocks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the lock file of a run whose process is gone."""
    locks = RunLocks(tmp_path / "runs")
    locks.take("run")
    locks.drop_all()
    (tmp_path / "runs" / "run.lock").touch()
    return tmp_path / "runs"


def test_a_run_is_held_until_it_is_dropped(folder: Path) -> None:
    ours, theirs = RunLocks(folder), RunLocks(folder)
    ours.take("run")
    assert theirs.is_held("run")
    assert ours.is_held("run")
    ours.drop("run", forget=False)
    assert not theirs.is_held("run")


def test_two_who_ask_at_once_do_not_take_each_other_for_a_live_process(folder: Path) -> None:
    with (folder / "run.lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not RunLocks(folder).is_held("run")


def test_a_run_that_nobody_began_is_held_by_nobody(folder: Path) -> None:
    assert not RunLocks(folder).is_held("another")
    assert not RunLocks(folder / "elsewhere").is_held("run")
