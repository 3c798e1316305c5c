"""A listing says what the view of the same name says, and loads nothing for that."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

import opskit
from opskit.cli.read import VIEWS
from opskit.demo.fleet import DemoFleet
from opskit.facts.facts import Facts
from opskit.swarm.model import Spec, StoredObject
from opskit.views.columns import columns_of
from opskit.views.table import Listing
from opskit.views.terminal import plain_rows
from tests.audit.test_keys import Use

SAVED = sorted((Path(__file__).parents[1] / "saved").glob("*.opskit"))


def same(snap: opskit.Snapshot, name: str) -> Listing:
    """Compare a view's listing with the view, column by column, and return it."""
    listing, view = snap.listing(name), getattr(snap, name)
    assert listing.columns == list(view.columns)
    assert listing.shown_columns() == view.shown_columns()
    assert (listing.caption, listing.goes) == (view.caption, view.goes)
    for column in listing.columns:
        listed, viewed = listing.cells([column]), view.cells([column])
        assert list(plain_rows(listed)) == list(plain_rows(viewed)), column
        assert listed.numeric == viewed.numeric, column
    return listing


@pytest.mark.parametrize("name", VIEWS)
def test_it_says_what_the_view_says(name: str, use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    assert same(opskit.Fleet.from_abra().snapshot(), name).rows


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("file", SAVED, ids=lambda file: file.stem)
def test_it_says_so_of_a_saved_snapshot(name: str, file: Path) -> None:
    same(opskit.Snapshot.load(file), name)


def test_a_time_that_no_view_has_is_none(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    facts = opskit.Fleet.from_abra().snapshot().facts
    never = datetime(1, 1, 1, tzinfo=UTC)
    secret = StoredObject(id="s", created_at=never, spec=Spec(name="odd_token_v1"))
    observed = tuple(msgspec.structs.replace(one, secrets=(secret,)) for one in facts.observed)
    seen = Facts(taken_at=facts.taken_at, declared=facts.declared, observed=observed)
    same(opskit.Snapshot(seen), "secrets")


def test_what_the_password_store_has_is_told(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    facts = opskit.Fleet.from_abra().snapshot().facts
    row = next(opskit.Snapshot(facts).secrets.records())
    same(opskit.Snapshot(facts, frozenset({f"{row.server}/{row.app}/{row.secret}"})), "secrets")


def test_all_columns_are_those_of_the_row(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    listing = opskit.Fleet.from_abra().snapshot().listing("nodes")
    named = [column.name for _, column in columns_of(listing.kind).values()]
    assert listing.columns == named


@pytest.mark.slow
@pytest.mark.parametrize("command", [*VIEWS, "drift"])
def test_a_table_in_a_terminal_is_there_without_pandas(
    command: str, use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    code = (
        "import sys; from opskit.cli.app import run; run(sys.argv[1:]);"
        "assert not {'pandas', 'pyarrow', 'numpy', 'docker'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code, command], check=True)
