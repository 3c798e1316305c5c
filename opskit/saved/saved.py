"""Snapshots as files: a Parquet table, see docs/snapshots.md; those of format 1 are read, too.

Its first row is about all of the fleet, and each one after about one server. What every view needs
is read at once, the long lists of what a server said when they are asked for.
"""

# pyarrow ships no types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from opskit.abra.model import Declared, DeclaredApp, DeclaredServer
from opskit.decoding import decode_json
from opskit.errors import InputError
from opskit.facts.facts import Facts, Held, said, without_digests
from opskit.files.atomic import private_folder, write_private
from opskit.files.bounded import read_regular
from opskit.lean import without_collecting
from opskit.saved.gzipped import read_gzipped
from opskit.saved.pages import PageError, group_size
from opskit.swarm import model
from opskit.swarm.observe import Observation

_T = TypeVar("_T")

FORMAT = 2
_MIB = 1024**2
_SIZE_LIMIT = 128 * _MIB
"""Bytes of a file: more than the largest fleet's."""
_GROUP, _GROUP_LIMIT = 8 * _MIB, 64 * _MIB
"""Bytes of rows that are packed together: as many as are written, and the most that are read."""
_AT_ONCE_LIMIT, _ROW_LIMIT = 192 * _MIB, 100_000
"""Bytes of what is read at once, and rows."""
_FOOTER_LIMIT, _LIST_LIMIT = _MIB // 4, 10_000
"""Bytes of what says where everything is, and the length of a list in it: PyArrow makes room for
whatever length a list says it has."""
_LENGTH = 8
"""Bytes that a text takes besides, at most."""
_SAVE_AGAIN = "Save a new one with: opskit snapshot FILE"
_VERSION = b"opskit_snapshot"
_MAGIC = b"PAR1"

_FLEET, _DECLARED, _LEFT_OUT, _OBSERVED = b"fleet", b"declared", b"left out", b"observed"
"""What a row is about."""


class _Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the row about all of the fleet; `declared` has no servers."""

    taken_at: model.Time
    declared: Declared


class _Lists(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of a row about what a server said: what is long of an observation."""

    services: tuple[model.Service, ...]
    tasks: tuple[model.Task, ...]
    secrets: tuple[model.StoredObject, ...]
    configs: tuple[model.StoredObject, ...]
    networks: tuple[model.Network, ...]
    volumes: tuple[model.Volume, ...]

    @classmethod
    def of(cls, seen: Observation) -> _Lists:
        return cls(**{name: getattr(seen, name) for name in cls.__struct_fields__})


class _Secrets(msgspec.Struct, frozen=True):
    """The same, for one list of it."""

    secrets: tuple[model.StoredObject, ...]


_NO_LISTS: dict[str, tuple[()]] = dict.fromkeys(_Lists.__struct_fields__, ())


class _Row(NamedTuple):
    side: bytes
    server: bytes
    state: bytes
    contents: bytes


COLUMNS: Any = pa.schema([pa.field(name, pa.string(), nullable=False) for name in _Row._fields])


# -- writing ---------------------------------------------------------------------------------


def save_facts(facts: Facts, path: Path) -> None:
    """Write a snapshot to a file readable by its owner only, all or nothing.

    Raises
    ------
    InputError
        The file cannot be written there, or would be larger than any that is read.
    """
    content = packed(_groups(_rows(facts), path))
    if len(content) > _SIZE_LIMIT:
        raise _too_much(f"it takes {len(content) // _MIB} MiB", path)
    # Its own folder, not a chain of them: that is rather a mistyped path.
    private_folder(path.parent, parents=False)
    write_private(path, content)


def packed(groups: Iterable[Any], version: int = FORMAT) -> bytes:
    """Return the file of some tables of `COLUMNS`, each to be unpacked by itself."""
    sink: Any = pa.BufferOutputStream()
    metadata = {_VERSION: str(version).encode()}
    # Plain pages, as opskit.saved.pages wants them; a sum in each, as gzip had one.
    writer: Any = pq.ParquetWriter(
        sink, COLUMNS.with_metadata(metadata), compression="zstd", compression_level=1,
        use_dictionary=False, write_statistics=False, write_page_checksum=True,
        data_page_version="1.0",
    )  # fmt: skip
    # Packing lets other threads run: the next rows are made meanwhile.
    with writer, ThreadPoolExecutor(1) as packing:
        waiting: Future[None] | None = None
        for group in groups:
            if waiting is not None:
                waiting.result()
            waiting = packing.submit(writer.write_table, group)
        if waiting is not None:
            waiting.result()
    return cast("Any", sink.getvalue()).to_pybytes()


