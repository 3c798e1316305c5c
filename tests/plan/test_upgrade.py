"""What an operator reads before an upgrade: notes, lines to add, images, configs, restarts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import opskit
from opskit.cli.app import run
from opskit.errors import InputError
from opskit.plan.data import load_plan
from opskit.widgets.session import Session
from tests.abra.releases import Releases
from tests.stage import APP, QUICK, SERVER, Stage
from tests.waiting import eventually

OLD, MIDDLE, SILENT, NEW = "9.0.0+1", "10.0.0+1", "10.0.1+1", "11.0.0+2"
HEAD = """\
version: "3.8"
services:
  app:
    image: local/busybox:1
    secrets: [token]
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""
SAMPLE = "TYPE=shop\nDOMAIN=shop.example.com\nSECRET_TOKEN_VERSION=v1\n"
MORE = "SMTP_HOST=mail.example.com\n#SMTP_PORT=25\nGREETING='good day' # shown first\n"
AFTER = HEAD.replace("busybox:1", "busybox:2").replace(
    "[token]", "[token]\n    configs: [motd]"
) + ('configs:\n  motd: {file: motd, name: "${STACK_NAME}_motd_${MOTD_VERSION}"}\n')


@pytest.fixture
def recipe(embedded_stage: Stage) -> Releases:
    """An app whose oldest release runs, and a recipe of four."""
    stage = embedded_stage
    stage.write_files()
    stage.create("token_v1")
    stage.env_file.write_text(
        f"TYPE=shop:{OLD}\nDOMAIN={APP}\nSTACK_NAME={stage.stack}\nSECRET_TOKEN_VERSION=v1\n"
    )
    stage.deploy(
        "app",
        ["token"],
        Labels={
            "com.docker.stack.namespace": stage.stack,
            f"coop-cloud.{stage.stack}.version": OLD,
        },
    )
    made = Releases(stage.root / "abra" / "recipes" / "shop")
    old_notes = {"release/9.0.0+1": "The first.\n", "release/next": "Not yet.\n"}
    made.release(OLD, {"compose.yml": HEAD, ".env.sample": SAMPLE, **old_notes})
    made.release(MIDDLE, {f"release/{MIDDLE}": "Back up\nfirst!\x1b[2J\n"})
    made.release(SILENT, {})
    after = {"compose.yml": AFTER, "motd": "hello", "abra.sh": "export MOTD_VERSION=v1\n"}
    made.release(NEW, {**after, ".env.sample": SAMPLE + MORE, f"release/{NEW}": "Needs mail.\n"})
    return made


def upgrade() -> opskit.Plan:
    return opskit.Fleet.from_abra().plan_upgrade(APP, QUICK)


NOTES = (
    f"Release notes of shop {MIDDLE}:\n    Back up\n    first!\\x1b[2J",
    f"Release notes of shop {NEW}:\n    Needs mail.",
    f"shop has no release notes of {SILENT}.",
)
LINES = (
    f"New in the sample and not in the .env, to be added where it is needed (opskit app config "
    f"{APP}):\n    SMTP_HOST=mail.example.com\n    GREETING='good day'  # shown first"
)


def test_the_notes_of_all_releases_on_the_way_and_the_lines_to_add_are_in_the_plan(
    recipe: Releases,
) -> None:
    plan = upgrade()
    assert plan.data.consequences.reading == (*NOTES, LINES)
    (change,) = plan.changes.records()
    assert plan.changes[["from", "to"]].to_numpy().tolist() == [[OLD, NEW]]
    assert change.restarts == ["app"]
    assert "app: local/busybox:1 → local/busybox:2" in change.note
    assert "configs: +" in change.note
    # They are part of what is approved, and of what the journal keeps.
    again = load_plan(msgspec.json.encode(plan.data))
    assert again.consequences.reading == plan.data.consequences.reading


