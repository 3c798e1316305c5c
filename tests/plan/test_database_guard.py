"""No way around the guard: what a database keeps inside is changed with it, or not at all."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import opskit
from opskit.cli.app import run
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.facts.facts import Facts
from opskit.plan.assemble import Assembler
from opskit.plan.renew import RenewalPlanner
from opskit.plan.selection import Lookup
from opskit.secrets.value import Secret
from opskit.steps import RunHook
from opskit.swarm import model
from tests.stage import APP, QUICK, SERVER, Stage

pytestmark = pytest.mark.slow

SHOP = "shop-dev.workshop.example"
"""Its services use v1 of the database's password; its ``.env`` names v2, which does not exist."""
ROTATE = f"opskit secret rotate {SHOP} db_password --hook mariadb:db"
HOOKED = opskit.Options(stable=0, hook="mariadb:db")
KNOWN = opskit.Options(stable=0, no_hook=True)


@pytest.fixture
def fleet(use: Callable[[DemoFleet], Path], own_fleet: DemoFleet) -> opskit.Fleet:
    use(own_fleet)
    return opskit.Fleet.from_abra()


def makes_v2(fleet: opskit.Fleet) -> None:
    """Create v2 behind opskit's back."""
    root = fleet.root.parent
    subprocess.run(
        ["docker", "--context", "workshop.example", "secret", "create",
         "shop_dev_db_password_v2", "-"],
        input=b"another one", check=True, capture_output=True,
        env={"DOCKER_CONFIG": str(root / "docker"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


DOORS: Mapping[str, Callable[[opskit.Fleet], opskit.Plan]] = {
    "generate": lambda fleet: fleet.plan_generate(SHOP, "db_password"),
    "generate --all": lambda fleet: fleet.plan_generate(SHOP),
    "insert": lambda fleet: fleet.plan_insert(SHOP, "db_password", Secret("a value")),
    "restore": lambda fleet: fleet.plan_restore(SHOP, "db_password", from_pass=False),
    "deploy": lambda fleet: fleet.plan_deploy(SHOP),
    "upgrade": lambda fleet: fleet.plan_upgrade(SHOP),
    "another secret with the whole stack": lambda fleet: fleet.plan_rotate(
        SHOP, "db_root_password", opskit.Options(hook="mariadb:db", deploy="stack")
    ),
}


DOORS_WHILE_V2_EXISTS = {
    False: tuple(DOORS),
    True: ("deploy", "upgrade", "another secret with the whole stack"),
}


@pytest.mark.parametrize(
    ("exists", "door"),
    [(exists, door) for exists, doors in DOORS_WHILE_V2_EXISTS.items() for door in doors],
)
def test_every_door_is_guarded_and_shows_the_one_that_is_open(
    fleet: opskit.Fleet, exists: bool, door: str
) -> None:
    if exists:
        makes_v2(fleet)
    with pytest.raises(InputError, match="database keeps the old password inside") as refused:
        DOORS[door](fleet)
    assert f"Let it be told: {ROTATE}." in str(refused.value)
    assert "--no-hook" in str(refused.value)


def test_the_way_that_is_shown_works(fleet: opskit.Fleet) -> None:
    plan = fleet.plan_rotate(SHOP, "db_password", HOOKED)
    (hook,) = [step for unit in plan.data.units for step in unit.steps if isinstance(step, RunHook)]
    assert (hook.service, hook.file) == ("shop_dev_db", "/run/secrets/db_password")


def test_a_given_value_goes_by_the_hook_to_the_version_that_is_declared(
    fleet: opskit.Fleet,
) -> None:
    plan = fleet.plan_insert(SHOP, "db_password", Secret("a value"), options=HOOKED)
    actions = [str(step.__struct_config__.tag) for unit in plan.data.units for step in unit.steps]
    assert {"create-secret", "run-hook", "switch-service", "verify"} <= set(actions)
    assert plan.changes[["from", "to"]].to_numpy().tolist() == [["v1", "v2"]]
    assert plan.changes["undone_by"].tolist() == ["back to v1, v2 removed"]
    env = Path(fleet.app(SHOP).env_file)
    before = env.read_bytes()
    ended = fleet.plan_insert(SHOP, "db_password", Secret("a value"), options=KNOWN).apply()
    assert (ended.status, env.read_bytes()) == ("done", before)


@pytest.mark.parametrize("named", ["wordpress", "wordpress/db_password"])
def test_a_given_value_goes_by_the_hook_that_the_settings_name(
    fleet: opskit.Fleet, named: str
) -> None:
    told = opskit.Options(stable=0, hooks={named: "mariadb:db"})
    plan = fleet.plan_insert(SHOP, "db_password", Secret("a value"), options=told)
    (hook,) = [step for unit in plan.data.units for step in unit.steps if isinstance(step, RunHook)]
    assert (hook.service, hook.swarm_name) == ("shop_dev_db", "shop_dev_db_password_v2")


def test_who_says_that_the_database_knows_is_believed(fleet: opskit.Fleet) -> None:
    assert fleet.plan_generate(SHOP, "db_password", KNOWN).apply().status == "done"
    assert fleet.plan_deploy(SHOP, KNOWN).changes["app"].tolist() == [SHOP]
    with pytest.raises(InputError, match="database keeps the old password inside"):
        fleet.plan_deploy(SHOP)


def test_a_restart_moves_nothing_and_is_not_refused(fleet: opskit.Fleet) -> None:
    assert fleet.plan_restart(SHOP).changes["restarts"].tolist() == [["app", "db"]]


def test_a_first_deploy_is_no_move(fleet: opskit.Fleet) -> None:
    app = "notes.garden.example"
    assert fleet.plan_generate(app).apply().status == "done"
    assert fleet.plan_deploy(app).changes["app"].tolist() == [app]


def test_a_deploy_of_what_runs_already_is_no_move(fleet: opskit.Fleet) -> None:
    assert fleet.plan_deploy("blog.mutual.example").changes["app"].tolist() == [
        "blog.mutual.example"
    ]


def test_a_new_value_for_a_volume_of_an_earlier_deploy_is_refused(fleet: opskit.Fleet) -> None:
    snap = fleet.snapshot()
    left = model.Volume(name="notes_db", labels={
        "com.docker.stack.namespace": "notes_garden_example"})  # fmt: skip
    observed = tuple(
        msgspec.structs.replace(
            seen,
            volumes=(left,),
            secrets=tuple(one for one in seen.secrets if "notes" not in one.spec.name),
        )
        if seen.server == "garden.example"
        else seen
        for seen in snap.facts.observed
    )
    facts = Facts(taken_at=snap.facts.taken_at, declared=snap.facts.declared, observed=observed)
    app = "notes.garden.example"

    def over(options: opskit.Options | None = None) -> RenewalPlanner:
        return RenewalPlanner(Assembler(Lookup(facts), options or opskit.Options()))

    with pytest.raises(InputError, match="the volume notes_db holds data of an earlier deploy"):
        over().generate(app, ["db_password"])
    assert over().generate(app, ["session"]).units
    assert over(KNOWN).generate(app, ["db_password"]).units
    # Of all, what may be made is made; the other is named.
    (left_alone,) = over().generate(app).left_alone
    assert left_alone.startswith(f"{app} db_password on garden.example: a volume holds")
    assert over().insert(app, "db_password").units


def test_the_command_line_says_it_too(
    fleet: opskit.Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["app", "deploy", SHOP], ["secret", "generate", SHOP, "db_password"]):
        assert run([*arguments, "--yes"]) == 2
        assert ROTATE in capsys.readouterr().err
    assert run(["secret", "generate", SHOP, "db_password", "--no-hook", "--yes"]) == 0
    assert run(["app", "deploy", SHOP, "--no-hook", "--dry-run"]) == 0


def test_what_the_settings_call_stored_is_guarded_on_real_engines_too(stage: Stage) -> None:
    stage.set_up()
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v2'"))
    stage.create("token_v2")
    fleet = opskit.Fleet.from_abra()
    told = replace(QUICK, hooks={"shop/token": "redis:app"})
    with pytest.raises(InputError, match="database keeps the old password inside"):
        fleet.plan_deploy(APP, told)
    assert fleet.plan_deploy(APP, QUICK).changes["server"].tolist() == [SERVER]
    assert fleet.plan_deploy(APP, replace(told, no_hook=True)).changes["app"].tolist() == [APP]
