"""`opskit app new`: from a recipe to an app that deploys."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import opskit
from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.errors import InputError, LockLostError, StepError
from opskit.plan.data import PlanData
from opskit.secrets.passstore import PassStore
from opskit.steps import StepContext
from opskit.steps.env import digest, pin
from opskit.steps.newenv import CreateEnv
from tests.abra.releases import Releases
from tests.stage import APP, SERVER, Stage, staged

Capture = pytest.CaptureFixture[str]
DOMAIN = "shop.two.example"
SAMPLE = """\
TYPE=shop
# TIMEOUT=300

DOMAIN=shop.example.com
## Further names
#EXTRA_DOMAINS=', `www.shop.example.com`'
LETS_ENCRYPT_ENV=production

SECRET_TOKEN_VERSION=v1 # length=20 charset=hex
SECRET_KEY_VERSION=v1   # generate=false
"""
COMPOSE = """\
version: "3.8"
services:
  app: {image: "local/busybox:1", command: sleep 1000, secrets: [token, key]}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
  key: {external: true, name: "${STACK_NAME}_key_${SECRET_KEY_VERSION}"}
"""
WRITTEN = (
    SAMPLE.replace("TYPE=shop", "TYPE=shop:1.10.0+2").replace("shop.example.com", DOMAIN)
).encode()


@pytest.fixture
def stage(embedded_stage: Stage) -> Iterator[Stage]:
    embedded_stage.write_files()
    yield embedded_stage
    embedded_stage.stack = DOMAIN.replace(".", "_")
    embedded_stage.clean()


@pytest.fixture
def recipe(stage: Stage) -> Releases:
    """A recipe whose latest release is not what is checked out."""
    made = Releases(stage.root / "abra" / "recipes" / "shop")
    made.release("1.9.0+1", {"compose.yml": COMPOSE, ".env.sample": "TYPE=shop\n"})
    made.release("1.10.0+2", {".env.sample": SAMPLE})
    made.git("checkout", "-q", "1.9.0+1")
    return made


def place(stage: Stage) -> Path:
    return stage.env_file.with_name(f"{DOMAIN}.env")


def new(*more: str) -> int:
    return run(["app", "new", "shop", "--server", SERVER, "--domain", DOMAIN, "--yes", *more])


def test_it_is_the_sample_of_the_latest_release_with_domain_and_version_filled_in(
    stage: Stage, recipe: Releases, capsys: Capture
) -> None:
    before = recipe.state()
    assert new() == 0
    out = capsys.readouterr().out

    assert place(stage).read_bytes() == WRITTEN
    assert stat.S_IMODE(place(stage).stat().st_mode) == 0o660 & ~umask()
    assert f"wrote {place(stage)}" in out
    assert f"look it over: opskit app config {SERVER}/{DOMAIN}" in out
    assert f"still to come: token, key   (opskit secret generate|insert {SERVER}/{DOMAIN}" in out
    assert recipe.state() == before
    assert [p.name for p in place(stage).parent.iterdir() if p.suffix == ".tmp"] == []


def umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_a_version_or_the_working_tree_when_asked(stage: Stage, recipe: Releases) -> None:
    (recipe.folder / ".env.sample").write_text("TYPE=shop\nDOMAIN=\nEDITED=yes\n")
    command = ["app", "new", "shop:1.9.0+1", "--server", SERVER, "--domain", DOMAIN, "--yes"]
    assert run(command) == 0
    assert place(stage).read_text() == "TYPE=shop:1.9.0+1\n"
    place(stage).unlink()
    assert new("--chaos") == 0
    assert place(stage).read_text() == f"TYPE=shop\nDOMAIN={DOMAIN}\nEDITED=yes\n"


def test_secrets_are_generated_and_stored(
    stage: Stage, recipe: Releases, password_store: PassStore, capsys: Capture
) -> None:
    assert new("--secrets", "--pass") == 0
    out, err = capsys.readouterr()

    stack = DOMAIN.replace(".", "_")
    assert [s.spec.name for s in stage.engine.secrets() if s.spec.name.startswith(stack)] == [
        f"{stack}_token_v1"
    ]
    value = password_store.read(f"hosts/{SERVER}/{DOMAIN}/token").reveal()
    assert len(value) == 20
    assert value.decode() not in out + err
    assert "still to come: key" in out


def test_a_store_to_keep_no_secrets_in_is_refused(
    stage: Stage, recipe: Releases, capsys: Capture
) -> None:
    assert new("--pass") == 2
    assert "Add --secrets." in capsys.readouterr().err
    assert not place(stage).exists()


def test_a_deploy_without_its_secrets_names_the_command_that_makes_each(
    stage: Stage, recipe: Releases, capsys: Capture
) -> None:
    assert new() == 0
    assert run(["app", "deploy", DOMAIN, "--yes"]) == 2
    both = f"opskit secret generate {DOMAIN} --all; opskit secret insert {DOMAIN} key\n"
    assert capsys.readouterr().err.endswith(both)

    assert run(["secret", "generate", DOMAIN, "--all", "--yes"]) == 0
    assert run(["app", "deploy", DOMAIN, "--yes"]) == 2
    said = capsys.readouterr().err
    assert said.endswith(f" does not exist. opskit secret insert {DOMAIN} key\n")


def test_nothing_is_overwritten(stage: Stage, recipe: Releases, capsys: Capture) -> None:
    place(stage).write_text("mine\n")
    assert new() == 2
    assert f"{place(stage)}: this app exists already" in capsys.readouterr().err
    assert place(stage).read_text() == "mine\n"


def test_an_app_that_appears_between_plan_and_apply_is_left_alone(
    stage: Stage, recipe: Releases
) -> None:
    plan = opskit.Fleet.from_abra().plan_new("shop", server=SERVER, domain=DOMAIN)
    place(stage).write_text("theirs\n")
    with pytest.raises(opskit.OpskitError, match="exists by now"):
        plan.apply()
    assert place(stage).read_text() == "theirs\n"


def test_a_dry_run_writes_nothing_and_the_plan_holds_no_content(
    stage: Stage, recipe: Releases, capsys: Capture
) -> None:
    assert new("--dry-run") == 0
    assert not place(stage).exists()
    data: PlanData = opskit.Fleet.from_abra().plan_new("shop", server=SERVER, domain=DOMAIN).data
    assert "LETS_ENCRYPT" not in repr(data)
    assert str(place(stage)) in capsys.readouterr().out.replace("\n", "")


def test_rolling_back_removes_it_unless_it_was_edited(stage: Stage, recipe: Releases) -> None:
    fleet = opskit.Fleet.from_abra()
    made = fleet.plan_new("shop", server=SERVER, domain=DOMAIN).apply()
    assert fleet.rollback(made.id).status == "rolled-back"
    assert not place(stage).exists()
    made = fleet.plan_new("shop", server=SERVER, domain=DOMAIN).apply()
    with place(stage).open("a") as file:
        file.write("MORE=1\n")
    assert "was edited since" in fleet.rollback(made.id).errors[0]
    assert place(stage).exists()


def test_a_file_that_was_written_or_removed_as_the_lock_went_is_named(
    stage: Stage, recipe: Releases
) -> None:
    (unit,) = opskit.Fleet.from_abra().plan_new("shop", server=SERVER, domain=DOMAIN).data.units
    (step,) = (one for one in unit.steps if isinstance(one, CreateEnv))
    for act in (step.do, step.undo):
        there = place(stage).exists()

        def ask(was: bool = there) -> None:
            if place(stage).exists() != was:
                raise LockLostError("the lock is no longer this run's.")

        ctx = StepContext(engine=stage.engine, run="r", actor="kim", host="laptop", ask_lock=ask)
        with pytest.raises(LockLostError, match=f"{DOMAIN}.env was changed at that moment"):
            act(ctx)


def test_the_env_of_an_app_with_secrets_is_not_taken_away(stage: Stage, recipe: Releases) -> None:
    assert new("--secrets") == 0
    fleet = opskit.Fleet.from_abra()
    runs = fleet.journal()
    made = runs[runs["kind"] == "new"]["run"].iloc[-1]
    with pytest.raises(StepError, match="Take it down first: opskit app undeploy"):
        fleet.rollback(made)
    assert place(stage).exists()


def test_a_recipe_that_is_not_there_is_cloned_only_when_asked(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    upstream = Releases(tmp_path / "upstream" / "wiki")
    upstream.release("0.1.0+1", {"compose.yml": COMPOSE, ".env.sample": "TYPE=wiki\nDOMAIN=x.y\n"})
    config = tmp_path / "config" / "opskit"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f'recipe_url = "file://{tmp_path}/upstream/{{recipe}}"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    wiki = ["app", "new", "wiki", "--server", SERVER, "--domain", DOMAIN, "--yes"]

    assert run(wiki) == 2
    assert "the recipe wiki is not in" in capsys.readouterr().err
    assert run([*wiki, "--fetch", "--dry-run"]) == 2
    assert "--fetch, without --dry-run" in capsys.readouterr().err
    assert run([*wiki, "--fetch"]) == 0
    assert place(stage).read_text() == f"TYPE=wiki:0.1.0+1\nDOMAIN={DOMAIN}\n"

    gone = ["app", "new", "gone", "--server", SERVER, "--domain", "a.b", "--yes", "--fetch"]
    assert run(gone) == 2
    said = capsys.readouterr().err
    assert f"cannot be cloned: fatal: '{tmp_path}/upstream/gone' does not appear to be" in said
    assert not (stage.root / "abra" / "recipes" / "gone").exists()
    (config / "config.toml").write_text(f'recipe_url = "file://{tmp_path}/{{name}}"\n')
    assert run(gone) == 2
    assert f"file://{tmp_path}/{{name}} cannot be cloned" in capsys.readouterr().err
    address = "http://bot:s3cr3t@127.0.0.1:9/{recipe}"
    (config / "config.toml").write_text(f'recipe_url = "{address}"\n')
    assert run(gone) == 2
    said = capsys.readouterr().err
    assert "http://127.0.0.1:9/gone cannot be cloned: fatal: " in said
    assert "s3cr3t" not in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"server": "nowhere.example"}, "no server called 'nowhere.example'"),
        ({"server": ".."}, r"no server called '\.\.'"),
        ({"domain": "../x"}, "cannot be a domain"),
        ({"domain": "-x.example"}, "cannot be a domain"),
        ({"domain": "a b"}, "cannot be a domain"),
        ({"version": "9.9.9+9"}, r"the recipe shop has no version 9\.9\.9\+9"),
    ],
)
def test_what_will_not_do_is_said(
    stage: Stage, recipe: Releases, given: dict[str, str], message: str
) -> None:
    wish = {"server": SERVER, "domain": DOMAIN} | given
    with pytest.raises(InputError, match=message):
        opskit.Fleet.from_abra().plan_new("shop", **wish)


@pytest.mark.parametrize("scheme", ["https://", ""])
def test_a_recipe_s_name_holds_no_login_as_it_is_kept(stage: Stage, scheme: str) -> None:
    name = f"{scheme}bot:s3cr3t@git.example/wiki"
    fleet = opskit.Fleet.from_abra()
    for refused in (
        lambda: fleet.plan_new(name, server=SERVER, domain=DOMAIN),
        lambda: fleet.fetch_recipe(name),
    ):
        with pytest.raises(InputError, match=f"that of {scheme}git.example/wiki holds a login"):
            refused()
    content = stage.env_file.read_bytes().replace(b"TYPE=shop", f"TYPE={name}:1.0.0".encode())
    stage.env_file.write_bytes(content)
    with pytest.raises(InputError, match="TYPE= holds a login, which a plan would show and keep"):
        pin(stage.env_file, "2.0.0", digest(content))
    shown = fleet.apps()
    assert f"{scheme}git.example/wiki" in shown["recipe"].tolist()
    assert "s3cr3t" not in shown.to_json()


def test_two_apps_never_share_a_stack_name(stage: Stage, recipe: Releases) -> None:
    long = "a" * 50
    stage.env_file.with_name(f"{long}1.example.env").write_text("TYPE=shop\n")
    with pytest.raises(InputError, match=f"{long}1.example has the stack name {'a' * 45}"):
        opskit.Fleet.from_abra().plan_new("shop", server=SERVER, domain=f"{long}2.example")


@pytest.mark.swarm
def test_a_new_app_deploys(
    tmp_path: Path, real_fleet: DockerdFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in staged(tmp_path, real_fleet.host("srv1"), monkeypatch):
        stage.write_files()
        made = Releases(stage.root / "abra" / "recipes" / "shop")
        sample = SAMPLE.replace("# generate=false", "")
        made.release("1.0.0+1", {"compose.yml": COMPOSE, ".env.sample": sample})
        stage.env_file.unlink()
        stage.stack = APP.replace(".", "_")
        command = ["app", "new", "shop", "--server", SERVER, "--domain", APP, "--secrets", "--yes"]
        assert run(command) == 0
        assert run(["app", "deploy", APP, "--stable", "0.2", "--yes"]) == 0
        assert stage.is_converged()
