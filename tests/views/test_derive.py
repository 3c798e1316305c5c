"""A snapshot made out of an earlier one says what one made anew says, and makes less."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import opskit
from opskit.abra.model import Declared, DeclaredServer, Problem
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.facts.facts import Facts, Part
from opskit.swarm.observe import Observation
from opskit.views.derive import derive
from opskit.views.frame import View
from opskit.views.services import SERVICES, ServicesRow

Use = Callable[[DemoFleet | DockerdFleet], Path]
replace = msgspec.structs.replace
VIEWS = ("servers", "apps", "secrets", "services", "tasks", "nodes", "configs", "networks",
         "volumes")  # fmt: skip


@pytest.fixture(scope="module")
def facts(demo_fleet: DemoFleet) -> Facts:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo_fleet.env.items():
            patch.setenv(name, value)
        return opskit.Fleet.from_abra().snapshot().facts


# -- what may happen between two looks -----------------------------------------------------------


def with_seen(facts: Facts, server: str, seen: Observation | None) -> Facts:
    others = [one for one in facts.observed if one.server != server]
    return changed(facts, observed=(*others, seen) if seen else tuple(others))


def with_declared(facts: Facts, **changes: Any) -> Facts:
    return changed(facts, declared=replace(facts.declared, **changes))


def changed(facts: Facts, **changes: Any) -> Facts:
    whole = {"declared": facts.declared, "observed": facts.observed} | changes
    return Facts(taken_at=facts.taken_at + timedelta(hours=7), **whole)


def on_server(facts: Facts, name: str, change: Callable[[DeclaredServer], Any]) -> Facts:
    return with_declared(
        facts,
        servers=tuple(change(one) if one.name == name else one for one in facts.declared.servers),
    )


def same_swarm(facts: Facts, server: str, other: str) -> Facts:
    """Let a server's context lead to another one's swarm."""
    return with_seen(facts, server, replace(facts.seen[other], server=server))


def worker(facts: Facts, server: str, other: str) -> Facts:
    """Let a server be a worker of another one's swarm."""
    seen = facts.seen[other]
    swarm = replace(seen.info.swarm, cluster=None, control_available=False)
    told = Observation(server=server, taken_at=seen.taken_at, reachable=True,
                       info=replace(seen.info, swarm=swarm), error="a worker")  # fmt: skip
    return with_seen(facts, server, told)


def unreachable(facts: Facts, server: str, _: str) -> Facts:
    return with_seen(facts, server, Observation(server=server, taken_at=facts.taken_at, error="?"))


def not_asked(facts: Facts, server: str, _: str) -> Facts:
    return with_seen(facts, server, None)


def fewer_objects(facts: Facts, server: str, _: str) -> Facts:
    seen = facts.seen[server]
    less = {name: getattr(seen, name)[1:] for name in ("secrets", "services", "tasks", "configs")}
    return with_seen(facts, server, replace(seen, **less))


def services_unread(facts: Facts, server: str, _: str) -> Facts:
    seen = replace(facts.seen[server], services=(), unread={"services": "refused"})
    return with_seen(facts, server, seen)


def app_removed(facts: Facts, server: str, _: str) -> Facts:
    return on_server(facts, server, lambda one: replace(one, apps=one.apps[1:]))


def app_moved(facts: Facts, server: str, other: str) -> Facts:
    """Declare an app for another server: of one swarm, or of one that nobody can read."""
    found = {one.name: one for one in facts.declared.servers}
    if server not in found or other not in found or not found[server].apps:
        return facts
    app, *rest = found[server].apps
    moved = (*found[other].apps, replace(app, server=other))
    here = on_server(facts, server, lambda one: replace(one, apps=tuple(rest)))
    return on_server(here, other, lambda one: replace(one, apps=moved))


def app_guessed(facts: Facts, server: str, _: str) -> Facts:
    guessed = lambda one: replace(one, apps=tuple(replace(a, guessed=True) for a in one.apps))  # noqa: E731
    return on_server(facts, server, guessed)


def folder_unread(facts: Facts, server: str, _: str) -> Facts:
    folder = next((s.folder for s in facts.declared.servers if s.name == server), "?")
    problem = Problem(path=folder, line=0, what="cannot be read.", remedy="")
    return with_declared(facts, problems=(*facts.declared.problems, problem))


def left_out(facts: Facts, server: str, _: str) -> Facts:
    """Read only the other servers, as when some were chosen."""
    found = facts.declared
    gone = tuple(one for one in found.servers if one.name == server)
    stay = tuple(one for one in found.servers if one.name != server)
    fewer = with_declared(facts, servers=stay, others=(*found.others, *gone))
    return with_seen(fewer, server, None)


def released(facts: Facts, _: str, __: str) -> Facts:
    found = {name: (*tags, "99.0.0+99.0") for name, tags in facts.declared.releases.items()}
    return with_declared(facts, releases=found)


