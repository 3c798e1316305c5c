"""The table of what is fuzzed: each kind of text that others write, and all that reads it.

An input is bytes, made of the small sound files in ``corpus/<target>``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from opskit.abra.deployment import deployment
from opskit.abra.edit import masked_diff, set_value
from opskit.abra.env import parse_env, sample_keys, sample_lines
from opskit.abra.files import decode
from opskit.abra.layout import read_tree
from opskit.abra.model import Declared
from opskit.decoding import decode_json
from opskit.errors import InputError, OpskitError, RefusedError
from opskit.facts.facts import Facts
from opskit.journal.database import SCHEMA
from opskit.journal.runbooks import Book, books, unfinished_since
from opskit.journal.runs import Journal
from opskit.jupyter.execute import without_secrets
from opskit.jupyter.notebook import cells, headings, read_notebook
from opskit.jupyter.parameters import declared_parameters, parse_arguments
from opskit.jupyter.shipped import copy_notebooks
from opskit.plan.data import load_plan
from opskit.run.ways import rollback_of, ways_of
from opskit.saved.saved import COLUMNS, packed
from opskit.snapshot import Snapshot
from opskit.swarm import lists
from opskit.swarm.context import Context, find_context
from opskit.swarm.observe import Observation, observe
from opskit.swarm.transport import TRANSPORT
from opskit.views.frame import View
from tests.audit.test_files import IDENTITY
from tests.fuzz.conditions import conditions
from tests.fuzz.damage import bent, damaged
from tests.swarm.scripted import Conversation, serving
from tests.views.test_select import VIEW

CORPUS = Path(__file__).parent / "corpus"
_SERVER, _APP = "garden.example", "blog.example"

_RUNS = ("20261129-052852-ck79d4", "20261129-052858-h9kn7q")
"""Those of the corpus."""

Inputs = st.SearchStrategy[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of text.

    Parameters
    ----------
    inputs
        Makes inputs of the corpus.
    read
        Reads one; an error of opskit's is an answer, any other is none.
    """

    inputs: Callable[[Sequence[bytes]], Inputs]
    read: Callable[[bytes, Path], None]


