"""The journal's file: SQLite that threads and processes write at once, each change durable.

WAL lets readers and one writer work side by side, and ``synchronous=FULL`` makes a commit wait
until it is on the disk. SQLite's WAL needs all processes on one machine: the file belongs on a
local disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from opskit.errors import JournalError

_T = TypeVar("_T")

_SHARED_MEMORY = 32 * 1024
"""Bytes that opening a file in WAL mode needs."""

_SYSTEM_CODES = {errno.ENOSPC: sqlite3.SQLITE_FULL, errno.EDQUOT: sqlite3.SQLITE_FULL}
_SENTENCES = {
    sqlite3.SQLITE_FULL: (
        "there is no space left for the journal {path} ({why}): free some on its disk, "
        "then run the command again."
    ),
    sqlite3.SQLITE_BUSY: (
        "the journal {path} stayed locked by another process for {patience:g} s: wait for it "
        "or end it, then run the command again."
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the journal {path} is damaged ({why}): move it aside with its -wal and -shm files, "
        "and opskit begins a new one."
    ),
    sqlite3.SQLITE_READONLY: (
        "the journal {path} cannot be written ({why}): make it and its folder writable, or set "
        "OPSKIT_STATE_DIR to a folder that is."
    ),
    sqlite3.SQLITE_IOERR: (
        "the disk failed under the journal {path} ({why}): see the system's log, then set "
        "OPSKIT_STATE_DIR to a folder on a sound disk with free space."
    ),
}
_KINDS = {
    sqlite3.SQLITE_LOCKED: sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOTADB: sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN: sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM: sqlite3.SQLITE_READONLY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a file holds, and how older files become it.

    Parameters
    ----------
    application_id
        Tells the file from any other SQLite database.
    migrations
        The statements that lead from each version to the next; a new file takes them all.
    """

    application_id: int
    migrations: tuple[tuple[str, ...], ...]


SCHEMA = Schema(
    application_id=0x6F70736B,
    migrations=(
        (
            "CREATE TABLE runs ("
            " run TEXT PRIMARY KEY, kind TEXT NOT NULL, status TEXT NOT NULL,"
            " plan_digest TEXT NOT NULL, actor TEXT NOT NULL, host TEXT NOT NULL,"
            " pid INTEGER NOT NULL, identity TEXT NOT NULL, tool_version TEXT NOT NULL,"
            " started_at INTEGER NOT NULL, finished_at INTEGER, plan BLOB NOT NULL)",
            "CREATE TABLE steps ("
            " run TEXT NOT NULL REFERENCES runs (run), unit INTEGER NOT NULL,"
            " step INTEGER NOT NULL, phase TEXT NOT NULL, attempt INTEGER NOT NULL,"
            " status TEXT NOT NULL, server TEXT NOT NULL, app TEXT NOT NULL,"
            " stack TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,"
            " detail TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL,"
            " started_at INTEGER NOT NULL, finished_at INTEGER,"
            " UNIQUE (run, unit, step, phase))",
            "CREATE TABLE notes ("
            " run TEXT NOT NULL REFERENCES runs (run), at INTEGER NOT NULL,"
            " text TEXT NOT NULL, identity TEXT NOT NULL)",
            "CREATE TABLE approvals ("
            " plan_digest TEXT NOT NULL, identity TEXT NOT NULL, claimed_source TEXT NOT NULL,"
            " at INTEGER NOT NULL)",
        ),
        (
            "CREATE TABLE books ("
            " book TEXT PRIMARY KEY, title TEXT NOT NULL, status TEXT NOT NULL,"
            " actor TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,"
            " identity TEXT NOT NULL, tool_version TEXT NOT NULL,"
            " started_at INTEGER NOT NULL, finished_at INTEGER)",
            "CREATE TABLE entries ("
            " book TEXT NOT NULL REFERENCES books (book), entry INTEGER NOT NULL,"
            " kind TEXT NOT NULL, step TEXT NOT NULL, status TEXT NOT NULL, text TEXT NOT NULL,"
            " data TEXT NOT NULL, identity TEXT NOT NULL,"
            " started_at INTEGER NOT NULL, finished_at INTEGER,"
            " UNIQUE (book, entry))",
        ),
    ),
)
"""The tables of the journal, and how an older journal becomes this one.

Times are whole nanoseconds since 1970 in UTC; details, results and data are JSON objects. The plan
stands last, as rows are listed without reading it.
"""


