"""Every remedy works: what a finding offers is planned, on the demo fleet and on real engines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.audit import secrets as secret_checks
from opskit.audit.remedies import Remedies
from opskit.audit.stored import compare_store
from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.demo.real import load_sample
from opskit.errors import InputError
from opskit.secrets.value import Secret
from opskit.swarm.model import Driver
from opskit.views.frame import View
from opskit.widgets.choices import app_choices
from opskit.widgets.kinds import FORMS
from tests.conftest import _real
from tests.stage import APP, SERVER, Stage

Use = Callable[[DemoFleet | DockerdFleet], Path]


@pytest.fixture(scope="module")
def real() -> Iterator[DockerdFleet]:
    """The sample's first four servers on real engines."""
    with _real(4) as fleet:
        load_sample(fleet)
        yield fleet


@pytest.fixture(
    params=["embedded", pytest.param("real", marks=[pytest.mark.swarm, pytest.mark.nightly])]
)
def fleet(request: pytest.FixtureRequest, use: Use) -> opskit.Fleet:
    name = {"embedded": "demo_fleet", "real": "real"}[request.param]
    use(request.getfixturevalue(name))
    return opskit.Fleet.from_abra()


def planned(fleet: opskit.Fleet, snap: opskit.Snapshot, remedy: dict[str, str]) -> opskit.Plan:
    """Make the plan that a finding's data says."""
    given = Secret("what somebody has") if remedy["plan"] == "insert" else None
    return fleet.plan_remedy(remedy, given, snapshot=snap)


def by_finding(findings: View) -> dict[tuple[str, str | None, str | None], str]:
    return {(row.id, _text(row.app), _text(row.secret)): row.remedy for row in findings.records()}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def test_every_plan_that_is_offered_is_one_that_can_be_made(fleet: opskit.Fleet) -> None:
    snap = fleet.snapshot()
    offered = [row for row in snap.audit().records() if row.plan]
    assert {row.plan["plan"] for row in offered} >= {
        "deploy",
        "insert",
        "prune",
        "remove",
        "rotate",
    }
    for row in offered:
        assert planned(fleet, snap, row.plan), row


def test_so_are_those_for_every_secret_if_all_were_old(
    fleet: opskit.Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_checks, "MAX_AGE_DAYS", -1)
    snap = fleet.snapshot()
    old = snap.audit().query("id == 'secret-old'")
    offered = [row for row in old.itertuples() if row.plan]
    assert {row.plan.get("hook", "").partition(":")[0] for row in offered} >= {
        "", "mariadb", "postgres",
    }  # fmt: skip
    for row in offered:
        assert planned(fleet, snap, row.plan), row


