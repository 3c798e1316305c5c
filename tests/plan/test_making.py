"""A value is made as the recipe's marks say, where the operator does not say otherwise."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer

import opskit
from opskit.cli.app import run
from opskit.cli.change import carry_out
from opskit.errors import InputError
from opskit.plan.options import Options
from opskit.secrets.generate import Policy
from opskit.secrets.passstore import PassStore
from opskit.widgets.session import Session
from tests.stage import APP, SERVER, Stage
from tests.waiting import eventually

Capture = pytest.CaptureFixture[str]
Mark = Callable[[str], None]
HEX, ALPHANUMERIC = "[0-9a-f]+", "[A-Za-z0-9]+"


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    """The app's files, and nothing in the swarm yet."""
    embedded_stage.write_files()
    return embedded_stage


@pytest.fixture
def mark(stage: Stage) -> Mark:
    """Write marks behind the token's version; the key's say that it comes from elsewhere."""

    def write(marks: str) -> None:
        stage.env_file.write_text(
            f"TYPE=shop\nSTACK_NAME={stage.stack}\nSECRET_TOKEN_VERSION=v1  # {marks}\n"
            "SECRET_KEY_VERSION=v1 # generate=false\n"
        )

    return write


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def opened(secret: str) -> str:
    """Read an entry with pass itself."""
    shown = ["pass", "show", f"hosts/{SERVER}/{APP}/{secret}"]
    done = subprocess.run(shown, check=True, capture_output=True, text=True)
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize(
    ("marks", "said", "length", "characters"),
    [
        ("length=128", ["--generator", "pwgen"], 128, ALPHANUMERIC),
        ("length=128", ["--charset", "hex"], 128, HEX),
        ("charset=hex", ["--length", "64"], 64, HEX),
        ("length=128 charset=hex", ["--generator", "characters"], 128, HEX),
        ("length=128 charset=hex", [], 128, HEX),
        ("length=20 charset=weird,thing", [], 20, ALPHANUMERIC),
        ("length=0", [], 32, ALPHANUMERIC),
    ],
)
def test_what_is_asked_for_alone_keeps_the_recipes_other_marks(
    stage: Stage,
    mark: Mark,
    password_store: PassStore,
    marks: str,
    said: list[str],
    length: int,
    characters: str,
) -> None:
    mark(marks)
    assert run(["secret", "generate", APP, "--all", "--pass", *said, "--yes"]) == 0
    value = opened("token")
    assert len(value) == length
    assert re.fullmatch(characters, value)
    # A hundred and more letters and digits have some that hex has not.
    assert (characters == HEX) == bool(re.fullmatch(HEX, value))


def test_a_rotation_keeps_them_too_and_its_plan_counts_their_bits(stage: Stage, mark: Mark) -> None:
    mark("length=128 charset=hex")
    stage.create("token_v1")
    plan = fleet().plan_rotate(APP, "token", Options(policy=Policy(generator="characters")))
    assert plan.changes["bits"].tolist() == [512]
    plan = fleet().plan_rotate(APP, "token", Options(policy=Policy(length=64)))
    assert plan.changes["bits"].tolist() == [256]


def test_a_generator_that_cannot_keep_a_mark_is_refused_for_the_secret_it_is_about(
    stage: Stage, mark: Mark, capsys: Capture
) -> None:
    mark("charset=hex")
    assert run(["secret", "generate", APP, "token", "--generator", "pwgen", "--yes"]) == 2
    said = capsys.readouterr().err
    assert f"{APP} token: its recipe asks for charset=hex, which pwgen cannot make" in said
    assert stage.state()["secrets"] == []


def test_a_program_decides_all_and_the_plan_says_so(stage: Stage, mark: Mark) -> None:
    mark("length=20")
    policy = Policy(generator="command", command=("printf", "made by a program"))
    (row,) = fleet().plan_generate(APP, "token", Options(policy=policy)).changes.records()
    assert row.note == "printf decides length and characters"


def test_a_value_from_elsewhere_is_not_made_up_even_when_it_is_named(
    stage: Stage, mark: Mark, capsys: Capture
) -> None:
    mark("length=20")
    for said in ([], ["--length", "40"], ["--generator", "words"], ["--command", "date"]):
        assert run(["secret", "generate", APP, "key", *said, "--yes"]) == 2
        refused = capsys.readouterr().err
        assert f"{APP} key is marked generate=false" in refused
        assert f"opskit secret insert {APP} key" in refused
    assert run(["secret", "generate", APP, "--all", "--yes"]) == 0
    assert stage.state()["secrets"] == [f"{stage.stack}_token_v1"]

    assert run(["secret", "generate", APP, "key", "--anyway", "--yes"]) == 0
    assert f"{stage.stack}_key_v1" in stage.state()["secrets"]
    # Other bits of a wish are no such word when it is rotated, either.
    assert run(["secret", "rotate", APP, "key", "--length", "40", "--yes"]) == 2
    assert "--anyway" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["no", "off", "FaLsE", ""])