def corpus(target: str) -> list[bytes]:
    """Return the sound inputs of a target, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


# -- how inputs are made ----------------------------------------------------------------------


def _encoded(data: Any) -> bytes:
    return json.dumps(data).encode()


def _json(seeds: Sequence[bytes]) -> Inputs:
    """Bend the data, or damage its text."""
    words = (b"[", b"{", b'"', b"null", b"1e999", b"-", b"\\ud800", b'"a":', b"," * 3)
    return st.one_of(bent([*map(json.loads, seeds)]).map(_encoded), damaged(seeds, words))


def _texts(*words: bytes) -> Callable[[Sequence[bytes]], Inputs]:
    return lambda seeds: damaged(seeds, words)


def _snapshots(seeds: Sequence[bytes]) -> Inputs:
    """Bend or damage files of format 1, which are gzipped JSON, and of the one of today."""
    tables = [one for one in seeds if one.startswith(b"PAR1")]
    texts = [one for one in seeds if one not in tables]
    zipped = [gzip.compress(one, mtime=0) for one in texts]
    return st.one_of(
        _json(texts).map(lambda one: gzip.compress(one, 1)),
        bent([*map(_table_rows, tables)]).map(_table_of),
        damaged(zipped + tables),
    )


def _table_rows(content: bytes) -> Any:
    rows = pq.read_table(pa.BufferReader(content)).to_pylist()
    return [
        row | {name: json.loads(row[name]) for name in ("state", "contents") if row[name]}
        for row in rows
    ]


def _table_of(rows: Any) -> bytes:
    """Put anything into the cells; a row that is none is left out."""
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    columns = [[_cell_bytes(row.get(name, "")) for row in rows] for name in COLUMNS.names]
    arrays = [pa.array(one, pa.binary()).view(pa.string()) for one in columns]
    return packed([pa.Table.from_arrays(arrays, schema=COLUMNS)])


def _cell_bytes(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def _journals(seeds: Sequence[bytes]) -> Inputs:
    """Put anything into rows, as SQLite lets any column hold anything; or damage the file."""
    tables = [_unpacked(json.loads(seed)) for seed in seeds]
    files = [_database(one) for one in tables]
    return st.one_of(bent(tables).map(_database), damaged(files))


_INNER = ("plan", "detail", "result", "data")
"""Columns that hold JSON."""


def _unpacked(tables: Any) -> Any:
    for rows in tables.values():
        for row in rows:
            row.update({key: json.loads(row[key]) for key in _INNER if key in row})
    return tables


def _database(tables: Any) -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in (one for step in SCHEMA.migrations for one in step):
            connection.execute(statement.replace(" NOT NULL", ""))
        connection.execute(f"PRAGMA application_id={SCHEMA.application_id}")
        connection.execute(f"PRAGMA user_version={len(SCHEMA.migrations)}")
        for table, rows in tables.items() if isinstance(tables, dict) else ():
            for row in rows if isinstance(rows, list) else ():
                # A table, column or row that cannot be is left out: the rest is what is read.
                with suppress(sqlite3.Error, OverflowError, AttributeError, UnicodeEncodeError):
                    values = [_cell(key, value) for key, value in row.items()]
                    marks = ", ".join("?" * len(row))
                    connection.execute(
                        f"INSERT INTO {table} ({', '.join(map(str, row))}) VALUES ({marks})", values
                    )
        return connection.serialize()


def _cell(key: str, value: Any) -> Any:
    told = json.dumps(value) if isinstance(value, dict | list | bool) else value
    return told.encode() if key == "plan" and isinstance(told, str) else told


# -- what reads them --------------------------------------------------------------------------


def _condition(content: bytes, folder: Path) -> None:
    # As Python decodes what stands on a command line.
    kept = VIEW.select(content.decode("utf-8", "surrogateescape"))
    assert len(kept) <= len(VIEW)


def _env(content: bytes, folder: Path) -> None:
    found = parse_env(content, folder / "a.env")
    repr(found)
    sample_lines(content)
    sample_keys(decode(content))
    for key in [*found.values][:2]:
        with suppress(InputError):
            changed = set_value(content, key, "v7")
            assert parse_env(changed, folder / "a.env").values[key] == "v7"
            masked_diff(content, changed, "a.env")
    _tree(folder, env=content, compose=(CORPUS / "compose" / "blog.yml").read_bytes())


def _compose(content: bytes, folder: Path) -> None:
    _tree(folder, env=(CORPUS / "env" / "blog.env").read_bytes(), compose=content)


def _tree(folder: Path, *, env: bytes, compose: bytes) -> None:
    root = folder / "abra"
    for path, content in (
        (root / "servers" / _SERVER / f"{_APP}.env", env),
        (root / "recipes" / "blog" / "compose.yml", compose),
        (root / "recipes" / "blog" / "compose.mail.yml", compose),
        (root / "recipes" / "blog" / ".env.sample", env),
        (root / "recipes" / "blog" / "abra.sh", b"export PHP_VERSION=v1\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    declared = read_tree(root)
    snapshot = Snapshot(Facts(taken_at=datetime.now(UTC), declared=declared, observed=()))
    _look_at_files(snapshot)
    found = snapshot.audit(acknowledged=True)
    assert not found.duplicated([*IDENTITY]).any(), "two findings are about the very same"
    with suppress(OpskitError), deployment(root, _SERVER, _APP) as found:
        repr(found)


def _context(content: bytes, folder: Path) -> None:
    digest = hashlib.sha256(_SERVER.encode()).hexdigest()
    path = folder / "contexts" / "meta" / digest / "meta.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = find_context(_SERVER, {"DOCKER_CONFIG": str(folder)})
    repr((found, found.address))


def _replies(content: bytes, folder: Path) -> None:
    """Read the replies of one engine, and make every view and finding of them."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        # One reply, then, that is no JSON.
        said = {}
    answers: dict[str, Any] = said if isinstance(said, dict) else {}
    found: dict[str, Any] = {}
    unread: dict[str, str] = {}
    listings = {
        "info": lists.INFO, "nodes": lists.NODES, "services": lists.SERVICES, "tasks": lists.TASKS,
        "secrets": lists.SECRETS, "configs": lists.CONFIGS, "networks": lists.NETWORKS,
        "volumes": lists.VOLUMES,
    }  # fmt: skip
    for name, listing in listings.items():
        body = _encoded(answers[listing.path]) if listing.path in answers else content
        try:
            found[name] = listing.read(body, _SERVER)
        except RefusedError as error:
            unread[name] = str(error)
    seen = Observation(
        server=_SERVER, taken_at=datetime.now(UTC), reachable=True, manager=True, unread=unread,
        **found,
    )  # fmt: skip
    _look(Snapshot(Facts(taken_at=datetime.now(UTC), declared=_declared(), observed=(seen,))))


@cache
def _declared() -> Declared:
    """Return what files declare for the server of the replies."""
    saved = json.loads((CORPUS / "snapshots" / "garden.json").read_bytes())
    return decode_json(_encoded(saved["declared"]), Declared)


def _http(content: bytes, folder: Path) -> None:
    def talk(one: Conversation) -> None:
        one.next()
        one.sock.sendall(content)

    path = folder / "docker.sock"
    try:
        with serving(path, talk) as served:
            observe(Context(server=_SERVER, host=served.host), 10.0)
    finally:
        TRANSPORT.close()
        path.unlink(missing_ok=True)


def _snapshot(content: bytes, folder: Path) -> None:
    path = folder / "one.opskit"
    path.write_bytes(content)
    found = Snapshot.load(path)
    _look(found)
    found.save(folder / "two.opskit")


def _look(snapshot: Snapshot) -> None:
    """Show all there is to see of a look."""
    of_engines = [
        snapshot.servers, snapshot.services, snapshot.tasks, snapshot.nodes, snapshot.networks,
        snapshot.volumes, snapshot.diff(snapshot),
    ]  # fmt: skip
    _show(*of_engines)
    _look_at_files(snapshot)
    repr(snapshot)


