"""Secrets that are gone made again, from the password store or anew; plans joined to one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.secrets.passstore import PassStore
from opskit.secrets.value import Secret

pytestmark = pytest.mark.slow

MATRIX = ("mutual.example", "matrix.mutual.example", "keycloak_client_secret")
NOTES = ("garden.example", "notes.garden.example", "session")


@pytest.fixture
def fleet(use: Callable[[DemoFleet], Path], own_fleet: DemoFleet) -> opskit.Fleet:
    use(own_fleet)
    return opskit.Fleet.from_abra()


def test_values_come_from_the_store_and_others_are_made(
    fleet: opskit.Fleet, password_store: PassStore
) -> None:
    value = Secret("as it was before the server burnt")
    password_store.store("/".join(("hosts", *MATRIX)), value)

    plan = fleet.plan_restore([MATRIX, NOTES])
    bits = plan.changes.set_index("secret")["bits"]

    assert list(plan.values.values()) == [value]
    assert bits.isna()["keycloak_client_secret"]
    assert bits["session"] >= 128
    assert plan.apply().status == "done"
    rows = fleet.snapshot().secrets.query("observed")
    assert {MATRIX, NOTES} <= set(zip(rows["server"], rows["app"], rows["secret"], strict=True))


def test_a_value_from_elsewhere_is_never_made_up(
    fleet: opskit.Fleet, password_store: PassStore
) -> None:
    with pytest.raises(InputError, match="keycloak_client_secret"):
        fleet.plan_restore([MATRIX, NOTES])


def test_what_cannot_be_made_is_left_out_when_asked(fleet: opskit.Fleet) -> None:
    shop = ("workshop.example", "shop-dev.workshop.example", "db_password")
    plan = fleet.plan_restore([MATRIX, NOTES, shop], from_pass=False, skip=True)
    assert plan.changes["secret"].tolist() == ["session"]
    assert [one.split(" on ")[0] for one in plan.data.left_alone] == [
        "matrix.mutual.example keycloak_client_secret",
        "shop-dev.workshop.example db_password",
    ]
    nothing = fleet.plan_restore([shop], from_pass=False, skip=True, may_be_empty=True)
    assert not nothing
    assert "a database keeps inside" in nothing.data.left_alone[0]
    empty = fleet.snapshot().secrets.query("secret == 'no such'")
    assert not fleet.plan_restore(empty, from_pass=False, may_be_empty=True)


def test_what_exists_is_left_alone(fleet: opskit.Fleet) -> None:
    with pytest.raises(InputError, match="nothing selected is absent"):
        fleet.plan_restore(
            fleet.snapshot().secrets.query("app == 'notes.coop.example'"), from_pass=False
        )


def test_plans_for_different_stacks_are_one_plan(fleet: opskit.Fleet) -> None:
    restored = fleet.plan_restore([NOTES], from_pass=False)
    superseded = fleet.snapshot().secrets.query("state == 'superseded'")
    pruned = fleet.plan_prune(superseded, keep=0)
    plan = opskit.Plan.join([restored, pruned])

    assert plan.data.kind == "prune and restore"
    assert len(plan.changes) == len(restored.changes) + len(pruned.changes)
    assert plan.apply().status == "done"


def test_plans_for_one_stack_are_not(fleet: opskit.Fleet) -> None:
    plan = fleet.plan_restore([NOTES], from_pass=False)

    with pytest.raises(InputError, match=r"two of the plans change notes_garden_example"):
        opskit.Plan.join([plan, plan])
    with pytest.raises(InputError, match="no plan to join"):
        opskit.Plan.join([])