def test_a_mark_of_which_nobody_knows_whether_it_is_a_no_is_one(
    stage: Stage, mark: Mark, word: str
) -> None:
    mark(f"generate={word}")
    with pytest.raises(InputError, match="marked generate=false"):
        fleet().plan_generate(APP, "token")
    (row,) = fleet().snapshot().audit().query("id == 'secret-marks'").records()
    assert row.what.startswith(f"servers/{SERVER}/{APP}.env:3: the generate of SECRET_")
    assert row.remedy == "Write generate=true or generate=false."


@pytest.mark.parametrize(
    ("marks", "remedy"),
    [("charset=weird,thing", "default, hex, safespecial, special"), ("length=0", "length=32")],
)
def test_a_mark_nobody_knows_is_a_finding_and_nothing_else_is_lost_by_it(
    stage: Stage, mark: Mark, marks: str, remedy: str
) -> None:
    mark(marks)
    (row,) = fleet().snapshot().audit().query("id == 'secret-marks'").records()
    assert (row.app, row.secret) == (APP, "token")
    assert row.what.startswith(f"servers/{SERVER}/{APP}.env:3: the {marks.partition('=')[0]} of")
    assert "weird" not in row.what
    assert remedy in row.remedy
    shown = fleet().plan_generate(APP, "token").calls["call"].tolist()
    assert not any("weird" in call for call in shown)
    assert any("32 characters" in call for call in shown)


# -- how strong a value is --------------------------------------------------------------------


def weak_plan(length: int) -> opskit.Plan:
    return fleet().plan_generate(APP, "token", Options(policy=Policy(length=length)))


def test_what_can_be_guessed_takes_a_typed_word_in_every_skin(
    stage: Stage, mark: Mark, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    mark("charset=hex")
    plan = weak_plan(15)
    sentence = "A new value has only 60 bits and can be guessed"
    found = plan.data.consequences
    assert found.confirm == APP
    assert not found.irreversible
    assert any(one.startswith(sentence) for one in found.warnings)
    assert sentence in plan._repr_mimebundle_()["text/plain"]

    def answer(text: str) -> str:
        assert text == f"Type {APP} to confirm"
        return "y"

    monkeypatch.setattr(typer, "prompt", answer)
    with pytest.raises(typer.Exit):
        carry_out(plan, dry_run=False, yes=False)
    assert sentence in capsys.readouterr().out
    assert stage.state()["secrets"] == []

    form = Session(fleet=fleet(), kind="generate", publish=lambda: None)
    form.begin()
    eventually(lambda: form.state["phase"] == "choose", "the form to be ready")
    click: dict[str, Any] = {"who": {"username": "ada"}, "tab": "1"}
    asked = {"type": "plan", "rows": [[SERVER, APP, "token"]], "options": {"length": 15}}
    form.handle(asked | click, lambda _: None)
    eventually(lambda: form.state["phase"] == "planned", "the plan")
    shown = form.state["plan"]
    assert shown["confirm"] == APP
    form.handle({"type": "apply", "digest": shown["digest"]} | click, lambda _: None)
    assert form.state["error"] == f"Type {APP} to confirm."
    assert stage.state()["secrets"] == []


def test_a_yes_that_was_given_beforehand_does_not_cover_what_can_be_guessed(
    stage: Stage, mark: Mark, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    mark("length=4 charset=hex")
    generate = ["secret", "generate", APP, "token", "--yes"]
    assert run(generate) == 2
    assert "--yes does not cover" in capsys.readouterr().err
    with pytest.raises(InputError, match="only 16 bits") as refused:
        fleet().plan_generate(APP, "token").apply()
    assert f"confirm='{APP}'" in refused.value.remedy
    assert stage.state()["secrets"] == []

    # In a terminal the word is asked for all the same.
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr(typer, "prompt", lambda text: asked.append(text) or "y")
    assert run(generate) == 1
    assert asked == [f"Type {APP} to confirm"]
    assert stage.state()["secrets"] == []

    assert run([*generate, "--anyway"]) == 0
    assert len(asked) == 1
    assert len(stage.state()["secrets"]) == 1
    rotated = fleet().plan_rotate(APP, "token", Options(deploy="none"))
    assert rotated.apply(confirm=APP).status == "done"


def test_what_is_below_the_floor_is_said_and_what_is_above_is_not(stage: Stage, mark: Mark) -> None:
    mark("charset=hex")
    found = weak_plan(16).data.consequences
    assert found.confirm == ""
    assert "Makes a value of 64 bits; 128 and more are safe." in found.impact
    assert "Restarts nothing." in found.impact
    assert "weaker than 128 bits" in weak_plan(31).changes["note"].iloc[0]

    found = weak_plan(32).data.consequences
    assert (found.warnings, found.impact) == ((), ("Restarts nothing.",))


def test_what_exists_and_comes_from_elsewhere_is_inserted_and_not_rotated(
    stage: Stage, mark: Mark
) -> None:
    mark("length=40")
    stage.create("token_v1", "key_v1")

    for secret, verb in (("token", "rotate"), ("key", "insert")):
        with pytest.raises(InputError) as refused:
            fleet().plan_generate(APP, secret)
        assert f"opskit secret {verb} {APP} {secret} (→ v2)" in str(refused.value)
