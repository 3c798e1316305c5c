"""The journal through crashes, full disks, foreign files and crowds."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opskit.errors import JournalError, LockHeldError
from opskit.journal.database import Database, Schema
from opskit.journal.runs import Journal
from tests.disk import Disk
from tests.journal.journalling import RUN, begin, done, intent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as journal:
        yield journal


def child(path: Path, body: str) -> subprocess.Popen[str]:
    program = (
        "import os, signal, sys, threading\n"
        "from pathlib import Path\n"
        "from opskit.journal.runs import Journal, new_run_id\n"
        "from tests.journal.journalling import begin, done, intent\n"
        # SQLite lets nobody queue: in a crowd on a slow disk one may be overtaken for long.
        f"journal = Journal(Path({str(path)!r}), patience=300)\n"
        f"{body}\n"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def kill_during(path: Path, body: str, lines: int = 1) -> list[str]:
    """Kill a process once it has printed so many lines; give all that it printed."""
    with child(path, body) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        return [line.strip() for line in [*printed, *process.stdout] if line.endswith("\n")]


# -- alive or crashed ---------------------------------------------------------------------


def reopen(journal: Journal, run: str = RUN) -> None:
    journal.reopen(run, host="desk", pid=2)


@pytest.mark.slow
def test_a_live_run_is_not_taken_up_by_another(journal: Journal, path: Path) -> None:
    begin(journal)
    with Journal(path) as other:
        assert other.is_alive(RUN)
        assert other.run(RUN).status == "running"
        assert other.last_unfinished() is None
        with pytest.raises(LockHeldError, match="live process"):
            reopen(other)


@pytest.mark.slow
def test_a_killed_run_has_crashed_and_can_be_taken_up(path: Path) -> None:
    kill_during(path, "begin(journal); intent(journal); print('ready', flush=True); signal.pause()")
    with Journal(path) as journal:
        assert journal.run(RUN).status == "crashed"
        assert list(journal.runs_frame()["status"]) == ["crashed"]
        found = journal.last_unfinished()
        assert found is not None
        reopen(journal, found.run)
        run = journal.run(RUN)
        assert (run.status, run.actor, run.pid) == ("running", "alice", 2)


def test_a_run_that_was_let_go_can_be_taken_up_in_the_same_process(journal: Journal) -> None:
    begin(journal)
    journal.finish(RUN, "interrupted")
    reopen(journal)
    journal.finish(RUN, "rolled-back")
    assert journal.run(RUN).status == "rolled-back"
    assert journal.last_unfinished() is None


def test_the_last_unfinished_run_is_the_latest_that_nobody_works_on(journal: Journal) -> None:
    for day, status in enumerate(("failed", "interrupted", "done", "rolled-back"), 1):
        begin(journal, f"2026010{day}-1")
        journal.finish(f"2026010{day}-1", status)
    begin(journal, "20260105-1")
    found = journal.last_unfinished()
    assert found is not None
    assert found.run == "20260102-1"


def test_a_run_that_ended_well_leaves_no_lock_file(journal: Journal, path: Path) -> None:
    begin(journal)
    journal.finish(RUN, "done")
    assert list(path.with_name("journal.sqlite.runs").iterdir()) == []


# -- the file -----------------------------------------------------------------------------


def test_only_its_owner_can_read_it(journal: Journal, path: Path) -> None:
    begin(journal)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("*-*")}
    assert modes == {"journal.sqlite-wal": 0o600, "journal.sqlite-shm": 0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_commit_waits_for_the_disk(journal: Journal, path: Path) -> None:
    begin(journal)
    assert journal._database.read("PRAGMA synchronous") == [(2,)]
    assert journal._database.read("PRAGMA journal_mode") == [("wal",)]


def test_an_older_file_is_brought_forward_and_keeps_its_rows(path: Path) -> None:
    first = ("CREATE TABLE t (a INTEGER)",)
    second = ("ALTER TABLE t ADD COLUMN b TEXT NOT NULL DEFAULT 'new'",)
    old = Database(path, Schema(application_id=7, migrations=(first,)), patience=1)
    old.write("INSERT INTO t VALUES (1)")
    old.close()
    new = Database(path, Schema(application_id=7, migrations=(first, second)), patience=1)
    assert new.read("SELECT a, b FROM t") == [(1, "new")]
    new.close()


def alter(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_newer_file_is_refused(path: Path, journal: Journal) -> None:
    begin(journal)
    journal.close()
    alter(path, "PRAGMA user_version=9")
    with pytest.raises(JournalError, match="newer opskit"):
        intent(journal)


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    alter(path, "CREATE TABLE theirs (a)")
    content = path.read_bytes()
    with Journal(path) as journal, pytest.raises(JournalError, match="another program"):
        begin(journal)
    assert path.read_bytes() == content


def test_a_damaged_file_is_said_to_be_damaged(path: Path, journal: Journal) -> None:
    begin(journal)
    journal.close()
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(JournalError, match=r"damaged .* move it aside"):
        intent(journal)
    with pytest.raises(JournalError, match="damaged"):
        journal.runs_frame()


def test_a_journal_locked_for_too_long_says_so(path: Path) -> None:
    with Journal(path, patience=0.1) as journal:
        begin(journal)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"locked by another process for 0\.1 s"):
            intent(journal)
        other.execute("ROLLBACK")
        other.close()
        intent(journal)


def test_a_full_disk_refuses_the_intent_and_keeps_what_was_written(disk: Disk) -> None:
    with Journal(disk.path / "journal.sqlite") as journal:
        begin(journal)
        disk.fill()
        written = fill_journal(journal)
        steps = journal.steps(RUN)
        assert [step.step for step in steps] == list(range(written))
        disk.drain()
        intent(journal, written)
        assert len(journal.steps(RUN)) == written + 1


def fill_journal(journal: Journal) -> int:
    for step in range(10_000):
        try:
            intent(journal, step)
        except JournalError as error:
            assert "no space left" in str(error)  # noqa: PT017 (how far it comes is the result)
            return step
    raise AssertionError("the disk never filled up")


def test_no_run_begins_on_a_disk_that_was_full_from_the_start(disk: Disk) -> None:
    disk.fill()
    with (
        Journal(disk.path / "journal.sqlite") as journal,
        pytest.raises(JournalError, match="no space left"),
    ):
        begin(journal)


def test_a_disk_that_filled_up_between_two_runs_is_said_to_be_full(disk: Disk) -> None:
    path = disk.path / "journal.sqlite"
    with Journal(path) as journal:
        begin(journal)
    disk.fill()
    with Journal(path) as journal, pytest.raises(JournalError, match="no space left"):
        intent(journal)


def test_a_disk_turned_read_only_refuses_the_intent(disk: Disk) -> None:
    path = disk.path / "journal.sqlite"
    with Journal(path) as journal:
        begin(journal)
        journal.finish(RUN, "done")
    disk.make_read_only()
    with Journal(path) as journal:
        with pytest.raises(JournalError, match=r"cannot be (written|made)"):
            begin(journal, "20260102")
        with pytest.raises(JournalError, match="cannot be written"):
            intent(journal)


def test_a_folder_that_cannot_be_made_is_named(disk: Disk) -> None:
    disk.make_read_only()
    with Journal(disk.path / "state" / "journal.sqlite") as journal:
        with pytest.raises(JournalError, match="OPSKIT_STATE_DIR"):
            begin(journal)
        assert journal.runs_frame().empty


# -- crashes and crowds -------------------------------------------------------------------


@pytest.mark.slow
def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_confirmed(path: Path) -> None:
    body = (
        "begin(journal)\n"
        "def work(first):\n"
        "    for step in range(first, 1_000_000, 4):\n"
        "        intent(journal, step)\n"
        # Not through a buffer that the threads share: what one wrote could wait for another.
        "        os.write(1, f'{step}\\n'.encode())\n"
        "for first in range(4): threading.Thread(target=work, args=(first,)).start()"
    )
    confirmed = {int(step) for step in kill_during(path, body, lines=150)}
    with Journal(path) as journal:
        kept = {step.step for step in journal.steps(RUN)}
        assert journal._database.read("PRAGMA integrity_check") == [("ok",)]
        assert confirmed <= kept
        # Each thread may have committed one more and died before it could say so.
        assert len(kept - confirmed) <= 4
        reopen(journal)
        intent(journal, 1_000_001)


def test_a_kill_while_the_file_is_made_leaves_one_that_can_be_finished(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    with Journal(path) as journal:
        begin(journal)
        assert journal.run(RUN).status == "running"


@pytest.mark.slow
def test_eight_processes_of_four_threads_write_at_once(path: Path) -> None:
    # Forked from one that has imported everything, so that they all start at the same moment.
    body = (
        "children = []\n"
        "while len(children) < 8 and (pid := os.fork()): children.append(pid)\n"
        "if len(children) == 8:\n"
        "    sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))\n"
        "run = new_run_id()\n"
        "begin(journal, run)\n"
        "def work(first):\n"
        "    for step in range(first, 80, 4):\n"
        "        intent(journal, step, run=run)\n"
        "        done(journal, step, run=run)\n"
        "threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "journal.finish(run, 'done')"
    )
    with child(path, body) as parent:
        assert parent.wait() == 0
    with Journal(path) as journal:
        assert journal.runs_frame()["status"].tolist() == ["done"] * 8
        steps = journal.steps_frame()
        assert steps.groupby("run").size().tolist() == [80] * 8
        assert set(steps["status"]) == {"done"}


def test_threads_share_one_journal(journal: Journal) -> None:
    begin(journal)
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 (shown by the assertion)
                errors.append(error)

        return run

    def work(first: int) -> None:
        for step in range(first, 40, 4):
            intent(journal, step)
            assert step in journal.begun(RUN, 0)
            done(journal, step)

    threads = [threading.Thread(target=guarded(lambda n=n: work(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(journal.steps(RUN)) == 40


# -- rows that opskit never wrote ---------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "ask"),
    [
        ("UPDATE steps SET unit = 'one'", Journal.steps_frame),
        ("UPDATE steps SET error = x'00'", lambda journal: journal.steps(RUN)),
        ("UPDATE steps SET detail = '[1]'", lambda journal: journal.steps(RUN)),
        ("UPDATE steps SET result = '{'", lambda journal: journal.result_of(RUN, 0, 0)),
        ("UPDATE runs SET started_at = 9.5", Journal.runs_frame),
        ("UPDATE runs SET started_at = 'then'", lambda journal: journal.run(RUN)),
        ("UPDATE runs SET status = 'fine'", lambda journal: journal.run(RUN)),
        ("UPDATE runs SET plan = 7", lambda journal: journal.run(RUN)),
        ("UPDATE runs SET run = x'32', status = 'failed'", Journal.last_unfinished),
    ],
)
def test_a_row_of_another_shape_is_a_damaged_journal(
    path: Path, change: str, ask: Callable[[Journal], object]
) -> None:
    with Journal(path) as journal:
        begin(journal)
        intent(journal)
        done(journal)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(change)
    connection.close()
    with Journal(path) as journal, pytest.raises(JournalError, match="is damaged"):
        ask(journal)
