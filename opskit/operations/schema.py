"""The tables of the journal, and how an older journal becomes this one.

Times are whole nanoseconds since 1970 in UTC; details, results and data are JSON objects.
"""

from __future__ import annotations

from opskit.operations.database import Schema

# The plan stands last: rows are listed without reading it.
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
