"""Snapshots as files: what is saved is what is read, and of hostile files it is one sentence."""

from __future__ import annotations

import gzip
import json
import pickle
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import opskit
from opskit.abra.model import Declared
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.facts.facts import Facts
from opskit.saved.saved import COLUMNS, load_facts, packed, save_facts
from opskit.swarm.observe import Observation
from opskit.views.cells import cell_text
from opskit.views.diff import _COMPARED
from tests.fuzz.held import hold
from tests.fuzz.targets import TARGETS
from tests.views.test_derive import (
    CHANGES,
    app_moved,
    changed,
    folder_unread,
    on_server,
    same_swarm,
    unreachable,
    with_seen,
    worker,
)

Use = Callable[[DemoFleet | DockerdFleet], Path]
replace = msgspec.structs.replace
GOLDEN = Path(__file__).parent
MIB = 1024**2
COOP, MUTUAL = "coop.example", "mutual.example"


@pytest.fixture(scope="module")
def facts(demo_fleet: DemoFleet) -> Facts:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo_fleet.env.items():
            patch.setenv(name, value)
        return opskit.Fleet.from_abra().snapshot().facts


def read_again(facts: Facts, folder: Path) -> Facts:
    save_facts(facts, folder / "one.opskit")
    return load_facts(folder / "one.opskit")


# -- what is saved is what is read ---------------------------------------------------------------