def files_read_again(facts: Facts, _: str, __: str) -> Facts:
    again = msgspec.json.decode(msgspec.json.encode(facts.declared), type=Declared)
    return changed(facts, declared=again)


CHANGES = (same_swarm, worker, unreachable, not_asked, fewer_objects, services_unread, app_removed,
           app_moved, app_guessed, folder_unread, left_out, released, files_read_again)  # fmt: skip


def assert_same(made: opskit.Snapshot, name: str) -> None:
    found: View = getattr(made, name)
    whole: View = getattr(opskit.Snapshot(made.facts), name)
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(whole))
    assert (found.caption, found.shown_columns(), found.goes) == (
        whole.caption, whole.shown_columns(), whole.goes)  # fmt: skip


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_changes_in_turn_every_frame_equals_one_made_anew(
    facts: Facts, data: st.DataObject
) -> None:
    snap = opskit.Snapshot(facts)
    for _ in range(data.draw(st.integers(1, 5), "changes")):
        for name in data.draw(st.sets(st.sampled_from(VIEWS), max_size=4), "looked at"):
            getattr(snap, name)
        change = data.draw(st.sampled_from(CHANGES), "change")
        names = st.sampled_from(sorted(snap.facts.seen) or ["nobody"])
        server, other = data.draw(names, "server"), data.draw(names, "other")
        if server in snap.facts.seen and other in snap.facts.seen:
            snap = opskit.Snapshot(change(snap.facts, server, other), since=snap)
    for name in VIEWS:
        assert_same(snap, name)


# -- what is made anew -----------------------------------------------------------------------------


def remade(before: Facts, after: Facts) -> list[str]:
    """Name the servers whose rows of services are made again."""
    made: list[str] = []

    def rows(part: Part) -> list[ServicesRow]:
        made.append(part.server)
        return list(SERVICES.rows(part))  # type: ignore[arg-type]

    table = SERVICES.__class__(row=ServicesRow, rows=rows, about=SERVICES.about)
    first = derive(table, before.parts)
    made.clear()
    derive(table, after.parts, first)
    return made


def test_one_server_read_again_has_its_rows_made_again_and_no_other(facts: Facts) -> None:
    assert remade(facts, fewer_objects(facts, "coop.example", "")) == ["coop.example"]


def test_files_that_say_what_they_said_have_no_rows_made_again(facts: Facts) -> None:
    assert remade(facts, files_read_again(facts, "", "")) == []


def test_a_server_that_joins_anothers_swarm_has_the_rows_of_both_made_again(facts: Facts) -> None:
    joined = same_swarm(facts, "garden.example", "coop.example")
    assert {"garden.example", "coop.example"} <= set(remade(facts, joined))


def test_what_was_made_late_is_taken_over_too(facts: Facts) -> None:
    first = opskit.Snapshot(facts)
    second = opskit.Snapshot(fewer_objects(facts, "coop.example", ""), since=first)
    third = opskit.Snapshot(second.facts, since=second)
    # As when a snapshot comes while a table of the one before is still being made.
    assert len(first.services)
    assert_same(third, "services")
    assert_same(first, "services")
    assert third._derived is first._derived


def test_what_somebody_does_to_a_table_stays_out_of_the_next_snapshots(facts: Facts) -> None:
    snap = opskit.Snapshot(facts)
    for name in VIEWS:
        table = getattr(snap, name)
        table.loc[:, "server"] = "elsewhere"
        table.insert(0, "mine", True)
    later = opskit.Snapshot(fewer_objects(facts, "coop.example", ""), since=snap)
    for name in VIEWS:
        assert_same(later, name)


def test_what_somebody_does_within_cells_stays_out_of_the_next_snapshots(facts: Facts) -> None:
    whole = msgspec.json.encode(facts.observed)
    snap = opskit.Snapshot(facts)
    for name in VIEWS:
        table = getattr(snap, name)
        for column in table.columns:
            # Past all that pandas does to keep copies apart.
            cells = table[column].array
            for cell in cells:
                if isinstance(cell, list):
                    cell.append("mine")
                elif isinstance(cell, dict):
                    cell["mine"] = "yes"
            cells[:1] = cells[-1:]
    later = opskit.Snapshot(fewer_objects(facts, "coop.example", ""), since=snap)
    for name in VIEWS:
        assert_same(later, name)
    assert msgspec.json.encode(facts.observed) == whole


def test_a_column_of_text_stays_in_one_piece_however_often_rows_are_replaced(facts: Facts) -> None:
    snap = opskit.Snapshot(facts)
    for _ in range(5):
        assert len(snap.secrets) > 50
        snap = opskit.Snapshot(fewer_objects(snap.facts, "coop.example", ""), since=snap)
    assert len(snap.secrets["server"].array.__arrow_array__().chunks) == 1
