"""The views: columns, dtypes, states, captions and what they look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import msgspec
import pandas as pd
import pyarrow.parquet as pq
import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.facts.facts import Facts
from opskit.views.cells import cell_text
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.secrets import STATES
from opskit.views.table import About

Use = Callable[[DemoFleet | DockerdFleet], Path]
NAMES = ("servers", "apps", "secrets", "services", "tasks", "nodes", "configs", "networks",
         "volumes")  # fmt: skip


class Text(Row, frozen=True, kw_only=True):
    """A row of one text."""

    a: Annotated[str, Column("A text.")]


@pytest.fixture
def snap(use: Use, demo_fleet: DemoFleet) -> opskit.Snapshot:
    use(demo_fleet)
    return opskit.Fleet.from_abra().snapshot()


def test_the_secrets_view_has_exactly_the_promised_columns(snap: opskit.Snapshot) -> None:
    assert {str(k): str(v) for k, v in snap.secrets.dtypes.items()} == {
        "server": "string",
        "app": "string",
        "recipe": "string",
        "stack": "string",
        "secret": "string",
        "version": "string",
        "swarm_name": "string",
        "state": "category",
        "declared": "bool",
        "observed": "bool",
        "env_key": "string",
        "env_file": "string",
        "env_line": "Int64",
        "used_by": "object",
        "created_at": "datetime64[ns, UTC]",
        "age_days": "float64",
        "generate": "boolean",
        "length": "Int64",
        "charset": "string",
        "driver": "string",
        "templating": "string",
        "in_pass": "boolean",
        "secret_id": "string",
        "labels": "object",
    }


def test_the_demo_fleet_shows_every_state(snap: opskit.Snapshot) -> None:
    assert set(snap.secrets["state"].dropna()) == set(STATES)


def test_a_row_is_one_version_of_one_secret(snap: opskit.Snapshot) -> None:
    assert not snap.secrets.duplicated(["server", "stack", "secret", "version"]).any()


def test_secrets_stand_by_app_name_and_version_and_those_of_no_app_last(
    snap: opskit.Snapshot,
) -> None:
    rows = snap.secrets.query("server == 'mutual.example'")
    assert rows.query("app == 'blog.mutual.example'")["version"].tolist()[:2] == ["v9", "v10"]
    for _, there in snap.secrets.groupby("server"):
        apps = there["app"].tolist()
        named = [app for app in apps if isinstance(app, str)]
        assert apps[: len(named)] == sorted(named)


def test_an_unreachable_server_keeps_its_row_and_its_apps(snap: opskit.Snapshot) -> None:
    servers = snap.servers.set_index("server")
    assert not servers.loc["radio.example", "reachable"]
    assert "Is Docker running there?" in servers.loc["radio.example", "error"]

    apps = snap.apps[snap.apps["server"] == "radio.example"]
    assert len(apps) == 2
    assert apps["deployed"].isna().all()
    secrets = snap.secrets[snap.secrets["server"] == "radio.example"]
    assert secrets["state"].isna().all()


@pytest.mark.parametrize("name", NAMES)
def test_every_view_names_the_missing_servers(snap: opskit.Snapshot, name: str) -> None:
    view = getattr(snap, name)
    for text in (view.caption, repr(view), view._repr_html_()):
        assert "2 of 6 servers missing: library.example, radio.example" in " ".join(text.split())


def test_a_selection_keeps_the_caption(snap: opskit.Snapshot) -> None:
    part = snap.secrets.query("state == 'missing'")

    assert part.caption.startswith(f"{len(part)} secret")
    assert "servers missing" in part.caption


def test_a_guessed_app_says_so(snap: opskit.Snapshot) -> None:
    (app,) = snap.apps.query("guessed").to_dict("records")
    assert app["recipe"] == "rallly"
    assert "guessed" in app["note"]


def test_hostile_text_is_escaped_in_html_and_harmless_in_text() -> None:
    hostile = "<script>alert(1)</script>\x1b[2J\u202eevil"
    view = View.from_rows(Text, [Text(a=hostile)], About())

    assert "<script" not in view._repr_html_()
    assert "&lt;script&gt;" in view._repr_html_()
    for text in (view._repr_html_(), repr(view)):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_the_mime_bundle_carries_both_forms(snap: opskit.Snapshot) -> None:
    bundle = snap.secrets._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert len(bundle["text/html"]) < 64_000


def test_a_long_table_shows_its_head_and_says_how_much_is_left() -> None:
    view = View.from_rows(Text, [Text(a=str(n)) for n in range(500)], About(noun="rows"))
    assert "440 more rows" in view._repr_html_()
    assert "440 more rows" in repr(view)


def test_in_a_notebook_a_rare_sentence_stands_below_its_row(snap: opskit.Snapshot) -> None:
    table = snap.servers._repr_html_()
    assert '<th scope="col">error</th>' not in table
    assert table.count('<tr class="opskit-below">') == 2
    assert "<span>error: it is a worker" in table


def test_in_a_notebook_what_has_no_room_is_left_out_in_turn_and_named(
    snap: opskit.Snapshot,
) -> None:
    apps = snap.apps
    table = apps._repr_html_()
    needs = {
        name: int(pixels)
        for pixels, name in re.findall(r'<th scope="col" class="(?:n )?g(\d+)">([^<]+)</th>', table)
    }
    goes = [name.replace("_", " ") for name in apps.goes if name not in {"server", "app"}]
    assert sorted(needs, key=needs.__getitem__, reverse=True) == goes
    for name, pixels in needs.items():
        assert f"@container (max-width:{pixels - 1}px){{.g{pixels}{{display:none}}" in table
        assert re.search(rf'<span hidden class="s{pixels}">[^<]*{name}</span>', table)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (pd.NA, ""), (pd.NaT, ""), (float("nan"), ""), (1234.56, "1,234.6"),
     (True, "yes"), (["a", "b"], "a, b"), ({"k": "v"}, "k=v"), ("a\nb", "a b"),
     (pd.Timestamp("2026-01-02 03:04", tz="UTC"), "2026-01-02 03:04")],
)  # fmt: skip
def test_cells_are_one_line_of_text(value: object, text: str) -> None:
    assert cell_text(value) == text


def test_a_snapshot_survives_being_saved(snap: opskit.Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "monday.opskit"
    snap.save(path)
    loaded = opskit.Snapshot.load(path)

    assert path.stat().st_mode & 0o777 == 0o600
    for name in NAMES:
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(snap, name))
    assert loaded.diff(snap).empty


def test_a_saved_snapshot_has_no_hash_by_which_a_password_in_a_file_could_be_guessed(
    snap: opskit.Snapshot, tmp_path: Path
) -> None:
    path = tmp_path / "monday.opskit"
    snap.save(path)
    text = str(pq.read_table(path).to_pylist())
    assert snap.secrets["swarm_name"].iloc[0] in text
    hashes = {app.env_sha256 for apps in snap.facts.apps_by_server.values() for app in apps}
    hashes |= {one.spec_digest for seen in snap.facts.observed for one in seen.services}
    assert len(hashes) > 10
    assert not [found for found in hashes if found and found in text]


def test_saving_makes_the_file_s_folder_but_not_a_chain_of_them(
    snap: opskit.Snapshot, tmp_path: Path
) -> None:
    snap.save(tmp_path / "runs" / "monday.opskit")

    assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o700
    with pytest.raises(opskit.OpskitError, match="cannot be written"):
        snap.save(tmp_path / "rnus" / "2026" / "monday.opskit")


@pytest.mark.parametrize(
    "content", [b"", b"not gzip", b"\x1f\x8b\x08broken", b"PAR1", b"PAR1brokenPAR1"]
)
def test_a_damaged_snapshot_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.opskit"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.opskit.*opskit snapshot"):
        opskit.Snapshot.load(path)


@pytest.mark.slow
def test_a_difference_names_what_changed(use: Use) -> None:
    with DemoFleet() as fleet:
        root = use(fleet)
        earlier = opskit.Fleet.from_abra().snapshot()
        env = root / "abra" / "servers" / "coop.example" / "id.coop.example.env"
        env.write_text(env.read_text().replace("DB_PASSWORD_VERSION=v1", "DB_PASSWORD_VERSION=v2"))
        later = opskit.Fleet.from_abra().snapshot()
    changes = {(row.name, row.change, str(row.after)) for row in later.diff(earlier).records()}

    name = "id_coop_example_db_password"
    assert (f"{name}_v1", "changed", "stale") in changes
    assert (f"{name}_v2", "added", "<NA>") in changes


def test_a_server_lost_between_two_snapshots_is_unknown_not_removed(
    snap: opskit.Snapshot,
) -> None:
    blind = tuple(
        msgspec.structs.replace(o, manager=False, secrets=(), services=(), nodes=())
        if o.server == "coop.example"
        else o
        for o in snap.facts.observed
    )
    facts = Facts(taken_at=snap.facts.taken_at, declared=snap.facts.declared, observed=blind)
    changes = opskit.Snapshot(facts).diff(snap)

    assert "removed" not in set(changes["change"])
    assert "unknown" in set(changes["change"])


def test_only_the_named_servers_are_read(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    fleet = opskit.Fleet.from_abra(servers=["coop.example"])

    assert set(fleet.snapshot().servers["server"]) == {"coop.example"}
    with pytest.raises(InputError, match="Choose from"):
        opskit.Fleet.from_abra(servers=["nowhere"])


@pytest.mark.slow
def test_any_executor_may_do_the_reading(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        snap = opskit.Fleet.from_abra(servers=["coop.example"]).snapshot(executor=executor)

    assert snap.servers["manager"].all()


def test_rows_like_those_of_another_table_keep_their_caption(
    snap: opskit.Snapshot,
) -> None:
    some = snap.secrets.head(3)
    like = snap.secrets.like(some)
    assert like.like(some)["secret"].tolist() == like["secret"].tolist()
    assert set(some["swarm_name"]) <= set(like["swarm_name"])
    assert "servers missing" in like.caption
    assert len(snap.apps.like(some, on=("server", "app"))) <= 3
    with pytest.raises(InputError, match="no column 'secret' in both"):
        snap.apps.like(some)


def test_what_pandas_makes_of_a_view_shows_its_index(snap: opskit.Snapshot) -> None:
    by_recipe = snap.apps.groupby("recipe").agg({"secrets": "sum"})
    turned = snap.apps.head(2).T
    twice = pd.concat([snap.apps.head(2)[["app"]], snap.apps.head(2)[["app"]]], axis=1)
    for made, said in ((by_recipe, "hedgedoc"), (turned, "recipe"), (twice, "app")):
        for shown in (repr(made), made.to_html(), View(made)._repr_html_()):
            assert said in shown
    nasty = View({"a": ["<script>"]}, index=["<b>"])
    assert "<script>" not in nasty._repr_html_()
    assert "<b>" not in nasty._repr_html_()
    assert "opskit-table" in snap.apps.query("secrets > 1")._repr_html_()


def test_a_table_is_saved_for_its_owner_with_lists_as_text(
    use: Use, demo_fleet: DemoFleet, tmp_path: Path
) -> None:
    use(demo_fleet)
    snap = opskit.Fleet.from_abra().snapshot()
    snap.secrets.save(tmp_path / "new" / "secrets.csv")

    written = tmp_path / "new" / "secrets.csv"
    assert written.stat().st_mode & 0o077 == 0
    assert len(pd.read_csv(written)) == len(snap.secrets)
    assert "[" not in written.read_text()
    with pytest.raises(opskit.OpskitError, match=r"saved as \.csv"):
        snap.secrets.save(tmp_path / "secrets.xlsx")