@cache
def some(kind: Any) -> st.SearchStrategy[Any]:
    """Return what makes values of a type that snapshots are made of."""
    of, parts = get_origin(kind), get_args(kind)
    if of is Annotated:
        return some(parts[0])
    if of in (Union, types.UnionType):
        return st.one_of(*map(some, parts))
    if of is Literal:
        return st.sampled_from(parts)
    if of is tuple and parts[-1] is ...:
        return st.lists(some(parts[0]), max_size=2).map(tuple)
    if of is tuple:
        return st.tuples(*map(some, parts))
    if of is dict:
        return st.dictionaries(some(parts[0]), some(parts[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        fields = {name: some(hints[name]) for name in kind.__struct_fields__}
        return st.builds(kind, **fields)
    return {
        str: st.text(max_size=5),
        int: st.integers(-(2**63), 2**63 - 1),
        bool: st.booleans(),
        types.NoneType: st.none(),
        object: st.sampled_from([1, "a"]),
        date: st.dates(),
        datetime: st.datetimes(timezones=st.just(UTC)),
    }[kind]


@pytest.mark.slow
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
@given(some(Declared), st.lists(some(Observation), max_size=2), some(datetime))
def test_whatever_a_snapshot_holds_is_read_again(
    tmp_path_factory: pytest.TempPathFactory,
    declared: Declared,
    observed: list[Observation],
    taken_at: datetime,
) -> None:
    made = Facts(taken_at=taken_at, declared=declared, observed=observed)
    again = read_again(made, tmp_path_factory.mktemp("saved"))

    assert again.taken_at == taken_at
    assert again.declared == without_hashes(declared)
    assert again.observed == tuple(map(without_digests, observed))


def without_hashes(declared: Declared) -> Declared:
    servers, others = (
        tuple(
            replace(one, apps=tuple(replace(app, env_sha256="") for app in one.apps))
            for one in side
        )
        for side in (declared.servers, declared.others)
    )
    return replace(declared, servers=servers, others=others)


def without_digests(seen: Observation) -> Observation:
    services = (replace(one, spec_digest="", pieces={}) for one in seen.services)
    return replace(seen, services=tuple(services))


def test_one_that_was_read_is_saved_as_it_was(facts: Facts, tmp_path: Path) -> None:
    again = read_again(facts, tmp_path)
    save_facts(again, tmp_path / "two.opskit")
    assert (tmp_path / "two.opskit").read_bytes() == (tmp_path / "one.opskit").read_bytes()


def test_its_audit_says_what_it_said(facts: Facts, tmp_path: Path) -> None:
    before, after = opskit.Snapshot(facts), opskit.Snapshot(read_again(facts, tmp_path))
    pd.testing.assert_frame_equal(after.audit(), before.audit())


def test_a_file_that_is_gone_is_still_read(facts: Facts, tmp_path: Path) -> None:
    again = read_again(facts, tmp_path)
    (tmp_path / "one.opskit").unlink()
    assert len(again.observed) == len(facts.observed)


@pytest.mark.parametrize("name", ["format-1.opskit", "format-2.opskit"])
def test_files_of_each_format_are_read(name: str) -> None:
    snap = opskit.Snapshot.load(GOLDEN / name)
    assert snap.facts.saved
    assert len(snap.secrets) == 7
    assert snap.services["service"].tolist() == ["neighbourhood-archive-press_garden_example_app"]
    assert len(snap.audit()) == 8


def test_a_file_of_before_and_one_of_today_are_compared() -> None:
    old, new = (opskit.Snapshot.load(GOLDEN / f"format-{number}.opskit") for number in (1, 2))
    assert new.diff(old).empty
    assert old.diff(new).empty


def test_it_is_a_table_that_other_programs_read(facts: Facts, tmp_path: Path) -> None:
    read_again(facts, tmp_path)
    table = pd.read_parquet(tmp_path / "one.opskit")
    assert [*table.columns] == ["side", "server", "state", "contents"]
    observed = table[table["side"] == "observed"]
    assert set(observed["server"]) == set(facts.seen)
    names = {
        one["Spec"]["Name"] for text in observed["contents"] for one in json.loads(text)["secrets"]
    }
    assert names == {one.spec.name for seen in facts.observed for one in seen.secrets}


@pytest.mark.slow
def test_no_environment_and_no_value_is_in_it(use: Use, tmp_path: Path) -> None:
    with DemoFleet() as fleet:
        env = use(fleet) / "abra" / "servers" / "coop.example" / "id.coop.example.env"
        env.write_text(env.read_text() + "SMTP_PASSWORD=canary-3f9a\n")
        opskit.Fleet.from_abra().snapshot().save(tmp_path / "one.opskit")
    text = str(pq.read_table(tmp_path / "one.opskit").to_pylist())
    assert "id.coop.example.env" in text
    assert not [word for word in ("canary-3f9a", '"Env"', '"Args"', '"Data"') if word in text]


# -- what changed is told from what is on disk ---------------------------------------------------


def told(later: opskit.Snapshot, earlier: opskit.Snapshot) -> set[tuple[str, ...]]:
    return {
        tuple(map(cell_text, (row.server, row.kind, row.name, row.change, row.field,
                              row.before, row.after)))
        for row in later.diff(earlier).records()
    }  # fmt: skip


def told_by_views(later: opskit.Snapshot, earlier: opskit.Snapshot) -> set[tuple[str, ...]]:
    """Compare all rows of the whole views, cell by cell."""
    return set(_by_views(later, earlier))


def _by_views(later: opskit.Snapshot, earlier: opskit.Snapshot) -> Iterator[tuple[str, ...]]:
    blind = set(later.facts.missing()) ^ set(earlier.facts.missing())
    yield from ((name, "server", name, "unknown", "contents", "", "") for name in blind)
    for kind, compared in _COMPARED.items():
        old, new = (
            {
                tuple(cell_text(getattr(row, name)) for name in view.key): row
                for row in view.records()
            }
            for view in (getattr(earlier, f"{kind}s"), getattr(later, f"{kind}s"))
        )
        for key in old.keys() | new.keys():
            here = (key[0], kind, key[-1])
            if key[0] in blind and kind not in ("server", "app"):
                continue
            if key not in old or key not in new:
                yield (*here, "removed" if key in old else "added", "", "", "")
                continue
            for field in compared.fields:
                was, now = (cell_text(getattr(one[key], field)) for one in (old, new))
                if was != now:
                    yield (*here, "changed", field, was, now)


def rotated(facts: Facts, server: str, _: str) -> Facts:
    seen = facts.seen[server]
    secrets = [replace(one, id=f"{one.id}x") for one in seen.secrets]
    return with_seen(facts, server, replace(seen, secrets=tuple(secrets)))


def emptied(facts: Facts, server: str, _: str) -> Facts:
    servers = (
        replace(one, apps=one.apps[1:]) if one.name == server else one
        for one in facts.declared.servers
    )
    return changed(facts, declared=replace(facts.declared, servers=tuple(servers)))


def unasked(facts: Facts, server: str, _: str) -> Facts:
    return with_seen(facts, server, None)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    st.lists(
        st.tuples(
            st.sampled_from([rotated, emptied, unasked, *CHANGES]),
            st.sampled_from(["coop.example", "mutual.example"]),
            st.sampled_from(["workshop.example", "commons.example"]),
        ),
        max_size=3,
    ),
    st.booleans(),
    st.booleans(),
)
def test_a_comparison_says_what_whole_views_say(
    facts: Facts,
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[Callable[[Facts, str, str], Facts], str, str]],
    is_first_saved: bool,
    is_second_saved: bool,
) -> None:
    later = facts
    for change, server, other in changes:
        if server in later.seen and other in later.seen:
            later = change(later, server, other)
    folder = tmp_path_factory.mktemp("saved")
    before, after = (
        opskit.Snapshot(read_again(one, folder) if is_saved else one)
        for one, is_saved in ((facts, is_first_saved), (later, is_second_saved))
    )
    assert told(after, before) == told_by_views(after, before)


def test_of_what_is_as_it_was_saved_nothing_is_made(facts: Facts, tmp_path: Path) -> None:
    # Only what was read just now has digests.
    assert all(app.env_sha256 for apps in facts.apps_by_server.values() for app in apps)
    assert any(one.pieces for seen in facts.observed for one in seen.services)
    again = read_again(facts, tmp_path)
    assert [*facts.differing(again)] == [*again.differing(facts)] == []
    later = rotated(facts, "coop.example", "")
    assert [*later.differing(again)] == ["coop.example"]


def test_a_server_that_is_gone_costs_no_look_at_those_it_has_nothing_to_do_with(
    facts: Facts, tmp_path: Path
) -> None:
    later = unreachable(facts, "mutual.example", "")
    assert [*later.differing(read_again(facts, tmp_path))] == ["mutual.example"]


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_secret_that_a_server_that_is_gone_may_declare_is_in_doubt(
    facts: Facts, tmp_path: Path, is_saved: bool
) -> None:
    name, gone = "pads_coop_example_session_v1", "mutual.example"
    before = on_server(
        facts,
        gone,
        lambda one: replace(one, apps=(replace(one.apps[0], stack="pads_coop_example"),)),
    )
    after = unreachable(before, gone, "")
    if is_saved:
        before, after = read_again(before, tmp_path), read_again(after, tmp_path)
    found = told(opskit.Snapshot(after), opskit.Snapshot(before))
    assert ("coop.example", "secret", name, "changed", "state", "orphan", "unknown") in found


def declared_elsewhere(facts: Facts) -> tuple[Facts, Facts]:
    """Let an app of one swarm be declared for its other server, and be removed there."""
    before = app_moved(same_swarm(facts, MUTUAL, COOP), COOP, MUTUAL)
    return before, on_server(before, MUTUAL, lambda one: replace(one, apps=one.apps[:-1]))


def folder_no_more_read(facts: Facts) -> tuple[Facts, Facts]:
    return facts, folder_unread(facts, COOP, "")


def first_no_more_a_manager(facts: Facts) -> tuple[Facts, Facts]:
    before = same_swarm(facts, MUTUAL, COOP)
    return before, worker(before, COOP, MUTUAL)


@pytest.mark.parametrize(
    ("looks", "server", "change"),
    [
        (declared_elsewhere, COOP, "added"),
        (folder_no_more_read, COOP, "changed"),
        (first_no_more_a_manager, MUTUAL, "added"),
    ],
)
def test_what_is_declared_around_a_server_changes_what_is_told_of_it(
    facts: Facts, looks: Callable[[Facts], tuple[Facts, Facts]], server: str, change: str
) -> None:
    before, after = looks(facts)
    assert after.apps_by_server[server] == before.apps_by_server[server]
    assert after.seen[server] == before.seen[server]
    views = opskit.Snapshot(after), opskit.Snapshot(before)
    found = told(*views)
    assert (server, "secret", change) in {(row[0], row[1], row[3]) for row in found}
    assert found == told_by_views(*views)


# -- whoever holds one, and however --------------------------------------------------------------


def test_one_that_travels_says_the_same(facts: Facts, tmp_path: Path) -> None:
    read = opskit.Snapshot(read_again(facts, tmp_path))
    again = pickle.loads(pickle.dumps(read))
    pd.testing.assert_frame_equal(again.secrets, read.secrets)
    assert again.diff(read).empty


def test_several_threads_may_ask_one_at_once(facts: Facts, tmp_path: Path) -> None:
    read = read_again(facts, tmp_path)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(read.seen.__getitem__, name) for name in [*read.seen] * 8]
        found = [one.result() for one in asked]
    assert found == [without_digests(facts.seen[name]) for name in [*read.seen] * 8]


