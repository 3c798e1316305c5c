"""Time the journal beside the least that could do its work: sqlite3 statements in a loop.

Usage: python benchmarks/journal.py [FOLDER]

FOLDER should lie on the disk that will hold the journal; where syncing costs nothing (tmpfs) the
figures mean little.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from opskit.journal.runs import Journal, new_run_id

WRITTEN = 10_000
READ = 100_000
WRITE_GOAL_S = 20.0
READ_GOAL_S = 1.0

RUN = new_run_id()
WORDS = (
    "create-secret",
    "coop.example",
    "blog.coop.example",
    "blog_coop_example",
    "db_password v2",
)


def main() -> int:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        plain = seconds(lambda: write_plainly(Path(folder) / "plain.sqlite"))
        path = Path(folder) / "opskit" / "journal.sqlite"
        with Journal(path) as journal:
            written = seconds(lambda: write(journal))
        multiply(path)
        with Journal(path) as journal:
            journal.steps_frame()  # imports and caches
            read = min(seconds(journal.steps_frame) for _ in range(3))
        peer = min(seconds(lambda: read_plainly(path)) for _ in range(3))
    print(f"{WRITTEN:,} steps, intent and outcome each synced")
    print(f"  opskit {written:6.2f} s   sqlite3 loop {plain:6.2f} s   ratio {written / plain:.2f}")
    print(f"table of {READ:,} steps")
    print(f"  opskit {read:6.2f} s   pandas.read_sql {peer:6.2f} s   ratio {read / peer:.2f}")
    met = written < WRITE_GOAL_S and read < READ_GOAL_S
    print(f"goals ({WRITE_GOAL_S:g} s and {READ_GOAL_S:g} s): {'met' if met else 'MISSED'}")
    return 0 if met else 1


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def write(journal: Journal) -> None:
    action, server, app, stack, subject = WORDS
    journal.begin(
        run=RUN,
        kind="rotate",
        plan_digest="0" * 64,
        plan=b"{}",
        actor="alice",
        host="desk",
        pid=1,
        identity="",
        tool_version="0",
    )
    for unit in range(WRITTEN):
        journal.intent(
            RUN,
            unit,
            0,
            "do",
            action=action,
            server=server,
            app=app,
            stack=stack,
            subject=subject,
            detail={"length": 32},
        )
        journal.outcome(RUN, unit, 0, "do", status="done", detail={"written": True})
    journal.finish(RUN, "done")


def write_plainly(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE steps (unit INTEGER PRIMARY KEY, a, b, c, d, e, status, at)")
    insert = "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, 'running', ?)"
    update = "UPDATE steps SET status = 'done', at = ? WHERE unit = ?"
    for unit in range(WRITTEN):
        connection.execute(insert, (unit, *WORDS, time.time_ns()))
        connection.execute(update, (time.time_ns(), unit))
    connection.close()


def multiply(path: Path) -> None:
    """Copy the steps until there are enough to read."""
    connection = sqlite3.connect(path)
    names = [row[1] for row in connection.execute("PRAGMA table_info(steps)")]
    copied = ", ".join("unit + ?" if name == "unit" else name for name in names)
    for copy in range(1, READ // WRITTEN):
        connection.execute(
            f"INSERT INTO steps SELECT {copied} FROM steps WHERE unit < ?",
            (copy * WRITTEN, WRITTEN),
        )
    connection.commit()
    connection.close()


def read_plainly(path: Path) -> None:
    connection = sqlite3.connect(path)
    rows = pd.read_sql("SELECT * FROM steps", connection)
    assert len(rows) == READ
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