def _rows(facts: Facts) -> Iterator[_Row]:
    encode = msgspec.json.encode
    declared = facts.declared
    about = msgspec.structs.replace(declared, servers=(), others=())
    yield _Row(_FLEET, b"", encode(_Fleet(taken_at=facts.taken_at, declared=about)), b"")
    for side, servers in ((_DECLARED, declared.servers), (_LEFT_OUT, declared.others)):
        for server in servers:
            # Only a plan needs the hash, and it is made over a look of its own: a password that
            # stands in a `.env` could be guessed with it.
            apps = [msgspec.structs.replace(app, env_sha256="") for app in server.apps]
            state = encode(msgspec.structs.replace(server, apps=()))
            yield _Row(side, server.name.encode(), state, encode(apps))
    for seen in facts.observed:
        lists = _Lists.of(without_digests(seen))
        state = encode(msgspec.structs.replace(seen, **_NO_LISTS))
        yield _Row(_OBSERVED, seen.server.encode(), state, encode(lists))


def _groups(rows: Iterable[_Row], path: Path) -> Iterator[Any]:
    """Put rows together that are read together: about one side, and few enough of them."""
    group: list[_Row] = []
    size = at_once = 0
    for count, row in enumerate(rows, 1):
        added = sum(len(text) + _LENGTH for text in row)
        at_once += added - (len(row.contents) if row.side == _OBSERVED else 0)
        if added > _GROUP_LIMIT:
            raise _too_much(
                f"{row.server.decode() or 'the fleet'} takes {added // _MIB} MiB of it", path
            )
        if at_once > _AT_ONCE_LIMIT or count > _ROW_LIMIT:
            raise _too_much("it is about too many servers", path)
        if group and (row.side != group[-1].side or size + added > _GROUP):
            yield _table(group)
            group, size = [], 0
        group.append(row)
        size += added
    yield _table(group)


def _table(rows: list[_Row]) -> Any:
    return pa.Table.from_arrays([*map(_column, zip(*rows, strict=True))], schema=COLUMNS)


def _column(texts: tuple[bytes, ...]) -> Any:
    # pa.array() would import pandas, which is not used here.
    ends = array("i", accumulate(map(len, texts), initial=0))
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(texts))
    )


def _too_much(what: str, path: Path) -> InputError:
    return InputError(
        f"the snapshot is not saved: {what}, more than would be read again.",
        path=path,
        remedy="Save fewer servers: opskit snapshot FILE --server NAME",
    )


# -- reading ---------------------------------------------------------------------------------


def load_facts(path: Path) -> Facts:
    """Read a snapshot file.

    Raises
    ------
    InputError
        There is none, it is damaged, or another opskit wrote it.
    """
    try:
        content = read_regular(path, _SIZE_LIMIT)
    except OSError as error:
        raise InputError(
            f"the snapshot cannot be read ({error.strerror}).", path=path, remedy=_SAVE_AGAIN
        ) from error
    if content.startswith(_MAGIC):
        return _File(content, path).facts()
    with _told_of_damage(path):
        found = read_gzipped(content)
    if isinstance(found, int):
        raise _of_another(found, path)
    return found