# -- hostile files -------------------------------------------------------------------------------


def rows_of(facts: Facts, folder: Path) -> list[dict[str, str]]:
    read_again(facts, folder)
    return pq.read_table(folder / "one.opskit").to_pylist()


def file_of(rows: list[dict[str, str]], version: int = 2) -> bytes:
    return packed([pa.Table.from_pylist(rows, schema=COLUMNS)], version)


def refusal(content: bytes, folder: Path) -> str:
    """Return why a file is refused, be it when it is read or when all of it is asked for."""
    path = folder / "hostile.opskit"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        _ = load_facts(path).observed
    said = str(refused.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


def test_a_newer_format_is_refused_in_one_sentence(facts: Facts, tmp_path: Path) -> None:
    other = pa.table({"something": ["else"]}).replace_schema_metadata({"opskit_snapshot": "3"})
    sink = pa.BufferOutputStream()
    pq.write_table(other, sink)
    for content in (sink.getvalue().to_pybytes(), file_of(rows_of(facts, tmp_path), 3)):
        assert "format 3, and this opskit reads 1 to 2. Use the" in refusal(content, tmp_path)
    old = gzip.compress(b'{"opskit_snapshot": 3}')
    assert "format 3, and this opskit reads 1 to 2. Use the" in refusal(old, tmp_path)


def test_a_file_that_was_cut_or_changed_is_refused(facts: Facts, tmp_path: Path) -> None:
    read_again(facts, tmp_path)
    content = (tmp_path / "one.opskit").read_bytes()
    for size in (4, 7, 12, len(content) // 2, len(content) - 1):
        refusal(content[:size], tmp_path)
    # In pages of each column: each has a sum.
    groups = pq.read_metadata(tmp_path / "one.opskit")
    for at in range(4):
        column = groups.row_group(groups.num_row_groups - 1).column(at)
        place = column.data_page_offset + column.total_compressed_size - 2
        bent = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        if COLUMNS.names[at] != "server":  # which is for other programs
            refusal(bent, tmp_path)


def written(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    plain = {"use_dictionary": False, "compression": "zstd"}
    named = table.replace_schema_metadata({"opskit_snapshot": "2"})
    pq.write_table(named, sink, **(plain | options))
    return sink.getvalue().to_pybytes()


def columns(contents: list[Any], kind: Any = None) -> pa.Table:
    texts = {name: [""] * len(contents) for name in ("side", "server", "state")}
    schema = COLUMNS.set(3, pa.field("contents", kind or pa.string(), nullable=False))
    return pa.table(texts | {"contents": contents}, schema=schema)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (lambda: pa.table({"side": ["fleet"]}), "columns are others"),
        (lambda: columns([1], pa.int64()), "columns are others"),
        (lambda: columns([["a"]], pa.list_(pa.string())), "columns are others"),
        (lambda: columns(["a"]).append_column("more", [["b"]]), "columns are others"),
        (lambda: columns([]), "pages are elsewhere"),
        (lambda: columns([""]), "row of another kind"),
    ],
    ids=["missing", "number", "nested", "one more", "empty", "no side"],
)
def test_another_table_is_refused(table: Callable[[], pa.Table], said: str, tmp_path: Path) -> None:
    assert said in refusal(written(table()), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "each", "options", "said"),
    [
        (1, 300 * MIB, {}, "unpacks to more than 64 MiB"),
        (300, MIB, {}, "unpacks to more than 64 MiB"),
        (300, MIB, {"use_dictionary": True}, "elsewhere|another kind"),
        (300, MIB, {"column_encoding": "DELTA_BYTE_ARRAY"}, "not plain"),
        (2_000_000, 0, {}, "more than 100,000 rows"),
    ],
    ids=["one long text", "long texts", "one text many times", "text like that before", "rows"],
)
def test_a_bomb_is_refused_before_it_is_unpacked(
    rows: int, each: int, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    content = written(columns([" " * each] * rows), **options)
    assert len(content) < MIB
    assert hold(TARGETS["snapshots"], content, tmp_path)
    with pytest.raises(InputError, match=said):
        load_facts(tmp_path / "one.opskit")


def test_a_list_that_says_it_is_long_is_not_made_room_for(tmp_path: Path) -> None:
    # Of the columns of one part of a table without columns: a million, and none is there.
    footer = b"\x15\x02\x19\x1c\x48\x01a\x00\x16\x00\x19\x1c\x19\xfc\xbf\x84\x3d"
    content = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    assert hold(TARGETS["snapshots"], content, tmp_path)


@pytest.mark.parametrize(
    ("side", "column", "text"),
    [
        ("fleet", "state", "[]"),
        ("fleet", "state", '{"taken_at": 5}'),
        (
            "fleet", "state",
            '{"taken_at": "2026-01-01T00:00:00", '
            '"declared": {"root": "/a", "servers": [], "problems": []}}',
        ),
        ("declared", "contents", '{"secrets": {}}'),
        ("declared", "contents", "[" * 100_000),
        ("declared", "state", ""),
        ("observed", "state", '{"server": []}'),
        ("observed", "state", '{"server": "coop.example", "taken_at": "2026-01-01T00:00:00"}'),
        ("observed", "contents", ""),
        ("observed", "contents", '{"secrets": []}'),
        ("observed", "contents", '{"secrets": [{"ID": {"ID": []}}]}'),
    ],
)  # fmt: skip
def test_a_cell_that_is_another_than_its_column_says_is_refused(
    facts: Facts, tmp_path: Path, side: str, column: str, text: str
) -> None:
    rows = rows_of(facts, tmp_path)
    next(row for row in rows if row["side"] == side)[column] = text
    assert "not a whole opskit snapshot" in refusal(file_of(rows), tmp_path)


def test_a_second_row_about_the_fleet_is_refused(facts: Facts, tmp_path: Path) -> None:
    rows = rows_of(facts, tmp_path)
    assert "row of another kind" in refusal(file_of([rows[0], *rows]), tmp_path)


@pytest.mark.parametrize(
    "time", ["2026-11-02T08:00:00", "0001-01-01T00:00:00+23:59"], ids=["no zone", "no such time"]
)
def test_a_time_that_none_compares_with_is_refused(facts: Facts, tmp_path: Path, time: str) -> None:
    rows = rows_of(facts, tmp_path)
    rows[0]["state"] = json.dumps(json.loads(rows[0]["state"]) | {"taken_at": time})
    assert "not a whole opskit snapshot" in refusal(file_of(rows), tmp_path)
    old = gzip.decompress((GOLDEN / "format-1.opskit").read_bytes())
    bent = json.dumps(json.loads(old) | {"taken_at": time})
    assert "not a whole opskit snapshot" in refusal(gzip.compress(bent.encode()), tmp_path)


def test_a_time_that_never_was_has_no_age(facts: Facts, tmp_path: Path) -> None:
    seen = facts.seen["coop.example"]
    first, *others = seen.secrets
    never = replace(first, created_at=datetime(1, 1, 1, tzinfo=UTC))
    bent = with_seen(facts, "coop.example", replace(seen, secrets=(never, *others)))
    for one in (bent, read_again(bent, tmp_path)):
        secrets = opskit.Snapshot(one).secrets.set_index("secret_id")
        assert secrets.index[secrets["observed"] & secrets["created_at"].isna()] == [first.id]
        assert secrets.index[secrets["observed"] & secrets["age_days"].isna()] == [first.id]
        assert len(opskit.Snapshot(one).audit())


def test_lists_are_read_when_they_are_asked_for(facts: Facts, tmp_path: Path) -> None:
    rows = rows_of(facts, tmp_path)
    for row in rows:
        if row["side"] == "observed":
            row["contents"] = "damaged"
    (tmp_path / "one.opskit").write_bytes(file_of(rows))
    read = load_facts(tmp_path / "one.opskit")
    assert read.missing() == facts.missing()
    assert read.swarms == facts.swarms
    with pytest.raises(InputError, match=r"one\.opskit: this is not a whole opskit snapshot"):
        _ = opskit.Snapshot(read).secrets
