"""From findings to plans: the right one, what goes together, and what is left to a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.fleet import plan_mend
from opskit.mending import Mend, named, rounds
from opskit.views.frame import View
from tests.stage import Stage

APP, OTHER = "coop.example/git.coop.example", "coop.example/id.coop.example"


@pytest.fixture
def fleet(use: Callable[[DemoFleet | DockerdFleet], Path], demo_fleet: DemoFleet) -> opskit.Fleet:
    use(demo_fleet)
    return opskit.Fleet.from_abra()


@pytest.fixture
def findings(fleet: opskit.Fleet) -> View:
    return fleet.snapshot().audit()


def rotate(app: str, *secrets: str, hook: str = "") -> Mend:
    return Mend(plan="rotate", app=app, secrets=secrets, hook=hook)


def remove(server: str, where: str) -> Mend:
    return Mend(plan="remove", server=server, where=where)


def test_findings_that_one_plan_mends_are_mended_once() -> None:
    deploy = Mend(plan="deploy", app=APP)
    assert rounds([deploy, deploy]) == [[deploy]]


def test_new_values_of_one_app_are_made_together() -> None:
    assert rounds([rotate(APP, "one"), rotate(APP, "two")]) == [[rotate(APP, "one", "two")]]


def test_what_else_changes_one_app_comes_one_after_the_other_and_other_apps_beside_it() -> None:
    hooked, deploy = rotate(APP, "db", hook="postgres:db"), Mend(plan="deploy", app=APP)
    other = rotate(OTHER, "one")
    assert rounds([hooked, deploy, other]) == [[hooked, other], [deploy]]


def test_what_is_removed_comes_last_and_from_one_server_at_once() -> None:
    first, second = remove("coop.example", "a == 'x'"), remove("coop.example", "a == 'y'")
    both = remove("coop.example", "(a == 'x') or (a == 'y')")
    assert rounds([first, rotate(APP, "one"), second]) == [[rotate(APP, "one")], [both]]


def test_a_finding_is_planned_by_its_row_and_by_what_its_plan_holds(
    fleet: opskit.Fleet, findings: View
) -> None:
    row = findings.query("id == 'secret-superseded'").iloc[0]
    by_row, by_plan = fleet.plan_remedy(row), fleet.plan_remedy(row["plan"])
    assert by_row.digest == by_plan.digest
    assert by_row.changes["secret"].tolist() == ["admin_password"]


def test_orphans_of_one_server_are_planned_together(fleet: opskit.Fleet, findings: View) -> None:
    mends = map(Mend.of, findings.query("id == 'secret-orphan'").itertuples())
    (together,) = rounds(mends)
    assert {one.server for one in together} == {
        "coop.example", "garden.example", "mutual.example"
    }  # fmt: skip


def test_of_old_versions_those_go_that_the_findings_name_and_others_of_the_app_stay(
    embedded_stage: Stage,
) -> None:
    embedded_stage.write_files()
    text = embedded_stage.env_file.read_bytes()
    embedded_stage.env_file.write_bytes(
        text.replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION=v3").replace(
            b"KEY_VERSION=v1", b"KEY_VERSION=v3"
        )
    )
    embedded_stage.create(
        *(f"{name}_v{number}" for name in ("token", "key") for number in (1, 2, 3))
    )
    fleet = opskit.Fleet.from_abra()
    found = list(fleet.snapshot().audit().query("id == 'secret-superseded'").itertuples())
    assert sorted(row.secret for row in found) == ["key", "token"]

    token = next(row for row in found if row.secret == "token")
    assert fleet.plan_remedy(token).changes[["secret", "from"]].to_numpy().tolist() == [
        ["token", "v1"]
    ]
    ((both,),) = rounds(map(Mend.of, found))
    assert sorted(plan_mend(fleet, both).changes["secret"]) == ["key", "token"]


def test_what_a_person_has_to_mend_is_said(fleet: opskit.Fleet, findings: View) -> None:
    row = findings.query("id == 'stack-collision'").iloc[0]
    with pytest.raises(InputError, match=r"for a person to mend\. Set a different STACK_NAME"):
        fleet.plan_remedy(row)


def test_what_is_no_finding_is_refused(fleet: opskit.Fleet) -> None:
    with pytest.raises(InputError, match=r"a row of what snap.audit\(\) gave"):
        fleet.plan_remedy("git.coop.example")
    for plan in ({"plan": "klingon"}, {"app": "git.coop.example"}):
        with pytest.raises(InputError, match=r"plan of a finding is .*Choose from: rotate, "):
            fleet.plan_remedy(plan)


def test_a_value_that_somebody_has_is_asked_for(fleet: opskit.Fleet, findings: View) -> None:
    row = findings.query("id == 'secret-missing' and secret == 'keycloak_client_secret'").iloc[0]
    with pytest.raises(InputError, match=r"value=opskit.Secret"):
        fleet.plan_remedy(row)
    assert fleet.plan_remedy(row, opskit.Secret("canary")).values


def test_findings_are_found_by_their_keys_and_one_that_is_gone_is_named(findings: View) -> None:
    keys = findings["key"].tolist()[:2]
    assert named(findings, reversed(keys))["key"].tolist() == keys
    with pytest.raises(InputError, match="no finding has the key zzzzz: mended already"):
        named(findings, [*keys, "zzzzz"])