@pytest.mark.slow
def test_a_remedy_that_is_a_command_is_taken_by_the_command_line(
    fleet: opskit.Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    for row in fleet.snapshot().audit().records():
        if row.plan and row.plan["plan"] != "insert":
            command = row.remedy.partition("opskit ")[2]
            assert run([*shlex.split(command), "--dry-run"]) == 0, row.remedy
            capsys.readouterr()


def test_each_finding_of_the_demo_fleet_has_the_remedy_that_works(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    found = by_finding(opskit.Fleet.from_abra().snapshot().audit())
    shop, git = "shop-dev.workshop.example", "git.coop.example"
    told = f"opskit secret rotate {shop} db_password --hook mariadb:db"
    matrix = "matrix.mutual.example"

    # From elsewhere: nobody makes it up.
    assert found["secret-missing", matrix, "keycloak_client_secret"] == (
        f"opskit secret insert {matrix} keycloak_client_secret"
    )
    assert found["secret-old", "traefik.coop.example", "usersfile"] == (
        "opskit secret insert traefik.coop.example usersfile"
    )
    # Inside a database: told by a hook, wherever the finding comes from.
    assert found["secret-missing", shop, "db_password"] == told
    assert found["secret-stale", shop, "db_password"] == told
    assert found["secret-old", git, "db_password"] == (
        f"opskit secret rotate {git} db_password --hook postgres:db"
    )
    # What waits for a deploy is deployed, and not rotated once more.
    for check in ("secret-stale", "secret-pending", "secret-old"):
        assert found[check, git, "jwt_secret"] == f"opskit app deploy {git}"
    assert found["secret-old", git, "internal_token"] == (
        f"opskit secret rotate {git} internal_token"
    )
    # What a prune keeps is no finding.
    superseded = [key[1:] for key in found if key[0] == "secret-superseded"]
    assert superseded == [("cloud.coop.example", "admin_password")]


def test_versions_are_findings_as_far_as_the_settings_keep_none(
    use: Use, demo_fleet: DemoFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(demo_fleet)
    (tmp_path / "opskit").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    fleet = opskit.Fleet.from_abra()
    snap = fleet.snapshot()
    for keep, names in ((0, {"admin_password", "db_password", "macaroon"}), (2, set[str]())):
        (tmp_path / "opskit" / "config.toml").write_text(f"keep = {keep}\n")
        found = snap.audit().query("id == 'secret-superseded'")
        assert set(found["secret"]) == names
        for row in found.itertuples():
            assert planned(fleet, snap, row.plan)


def test_what_stands_in_the_way_of_a_deploy_is_said_instead(use: Use, tmp_path: Path) -> None:
    with DemoFleet() as demo:
        use(demo)
        gitea = demo.root / "abra" / "recipes" / "gitea" / "compose.yml"
        gitea.write_text(gitea.read_text().replace("${GITEA_APP_NAME}", "${GITEA_APP_NAME:25}"))
        found = by_finding(opskit.Fleet.from_abra().snapshot().audit())
    remedy = found["secret-pending", "git.coop.example", "jwt_secret"]
    assert re.match(r"Mend .*gitea/compose\.yml:\d+ first\. then: opskit app deploy", remedy)


def test_of_a_file_read_in_part_no_version_is_said_to_wait_or_to_be_left_over(
    use: Use, tmp_path: Path
) -> None:
    with DemoFleet() as demo:
        use(demo)
        git = demo.root / "abra" / "servers" / "coop.example" / "git.coop.example.env"
        git.write_text(git.read_text() + '\nBROKEN="never closed\n')
        found = opskit.Fleet.from_abra().snapshot().audit().query("app == 'git.coop.example'")
    assert not [row for row in found.records() if row.plan]
    assert any("git.coop.example.env" in row.what for row in found.records())


def test_a_template_is_inserted_and_not_made_up(stage: Stage) -> None:
    stage.write_files()
    stage.create("token_v1")
    golang = Driver(name="golang")
    stage.engine.create_secret(f"{stage.stack}_key_v1", b"{{ .Service.Name }}", {},
                               templating=golang)  # fmt: skip
    stage.deploy("app", ["token", "key"])
    remedies = Remedies(opskit.Fleet.from_abra().snapshot())
    assert str(remedies.renew(SERVER, APP, "key")) == f"opskit secret insert {APP} key"
    assert str(remedies.renew(SERVER, APP, "token")) == f"opskit secret rotate {APP} token"


# -- a database that keeps its data -----------------------------------------------------------


@pytest.fixture
def left(embedded_stage: Stage) -> Stage:
    """An app of which a volume is left, and no service and no secret."""
    embedded_stage.write_files()
    recipe = embedded_stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    recipe.write_text(
        recipe.read_text().replace("_key_", "_db_password_").replace(" key:", " db_password:")
        .replace(", key]", ", db_password]")
    )  # fmt: skip
    embedded_stage.post(
        "/volumes/create",
        {"Name": "kept", "Labels": {"com.docker.stack.namespace": embedded_stage.stack}},
    )
    return embedded_stage


def test_a_password_that_data_on_disk_knows_is_inserted_and_not_made_up(left: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    snap = fleet.snapshot()
    remedies = Remedies(snap)
    known, other = (remedies.make(SERVER, APP, name) for name in ("db_password", "token"))
    assert str(known) == f"opskit secret insert {APP} db_password"
    assert str(other) == f"opskit secret generate {APP} token"
    for remedy in (known, other):
        assert not isinstance(remedy, str)
        assert planned(fleet, snap, remedy.to_dict())
    # A form offers what can be planned, too.
    (app,) = app_choices(snap, FORMS["generate"])
    assert {one["name"]: one["obstacle"] for one in app["secrets"]} == {
        "db_password": "The volume kept holds data: insert the password it knows.",
        "token": "",
    }
    assert [one["name"] for one in app["secrets"] if one["preselected"]] == ["token"]


@pytest.mark.parametrize(("mode", "way"), [
    ("none", "Rotate it with --hook mariadb:db --deploy services: your settings say deploy = "
             '"none", and its database would be told before the app.'),
    ("stack", "Rotate it with --deploy services: deploying the stack would move db_password "
              "along."),
])  # fmt: skip
def test_what_the_settings_make_of_a_rotation_is_said_where_it_is_refused(
    use: Use, demo_fleet: DemoFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    mode: str, way: str,
) -> None:  # fmt: skip
    use(demo_fleet)
    (tmp_path / "opskit").mkdir()
    (tmp_path / "opskit" / "config.toml").write_text(f'deploy = "{mode}"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    fleet = opskit.Fleet.from_abra()
    snap, shop = fleet.snapshot(), "shop-dev.workshop.example"
    secret = "db_password" if mode == "none" else "db_root_password"
    assert Remedies(snap).renew("workshop.example", shop, secret) == way
    hooked = opskit.Options(hook="mariadb:db")
    with pytest.raises(InputError):
        fleet.plan_rotate(shop, secret, hooked, snapshot=snap)
    assert fleet.plan_rotate(
        shop, secret, opskit.Options(hook="mariadb:db", deploy="services"), snapshot=snap
    )


def test_what_waits_for_a_deploy_is_deployed_though_the_settings_deploy_nothing(
    use: Use, demo_fleet: DemoFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    use(demo_fleet)
    (tmp_path / "opskit").mkdir()
    (tmp_path / "opskit" / "config.toml").write_text('deploy = "none"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    git = "git.coop.example"
    found = by_finding(opskit.Fleet.from_abra().snapshot().audit())
    remedy = found["secret-pending", git, "jwt_secret"]
    assert remedy == f"opskit app deploy {git} --with stack"
    assert run(["app", "deploy", git, "--dry-run"]) == 2
    assert "--with stack or --with abra" in capsys.readouterr().err
    assert run([*shlex.split(remedy)[1:], "--dry-run"]) == 0


def test_what_is_left_in_the_store_is_pruned_of_the_app_that_is_meant(
    embedded_stage: Stage,
) -> None:
    embedded_stage.write_files()
    embedded_stage.create("token_v1")
    two = embedded_stage.env_file.parents[1] / "two.example"
    two.mkdir()
    (two / f"{APP}.env").write_text("TYPE=shop\nSECRET_TOKEN_VERSION=v1\nSECRET_KEY_VERSION=v1\n")
    entry = f"hosts/{SERVER}/{APP}/token.previous"
    found = compare_store(
        opskit.Fleet.from_abra().snapshot(),
        frozenset({entry}),
        lambda server, app, secret: f"hosts/{server}/{app}/{secret}",
    )
    (row,) = [row for row in found.records() if row.path == entry]
    assert row.remedy == f"opskit secret prune {SERVER}/{APP} token --pass"
