"""What goes wrong on the operator's own machine: full disks, faults in programs, Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

import opskit
from opskit.errors import InputError, JournalError, RefusedError
from opskit.run.work import Progressed
from opskit.steps import lock
from opskit.swarm.engine import Engine
from tests.disk import Disk
from tests.stage import APP, QUICK, SERVER, Stage
from tests.waiting import LIMIT, eventually

TOKEN = (SERVER, APP, "token")


@pytest.fixture
def stage(stage_at_night: Stage) -> Stage:
    stage_at_night.set_up()
    return stage_at_night


@pytest.fixture
def full(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk, with the journal on it."""
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(disk.path))
    return disk


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


@pytest.mark.parametrize("how", [Disk.fill, Disk.make_read_only])
def test_without_a_writable_journal_nothing_is_changed(
    stage: Stage, full: Disk, how: Callable[[Disk], None]
) -> None:
    before = stage.state()
    plan = fleet().plan_rotate([TOKEN], QUICK)
    how(full)
    with pytest.raises(JournalError, match="journal"):
        plan.apply()
    assert stage.state() == before


@pytest.mark.parametrize("ending", ["resume", "rollback"])
@pytest.mark.parametrize("at", ["take-lock", "create-secret", "declare", "switch-service"])
def test_a_journal_whose_disk_fills_stops_the_run_where_it_can_be_finished(
    stage: Stage, full: Disk, at: str, ending: str
) -> None:
    before = stage.state()

    def fill(step: Progressed) -> None:
        if step.action == at and step.status == "running":
            full.fill()

    with pytest.raises(JournalError, match="opskit resume"):
        fleet().plan_rotate([TOKEN], QUICK).apply(on_progress=fill)
    full.drain()
    ended = fleet().resume() if ending == "resume" else fleet().rollback()
    after = stage.state()

    assert ended.status == {"resume": "done", "rollback": "rolled-back"}[ending], ended.errors
    assert after["locks"] == []
    assert (after == before) is (ending == "rollback")
    assert len(after["secrets"]) == len(before["secrets"]) + (ending == "resume")


def test_a_fault_in_a_program_is_undone_like_any_failure_and_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stage.state()

    def faulty(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing")

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "update_service", faulty)
        run = fleet().plan_rotate([TOKEN], QUICK).apply()

    assert run.status == "rolled-back"
    assert "RuntimeError in test_mishaps.py" in run.errors[0]
    assert stage.state() == before


@pytest.mark.parametrize("how", ["hard link", "read-only"])
def test_a_file_that_cannot_be_replaced_is_refused_when_planning(stage: Stage, how: str) -> None:
    if how == "read-only":
        stage.env_file.chmod(0o444)
    else:
        (stage.root / "other.env").hardlink_to(stage.env_file)
    with pytest.raises(InputError, match=how):
        fleet().plan_rotate([TOKEN], QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("undone", [False, True])
def test_a_lock_that_cannot_be_released_is_named_and_takes_nothing_back(
    stage: Stage, undone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise RefusedError("no quorum", server=SERVER)

    before = stage.state()
    plan = fleet().plan_rotate(APP, "token", options=QUICK)
    run = plan.apply() if undone else None
    with monkeypatch.context() as patch:
        patch.setattr(lock, "release", refuse)
        run = fleet().rollback(run.id) if run else plan.apply()
    assert run.status == ("rolled-back" if undone else "done"), run.errors
    (note,) = run.notes
    assert f"may keep others away: opskit break-lock {SERVER} {stage.stack}" in note
    assert "no quorum" in note
    (left,) = stage.state()["locks"]
    assert left.startswith(lock.PREFIX)
    assert (stage.state() | {"locks": []} == before) is undone
    lock.break_lock(stage.engine, stage.stack)


@pytest.mark.slow
def test_ctrl_c_stops_a_run_where_it_can_be_finished(stage: Stage) -> None:
    before = stage.state()
    with subprocess.Popen(
        [sys.executable, "-m", "opskit", "secret", "rotate", APP, "token", "--yes",
         "--stable", "200"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:  # fmt: skip
        eventually(lambda: stage.state()["uses"], "a switch", lambda uses: uses != before["uses"])
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=LIMIT)

    assert process.returncode == 1, said
    assert "interrupted" in said
    assert "opskit resume" in said
    assert "Traceback" not in said
    assert fleet().rollback().status == "rolled-back"
    assert stage.state() == before