class Database:
    """A SQLite file with a schema, opened at first use; safe to share between threads.

    Parameters
    ----------
    path
        The file; a missing one is made at the first write, for its owner alone.
    schema
        What it holds.
    patience
        Seconds to wait while other processes write.
    """

    def __init__(self, path: Path, schema: Schema, *, patience: float) -> None:
        self.path, self._schema, self._patience = path, schema, patience
        self._connection: sqlite3.Connection | None = None
        self._one_at_a_time = threading.Lock()

    def write(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """Run one statement as its own durable transaction, and count the rows it changed.

        Raises
        ------
        JournalError
            It could not be written; the file is as it was.
        """
        return self._use(lambda connection: connection.execute(statement, parameters).rowcount)

    def read(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; a file that does not exist yet has none.

        Raises
        ------
        JournalError
            The file cannot be read.
        """
        if not self.path.exists():
            return []
        return self._use(lambda connection: connection.execute(query, parameters).fetchall())

    def check_writable(self) -> None:
        """Begin to write, and change nothing.

        Raises
        ------
        JournalError
            It could not be written.
        """
        self._use(lambda connection: connection.executescript("BEGIN IMMEDIATE; ROLLBACK"))

    def texts(self, query: str, parameters: Sequence[object] = ()) -> list[str]:
        """Return the texts of a query for one column.

        Raises
        ------
        JournalError
            The file cannot be read, or holds something else there.
        """
        found = [value for (value,) in self.read(query, parameters)]
        if not all(isinstance(one, str) for one in found):
            raise self.damaged("there is something else where a text is to be")
        return found

    def damaged(self, why: str) -> JournalError:
        """Return the error for a file that does not hold what opskit writes."""
        return JournalError(self._text(sqlite3.SQLITE_CORRUPT, why))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._one_at_a_time:
            self._close()

    def _use(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._one_at_a_time:
            try:
                if self._connection is None:
                    self._connection = self._open()
                    # Who forgets to close it, such as a runbook that is never finished, may.
                    weakref.finalize(self, self._connection.close)
                return work(self._connection)
            except (sqlite3.Error, OSError) as error:
                # A connection opened while the disk was read-only would stay so: begin afresh.
                self._close()
                raise JournalError(self._sentence(error)) from error

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.exists():
            self._create()
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            if self._version(connection) < len(self._schema.migrations):
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self) -> None:
        # Never open a file that exists outside SQLite: closing it would drop SQLite's locks.
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return
        os.close(descriptor)

    def _version(self, connection: sqlite3.Connection) -> int:
        application, version, tables = connection.execute(
            "SELECT (SELECT application_id FROM pragma_application_id),"
            " (SELECT user_version FROM pragma_user_version),"
            " (SELECT count(*) FROM sqlite_schema)"
        ).fetchone()
        if (version or tables) and application != self._schema.application_id:
            raise JournalError(
                f"{self.path} is a database of another program: set OPSKIT_STATE_DIR to a "
                "folder of opskit's own."
            )
        if version > len(self._schema.migrations):
            raise JournalError(
                f"the journal {self.path} was written by a newer opskit (format {version}, this "
                f"one knows {len(self._schema.migrations)}): use that one, or upgrade this."
            )
        return version

    def _migrate(self, connection: sqlite3.Connection) -> None:
        # Turning WAL on does not wait its turn as transactions do, so processes queue here.
        with FileLock(f"{self.path}.lock", timeout=self._patience, mode=0o600):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            for number in range(self._version(connection), len(self._schema.migrations)):
                for statement in self._schema.migrations[number]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id={self._schema.application_id}")
            connection.execute(f"PRAGMA user_version={len(self._schema.migrations)}")
            connection.execute("COMMIT")

    def _sentence(self, error: sqlite3.Error | OSError) -> str:
        if isinstance(error, Timeout):
            return self._text(sqlite3.SQLITE_BUSY, "")
        if isinstance(error, OSError):
            code = _SYSTEM_CODES.get(error.errno or 0, sqlite3.SQLITE_READONLY)
            return self._text(code, error.strerror or str(error))
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        if primary == sqlite3.SQLITE_IOERR and self._is_disk_full():
            primary = sqlite3.SQLITE_FULL
        return self._text(_KINDS.get(primary, primary), str(error))

    def _is_disk_full(self) -> bool:
        # SQLite reports a lack of space for its shared memory as a failing disk.
        try:
            return shutil.disk_usage(self.path.parent).free < _SHARED_MEMORY
        except OSError:
            return False

    def _text(self, code: int, why: str) -> str:
        sentence = _SENTENCES.get(code, "the journal {path} failed: {why}.")
        return sentence.format(path=self.path, why=why, patience=self._patience)