class _File:
    """A file of the format of today, whose headers were found to be true.

    Parameters
    ----------
    content
        All of it.
    path
        Where it was, to be named.
    """

    def __init__(self, content: bytes, path: Path) -> None:
        self._content, self.path = content, path
        with _told_of_damage(path):
            footer = int.from_bytes(content[-8:-4], "little")
            if footer > _FOOTER_LIMIT:
                raise PageError("it has too many parts")
            file: Any = pq.ParquetFile(
                pa.BufferReader(content),
                thrift_string_size_limit=_FOOTER_LIMIT,
                thrift_container_size_limit=_LIST_LIMIT,
            )
            self._metadata: Any = file.metadata
            version = (self._metadata.metadata or {}).get(_VERSION)
            if version is None or not version.isdigit():
                raise PageError("it is another table")
        if int(version[:9]) != FORMAT:
            raise _of_another(int(version[:9]), path)
        with _told_of_damage(path):
            if not self._metadata.schema.to_arrow_schema().equals(COLUMNS):
                raise PageError("its columns are others")
            self._check()

    def _check(self) -> None:
        """Refuse what would take more memory than any fleet does, before anything is unpacked."""
        metadata, content = self._metadata, self._content
        groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
        rows = [group.num_rows for group in groups]
        if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
            raise PageError("it says two things of how many rows it has")
        if metadata.num_rows > _ROW_LIMIT:
            raise PageError(f"it has more than {_ROW_LIMIT:,} rows")
        for group in groups:
            if group_size(content, group) > _GROUP_LIMIT:
                raise PageError(f"a part of it unpacks to more than {_GROUP_LIMIT // _MIB} MiB")

    def facts(self) -> Facts:
        """Return what the file holds; the lists of what servers said are read later."""
        fleet: _Fleet | None = None
        declared: dict[bytes, list[DeclaredServer]] = {_DECLARED: [], _LEFT_OUT: []}
        observed: list[Held] = []
        size = 0
        # Nothing of what is made here is garbage.
        with _told_of_damage(self.path), without_collecting():
            for group in range(self._metadata.num_row_groups):
                table = self._read(group, ["side", "state"])
                sides = [bytes(_bytes(table["side"], at)) for at in range(len(table))]
                contents: Any = None
                size += table.nbytes
                if set(sides) - {_OBSERVED}:
                    contents = self._read(group, ["contents"])["contents"]
                    size += contents.nbytes
                if size > _AT_ONCE_LIMIT:
                    raise PageError(f"it unpacks to more than {_AT_ONCE_LIMIT // _MIB} MiB")
                for at, side in enumerate(sides):
                    state = _bytes(table["state"], at)
                    if side == _OBSERVED:
                        head = decode_json(state, Observation)
                        observed.append(_HeldInFile(head, self, group, at))
                    elif side in declared:
                        server = decode_json(state, DeclaredServer)
                        apps = decode_json(_bytes(contents, at), tuple[DeclaredApp, ...])
                        declared[side].append(msgspec.structs.replace(server, apps=apps))
                    elif side == _FLEET and fleet is None:
                        fleet = decode_json(state, _Fleet)
                    else:
                        raise PageError("it has a row of another kind")
            if fleet is None:
                raise PageError("it lacks the row about the fleet")
            taken_at = fleet.taken_at.astimezone(UTC)
        return Facts(
            taken_at=taken_at,
            declared=msgspec.structs.replace(
                fleet.declared,
                servers=tuple(declared[_DECLARED]),
                others=tuple(declared[_LEFT_OUT]),
            ),
            observed=observed,
            saved=True,
        )

    def contents(self, group: int, row: int) -> Any:
        """Return the contents of a row, as bytes that are not copied."""
        # They are mostly asked for in order, one after another.
        last = self._last
        if last is None or last[0] != group:
            with _told_of_damage(self.path):
                last = self._last = (group, self._read(group, ["contents"])["contents"])
        return _bytes(last[1], row)

    _last: tuple[int, Any] | None = None

    def _read(self, group: int, columns: list[str]) -> Any:
        file: Any = pq.ParquetFile(
            pa.BufferReader(self._content),
            metadata=self._metadata,
            page_checksum_verification=True,
        )
        return file.read_row_group(group, columns=columns, use_threads=False)


class _HeldInFile(Held):
    """What a server said, of which the long lists are in a file until they are asked for."""

    def __init__(self, head: Observation, file: _File, group: int, row: int) -> None:
        super().__init__(msgspec.structs.replace(head, **_NO_LISTS))
        self._file, self._group, self._row = file, group, row

    def whole(self) -> Observation:
        return self._whole

    @cached_property
    def _whole(self) -> Observation:
        lists = self._decoded(_Lists)
        return msgspec.structs.replace(
            self.head, **{name: getattr(lists, name) for name in lists.__struct_fields__}
        )

    def _decoded(self, kind: type[_T]) -> _T:
        with _told_of_damage(self._file.path):
            return decode_json(self._contents(), kind)

    def _contents(self) -> Any:
        return self._file.contents(self._group, self._row)

    def is_alike(self, other: Held) -> bool:
        if isinstance(other, _HeldInFile) and self._contents().equals(other._contents()):
            return said(self.head) == said(other.head)
        return super().is_alike(other)

    def secret_names(self) -> Iterable[str]:
        return [one.spec.name for one in self._decoded(_Secrets).secrets]


def _bytes(column: Any, row: int) -> Any:
    """Return a text's bytes, not copied: PyArrow does not look whether they are UTF-8."""
    return column[row].as_buffer()


@contextmanager
def _told_of_damage(path: Path) -> Generator[None]:
    """Raise whatever a damaged file leads to as one sentence."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, KeyError, OSError, MemoryError, NotImplementedError, OverflowError,
            msgspec.MsgspecError, pa.ArrowException) as error:  # fmt: skip
        why = " ".join(str(error).split())[:200].rstrip(".")
        raise InputError(
            f"this is not a whole opskit snapshot ({why}).", path=path, remedy=_SAVE_AGAIN
        ) from error


def _of_another(version: int, path: Path) -> InputError:
    return InputError(
        f"this snapshot has format {version}, and this opskit reads 1 to {FORMAT}.",
        path=path,
        remedy="Use the opskit that wrote it, or save a new one.",
    )
