"""What of many rows cannot be changed is named at once, by why, and can be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import opskit
from opskit.cli.app import run
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.plan.obstacles import ObstaclesError
from tests.stage import APP, QUICK, SERVER, Stage

COOP = "server == 'coop.example' and state == 'current'"
TRAEFIK = "traefik.coop.example"


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoFleet]:
    """A fleet that is only planned on."""
    with DemoFleet() as fleet:
        yield fleet


@pytest.fixture
def fleet(demo: DemoFleet, use: Callable[[DemoFleet], Path]) -> opskit.Fleet:
    use(demo)
    return opskit.Fleet.from_abra()


@pytest.mark.slow
def test_every_row_that_cannot_be_rotated_is_named_once_by_why(fleet: opskit.Fleet) -> None:
    rows = fleet.snapshot().secrets.query(COOP)
    given = rows.query("not generate")
    stored = rows.query("generate and secret.str.contains('db_(?:root_)?pass')", engine="python")
    with pytest.raises(ObstaclesError) as refused:
        fleet.plan_rotate(rows)
    first, *lines = str(refused.value).splitlines()

    assert first == f"{len(given) + len(stored)} of {len(rows)} secrets cannot be rotated:"
    by_why = {why: names for line in lines if line.startswith("- ")
              for names, _, why in [line[2:].partition(": ")]}  # fmt: skip
    for named, why in ((given, "marked generate=false"), (stored, "a database keeps the old one")):
        (names,) = [names for key, names in by_why.items() if key.startswith(why)]
        wanted = [f"{row.app} {row.secret}" for row in named.itertuples()]
        assert sorted(names.split(", ")) == sorted(wanted)
    assert len(by_why) == 2
    assert "--skip" in str(refused.value)


def test_they_are_left_out_when_asked_and_the_plan_names_them(fleet: opskit.Fleet) -> None:
    rows = fleet.snapshot().secrets.query(COOP)
    with pytest.raises(ObstaclesError) as refused:
        fleet.plan_rotate(rows)
    plan = fleet.plan_rotate(rows, skip=True)
    left_out = {one.name for one in refused.value.obstacles}
    changed = {f"{row.app} {row.secret}" for row in plan.changes.itertuples()}

    assert changed == {f"{row.app} {row.secret}" for row in rows.itertuples()} - left_out
    assert {" ".join(one.split()[:2]) for one in plan.data.left_alone} == left_out
    assert plan.digest == fleet.plan_rotate(rows[~rows["secret"].isin(
        {name.split()[1] for name in left_out})]).digest  # fmt: skip


def test_an_undeployed_app_does_not_refuse_the_others(fleet: opskit.Fleet) -> None:
    here, down = "notes.coop.example", "notes.garden.example"
    rows = fleet.snapshot().secrets.query("secret == 'session' and app in [@here, @down]")
    plan = fleet.plan_rotate(rows)
    assert plan.changes["app"].tolist() == [here]
    (left_alone,) = plan.data.left_alone
    assert left_alone.startswith(f"{down} session on garden.example: not in the swarm")
    # Asked for alone, it is refused, and says what helps.
    with pytest.raises(InputError, match=f"opskit secret generate {down} session"):
        fleet.plan_rotate(down, "session")


def test_orphans_and_servers_that_cannot_be_read_are_among_them(fleet: opskit.Fleet) -> None:
    rows = fleet.snapshot().secrets.query(
        "secret in ['macaroon', 'turn', 'admin_password'] and server != 'coop.example'"
    )
    with pytest.raises(ObstaclesError) as refused:
        fleet.plan_rotate(rows)
    why = {one.name: one.why for one in refused.value.obstacles}
    assert "worker" in why["cloud.library.example admin_password"]
    assert "turn" in why["matrix.mutual.example turn"]
    plan = fleet.plan_rotate(rows, skip=True)
    assert set(plan.changes["server"]) == {"mutual.example"}


def test_with_nothing_left_it_is_refused_whether_or_not_it_is_to_be_skipped(
    fleet: opskit.Fleet,
) -> None:
    for skip in (False, True):
        with pytest.raises(InputError, match="3 of 3 secrets cannot be rotated"):
            fleet.plan_rotate(
                fleet.snapshot().secrets.query("app == @TRAEFIK and declared"), skip=skip
            )


def test_removing_names_all_that_are_in_use(fleet: opskit.Fleet) -> None:
    app = "cloud.coop.example"
    with pytest.raises(ObstaclesError, match="secrets cannot be removed") as refused:
        fleet.plan_remove(app, [secret.name for secret in fleet.app(app).secrets])
    assert len(refused.value.obstacles) == len(fleet.app(app).secrets)


def test_generating_all_makes_what_may_be_made_and_names_the_rest(
    fleet: opskit.Fleet,
) -> None:
    with pytest.raises(InputError, match=r"insert matrix\.mutual\.example keycloak_client_secret"):
        fleet.plan_generate("matrix.mutual.example")


def test_on_real_engines_a_secret_that_is_in_the_way_leaves_the_other_to_be_rotated(
    stage: Stage,
) -> None:
    stage.set_up()
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(
        text.replace(b"SECRET_KEY_VERSION=v1", b"SECRET_KEY_VERSION=v1  # generate=false")
    )
    fleet = opskit.Fleet.from_abra()
    rows = [(SERVER, APP, "token"), (SERVER, APP, "key")]
    with pytest.raises(ObstaclesError, match="generate=false"):
        fleet.plan_rotate(rows, QUICK)
    ended = fleet.plan_rotate(rows, None, QUICK, skip=True).apply()
    assert ended.status == "done", ended.errors
    uses = {name for used in stage.state()["uses"].values() for name, *_ in used}
    assert uses == {f"{stage.stack}_token_v2", f"{stage.stack}_key_v1"}


LONG = "n" * 60
OTHER, SHARED = "other.example", "common_shared"


@pytest.fixture
def absent(embedded_stage: Stage) -> Stage:
    """Two apps whose secrets are all absent: one of a long name, one that both declare."""
    embedded_stage.write_files()
    recipe = embedded_stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    more = (
        f'  {LONG}: {{external: true, name: "${{STACK_NAME}}_{LONG}_${{SECRET_LONG}}"}}\n'
        '  shared: {external: true, name: "common_shared_${SECRET_SHARED}"}\n'
    )
    text = recipe.read_text().replace("[token, key]", f"[token, key, {LONG}, shared]")
    recipe.write_text(text + more)
    versions = "".join(f"SECRET_{name}=v1\n" for name in ("TOKEN_VERSION", "KEY_VERSION",
                                                          "LONG", "SHARED"))  # fmt: skip
    for app, stack in ((APP, embedded_stage.stack), (OTHER, f"{embedded_stage.stack}-two")):
        path = embedded_stage.env_file.with_name(f"{app}.env")
        path.write_text(f"TYPE=shop\nSTACK_NAME={stack}\n{versions}")
    return embedded_stage


def restored(rows: list[tuple[str, str, str]], *, skip: bool) -> opskit.Plan:
    return opskit.Fleet.from_abra().plan_restore(rows, from_pass=False, skip=skip)


def test_what_cannot_be_made_again_for_its_name_or_its_owners_leaves_the_rest(
    absent: Stage,
) -> None:
    names = ("token", "key", LONG, SHARED)
    rows = [(SERVER, app, name) for app in (APP, OTHER) for name in names]
    with pytest.raises(ObstaclesError) as refused:
        restored(rows, skip=False)
    in_the_way = {f"{app} {name}" for app in (APP, OTHER) for name in (LONG, SHARED)}
    assert {one.name for one in refused.value.obstacles} == in_the_way
    assert str(refused.value).startswith("4 of 8 secrets cannot be restored:")
    assert "more than the 64 characters that Swarm allows" in str(refused.value)
    assert f"{APP} and {OTHER} would each make {SHARED}_v1" in str(refused.value)

    plan = restored(rows, skip=True)
    assert sorted(zip(plan.changes["app"], plan.changes["secret"], strict=True)) == sorted(
        (app, name) for app in (APP, OTHER) for name in ("token", "key")
    )
    assert {" ".join(one.split()[:2]) for one in plan.data.left_alone} == in_the_way
    # Of one app alone, what both declare is made for both.
    made = restored([(SERVER, APP, SHARED), (SERVER, APP, "token")], skip=False).changes
    assert sorted(made["secret"]) == [SHARED, "token"]


def test_a_row_that_nobody_declares_does_not_refuse_what_can_be_made_again(absent: Stage) -> None:
    rows = [(SERVER, APP, "token"), (SERVER, APP, "no-such"), (SERVER, "", "orphan")]
    with pytest.raises(ObstaclesError, match="2 of 3 secrets cannot be restored"):
        restored(rows, skip=False)
    assert restored(rows, skip=True).changes["secret"].tolist() == ["token"]
    # What exists is no obstacle, and does not count.
    absent.create("token_v1")
    rows = [(SERVER, APP, "token"), (SERVER, APP, "key"), (SERVER, APP, LONG)]
    with pytest.raises(ObstaclesError, match="Swarm allows 64"):
        restored(rows, skip=False)
    assert restored(rows, skip=True).changes["secret"].tolist() == ["key"]


def test_generating_all_of_an_app_names_what_has_too_long_a_name(absent: Stage) -> None:
    fleet = opskit.Fleet.from_abra()
    plan = fleet.plan_generate(APP)
    assert sorted(plan.changes["secret"]) == [SHARED, "key", "token"]
    (left_alone,) = plan.data.left_alone
    assert left_alone.startswith(f"{APP} {LONG} on {SERVER}: its name would have more than the 64")
    chosen = ["token", LONG]
    with pytest.raises(ObstaclesError, match="and Swarm allows 64"):
        fleet.plan_generate(APP, chosen)
    assert fleet.plan_generate(APP, chosen, skip=True).changes["secret"].tolist() == ["token"]


def test_secrets_of_one_variable_stay_together_when_one_of_them_is_in_the_way(
    stage: Stage,
) -> None:
    stage.set_up()
    recipe = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    shared = recipe.read_text().replace("SECRET_KEY_VERSION", "SECRET_TOKEN_VERSION")
    more = '  more: {external: true, name: "${STACK_NAME}_more_${SECRET_MORE}"}\n'
    recipe.write_text(shared.replace("[token, key]", "[token, key, more]") + more)
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text + b"\r\nSECRET_MORE=v1")
    stage.create("more_v1")
    fleet = opskit.Fleet.from_abra()
    rows = [(SERVER, APP, name) for name in ("token", "more", "key")]
    made = fleet.plan_rotate(rows, QUICK).changes
    assert sorted(zip(made["secret"], made["to"], strict=True)) == [
        ("key", "v2"), ("more", "v2"), ("token", "v2"),
    ]  # fmt: skip

    stage.engine.create_secret(f"{stage.stack}_key_v2", b"x", {})
    made = fleet.plan_rotate(rows, QUICK).changes
    assert sorted(zip(made["secret"], made["to"], strict=True)) == [
        ("key", "v3"), ("more", "v2"), ("token", "v3"),
    ]  # fmt: skip
    with pytest.raises(ObstaclesError) as refused:
        fleet.plan_rotate(rows[:2], QUICK)
    assert [one.name for one in refused.value.obstacles] == [f"{APP} token"]
    assert fleet.plan_rotate(rows[:2], None, QUICK, skip=True).changes["secret"].tolist() == [
        "more"
    ]


@pytest.mark.slow
def test_the_command_line_leaves_out_and_points_to_rotate(
    fleet: opskit.Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rotate", "--where", COOP, "--dry-run"]) == 2
    assert "--skip" in capsys.readouterr().err
    assert run(["rotate", "--where", COOP, "--skip", "--dry-run"]) == 0
    assert "stays: " in capsys.readouterr().out
    # abra takes a version there.
    assert run(["secret", "generate", "id.coop.example", "admin_password", "v2", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "opskit secret rotate id.coop.example admin_password" in said


@pytest.mark.slow
def test_a_file_name_that_cannot_be_shown_is_one_finding_and_the_one_reason_for_every_plan(
    use: Callable[[DemoFleet], Path],
) -> None:
    with DemoFleet() as demo:
        use(demo)
        folder = Path(demo.env["ABRA_DIR"]) / "servers" / "garden.example"
        text = (folder / "notes.garden.example.env").read_text()
        (folder / "odd\x1b[31m.garden.example.env").write_text(text.replace("notes.", "odd."))
        fleet = opskit.Fleet.from_abra()
        snap = fleet.snapshot()
        (app,) = (name for name in snap.apps["app"] if name.startswith("odd"))
        why = "the file's name has characters that cannot be shown"
        (said,) = snap.audit().query("app == @app and id == 'file-unreadable'")["what"]
        assert why in said
        for plan in (fleet.plan_generate, fleet.plan_deploy, fleet.plan_undeploy,
                     fleet.plan_restart):  # fmt: skip
            with pytest.raises(InputError, match=f"{why}. Rename it"):
                plan(app)