def test_they_are_read_out_of_the_object_store_whatever_is_checked_out(recipe: Releases) -> None:
    recipe.git("checkout", "-q", OLD)
    (recipe.folder / "release" / NEW).write_text("not committed")
    recipe.git("rm", "-q", "--cached", "release/next")
    before = recipe.state()
    assert upgrade().data.consequences.reading == (*NOTES, LINES)
    assert recipe.state() == before


def test_a_deploy_of_one_release_on_the_way_has_its_notes_only(recipe: Releases) -> None:
    fleet = opskit.Fleet.from_abra()
    plan = fleet.plan_deploy(APP, QUICK, version=SILENT)
    assert plan.data.consequences.reading == (NOTES[0], NOTES[2])
    assert fleet.plan_deploy(APP, QUICK).data.consequences.reading == ()


def test_of_a_commit_that_is_no_release_what_it_has_is_read(recipe: Releases) -> None:
    commit = recipe.git("rev-parse", SILENT)
    plan = opskit.Fleet.from_abra().plan_deploy(APP, QUICK, version=commit)
    assert plan.data.consequences.reading == (
        NOTES[0], "Release notes of shop next:\n    Not yet.",
    )  # fmt: skip


def test_every_skin_shows_them(recipe: Releases, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["app", "upgrade", APP, "--dry-run"]) == 0
    said = capsys.readouterr().out
    shown = upgrade()._repr_mimebundle_()
    for text in (*NOTES, LINES):
        assert text in said
        assert text in shown["text/plain"]
    assert "Back up\n    first!" in shown["text/html"]

    form = Session(fleet=opskit.Fleet.from_abra(), kind="upgrade", publish=lambda: None)
    form.begin()
    eventually(lambda: form.state["phase"] == "choose", "the form to be ready")
    asked: dict[str, Any] = {"type": "plan", "rows": [[SERVER, APP, ""]], "options": {}}
    form.handle({**asked, "who": {"username": "ada"}, "tab": "1"}, lambda _: None)
    eventually(lambda: form.state["phase"] == "planned", "the plan")
    assert tuple(form.state["plan"]["reading"]) == (*NOTES, LINES)


@pytest.mark.parametrize(
    ("sample", "line"),
    [
        ("SECRET_SMTP_VERSION=v1  # length=40\n", "SECRET_SMTP_VERSION=v1  # length=40"),
        ("#SECRET_SMTP_VERSION= # length=64 charset=hex\n",
         "SECRET_SMTP_VERSION=v1  # length=64 charset=hex"),
        ("", "SECRET_SMTP_VERSION=v1"),
    ],
)  # fmt: skip
def test_a_release_that_needs_a_new_secret_says_exactly_the_line_in_error_and_form(
    recipe: Releases, capsys: pytest.CaptureFixture[str], sample: str, line: str
) -> None:
    more = '  smtp: {external: true, name: "${STACK_NAME}_smtp_${SECRET_SMTP_VERSION}"}\n'
    compose = HEAD.replace("[token]", "[token, smtp]") + more
    recipe.release("12.0.0+1", {"compose.yml": compose, ".env.sample": SAMPLE + sample})
    with pytest.raises(InputError) as refused:
        upgrade()
    said = str(refused.value)
    assert f"the secret smtp does not exist, and the .env names no version: {line}." in said
    assert f"(pin 12.0.0+1 and add {line})" in said
    assert run(["app", "upgrade", APP, "--yes"]) == 2
    assert line in capsys.readouterr().err

    form = Session(fleet=opskit.Fleet.from_abra(), kind="upgrade", publish=lambda: None)
    form.begin()
    eventually(lambda: form.state["phase"] == "choose", "the form to be ready")
    asked: dict[str, Any] = {"type": "plan", "rows": [[SERVER, APP, ""]], "options": {}}
    form.handle({**asked, "who": {"username": "ada"}, "tab": "1"}, lambda _: None)
    eventually(lambda: form.state["error"], "the refusal")
    assert f"add {line})" in form.state["error"]