def _look_at_files(snapshot: Snapshot) -> None:
    _show(snapshot.apps, snapshot.secrets, snapshot.configs, snapshot.audit())


def _show(*views: View) -> None:
    """Show views as a terminal, a page and a file do."""
    for view in views:
        repr(view)
        view._repr_html_()
        view.to_json(orient="records", date_format="iso", date_unit="s")
        view.to_text_csv()


def _journal(content: bytes, folder: Path) -> None:
    for old in folder.glob("journal.sqlite*"):
        if old.is_file():
            old.unlink()
    path = folder / "journal.sqlite"
    path.write_bytes(content)
    with Journal(path, patience=1.0) as journal:
        for ask in (
            lambda: repr(journal.runs_frame()),
            lambda: journal.runs_frame()._repr_html_(),
            lambda: repr(journal.steps_frame()),
            journal.last_unfinished,
            journal.last_done,
            lambda: journal.created_by("ana"),
            lambda: [_run(journal, run) for run in _RUNS],
            lambda: repr(books()),
            lambda: unfinished_since(datetime(2020, 1, 1, tzinfo=UTC)),
            lambda: Book.find("2").entries,
        ):
            with suppress(OpskitError):
                ask()


def _run(journal: Journal, ident: str) -> None:
    record = journal.run(ident)
    for ask in (
        lambda: journal.steps(ident),
        lambda: journal.notes(ident),
        lambda: journal.approvals(record.plan_digest),
        lambda: journal.reported(ident, 0, "deploy"),
        lambda: journal.result_of(ident, 0, 1),
        lambda: load_plan(record.plan).consequences,
        lambda: ways_of(journal, record),
        lambda: repr(rollback_of(journal, record).changes),
    ):
        with suppress(OpskitError):
            ask()


def _notebook(content: bytes, folder: Path) -> None:
    path = folder / "mine" / "audit.ipynb"
    (path.parent / ".opskit").mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (path.parent / ".opskit" / "shipped.json").write_bytes(content)
    copy_notebooks(CORPUS / "notebooks", path.parent)
    path.write_bytes(content)
    notebook = read_notebook(path)
    known = declared_parameters(notebook)
    for name in known:
        for value in ("1", "true", "a,b", "[1]", "[" * 5000, "9" * 5000, "\ud800"):
            with suppress(InputError):
                parse_arguments([f"{name}={value}"], known, path)
    for cell in cells(notebook):
        list(headings(cell))
    without_secrets(notebook)


def _conditions(seeds: Sequence[bytes]) -> Inputs:
    words = (b" and ", b" or ", b"not ", b"(", b")", b"'", b"`", b"@", b"**", b".str.", b"is None")
    whole = conditions.map(lambda text: text.encode("utf-8", "surrogatepass"))
    return st.one_of(whole, damaged(seeds, words))


TARGETS: Mapping[str, Target] = {
    "conditions": Target(inputs=_conditions, read=_condition),
    "env": Target(
        inputs=_texts(
            b"=", b"#", b"'", b'"', b"`", b"\\", b"$", b"${", b"}", b":-", b":?", b"\r", b"\n",
            b"export ", b"<<<<<<< a\n", b">>>>>>> b\n", b"=======\n", b"\0GITCRYPT\0",
            b"ENC[AES256_GCM,data:", b"STACK_NAME=", b"COMPOSE_FILE=", b"TYPE=",
            b"SECRET_A_VERSION=",
        ),
        read=_env,
    ),
    "compose": Target(
        inputs=_texts(
            b"<<: ", b"*a", b"&a ", b"!!binary ", b"!x ", b"? ", b"- ", b": ", b"{", b"}", b"[",
            b"]", b"|\n", b">-\n", b"~", b"%YAML 1.1\n---\n", b"...\n", b"${X:-", b"$$",
            b"external: ", b"name: ", b"secrets:\n", b"\n  ", b"\t", b"0x1", b"2026-01-01",
            b"\xe2\x80\xa8",
        ),
        read=_compose,
    ),
    "contexts": Target(inputs=_json, read=_context),
    "replies": Target(inputs=_json, read=_replies),
    "http": Target(
        inputs=_texts(
            b"\r\n", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 UPGRADED\r\n",
            b"Content-Length: 10000000000000000\r\n", b"Content-Length: -1\r\n",
            b"HTTP/1.1 100 Continue", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
            b"ffffffffffffffff\r\n", b"-1\r\n", b"Api-Version: 9999999999.1\r\n",
            b"HTTP/1.1 503 x\r\n", b"HTTP/0.9 999 \r\n",
        ),
        read=_http,
    ),
    "snapshots": Target(inputs=_snapshots, read=_snapshot),
    "journals": Target(inputs=_journals, read=_journal),
    "notebooks": Target(inputs=_json, read=_notebook),
}  # fmt: skip
