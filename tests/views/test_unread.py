"""What nobody could read is not known; that it is not there is concluded of no part of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pandas as pd
import pytest

import opskit
from opskit.apps.page import page_of
from opskit.demo.fleet import DemoFleet
from opskit.facts.facts import Facts
from opskit.widgets.choices import about_asked, whole_apps
from opskit.widgets.kinds import FORMS

SERVER, APP = "coop.example", "git.coop.example"
WHY = "a proxy refuses it."

Without = Callable[[str], opskit.Snapshot]


@pytest.fixture
def without(use: Callable[[DemoFleet], Path], demo_fleet: DemoFleet) -> Without:
    """Return a look in which one list of one server was refused."""
    use(demo_fleet)
    facts = opskit.Fleet.from_abra().snapshot().facts

    def lacking(name: str) -> opskit.Snapshot:
        observed = tuple(
            msgspec.structs.replace(one, unread={name: WHY}, **{name: ()})
            if one.server == SERVER
            else one
            for one in facts.observed
        )
        return opskit.Snapshot(
            Facts(taken_at=facts.taken_at, declared=facts.declared, observed=observed)
        )

    return lacking


def test_no_app_is_told_not_deployed_where_services_were_refused(without: Without) -> None:
    snap = without("services")
    apps = snap.apps.query(f"server == '{SERVER}'")
    (declared,) = (one for one in snap.facts.apps_by_server[SERVER] if one.name == APP)
    page = page_of(snap, declared, signs={}, notes={}, runs=[])

    assert apps["deployed"].isna().all()
    assert page.deployed is None
    assert page.headline.startswith("Nobody knows whether it runs")
    assert f"Its server's services could not be read: {WHY}" in page.notes
    offered = whole_apps(snap, FORMS["restart"])
    assert SERVER not in {one["server"] for one in offered}
    asked = about_asked(snap, FORMS["restart"], APP, offered)
    assert asked == f"{APP} is not read, as {SERVER} is not: a proxy refuses it."


def test_the_map_says_that_such_apps_are_not_read(without: Without) -> None:
    numbers = opskit.pictures.fleet_map(without("services")).numbers
    own = numbers.query(f"server == '{SERVER}'")

    assert set(own["health"]) == {"not read"}


@pytest.mark.parametrize("name", ["services", "secrets", "nodes"])
def test_what_was_refused_is_not_counted_as_none(without: Without, name: str) -> None:
    (row,) = without(name).servers.query(f"server == '{SERVER}'").records()

    assert pd.isna(getattr(row, name))


def test_no_config_is_told_absent_where_configs_were_refused(without: Without) -> None:
    configs = without("configs").configs
    own = configs.query(f"server == '{SERVER}'")

    assert own["declared"].all()
    assert own["observed"].isna().all()
    assert not (set(configs.select("not observed")["server"]) & {SERVER})


@pytest.mark.parametrize(
    "name", ["nodes", "services", "tasks", "secrets", "configs", "networks", "volumes"]
)
def test_a_view_of_a_list_that_was_refused_names_the_server_as_missing(
    without: Without, name: str
) -> None:
    snap = without(name)
    caption = getattr(snap, name).caption
    assert caption.endswith("3 of 6 servers missing: coop.example, library.example, radio.example")
    assert "2 of 6 servers missing" in snap.audit().caption


@pytest.mark.parametrize("name", ["services", "tasks"])
def test_no_secret_is_told_unused_where_a_list_of_its_users_was_refused(
    without: Without, name: str
) -> None:
    own = without(name).secrets.query(f"server == '{SERVER}'")
    unused = own.keep(own["observed"] & ~own["used_by"].map(bool))

    assert len(unused)
    assert set(unused["state"]) == {"unknown"}
    assert "undeployed" not in set(own["state"]) or name == "tasks"
