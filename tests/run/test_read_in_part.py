"""A file that was read in part decides nothing and is not written, whatever is planned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit.errors import InputError, StepError
from opskit.views.frame import View
from tests.stage import APP, COMPOSE, QUICK, SERVER, Stage

CONFLICT = (
    "TYPE=shop\nSTACK_NAME={stack}\n<<<<<<< HEAD\nSECRET_TOKEN_VERSION=v1\n=======\n"
    "SECRET_TOKEN_VERSION=v2\n>>>>>>> 1a2b3c4 (rotate token v2)\nSECRET_KEY_VERSION=v1\n"
)
UNCLOSED = (
    "TYPE=shop\nSTACK_NAME={stack}\nSECRET_TOKEN_VERSION=v1\nSECRET_KEY_VERSION=v1\nMOTTO='never\n"
)
IN_PART = {
    "conflict": (CONFLICT, "file-conflict", "high", "a merge conflict was left here, lines 3 to 7"),
    "git-crypt": ("\0GITCRYPT\0\x01\n=\n", "file-locked", "high", "locked by git-crypt"),
    "vault": (
        "$ANSIBLE_VAULT;1.1;AES256\n" + "6162\n" * 12, "file-locked", "high",
        "the file is locked by ansible-vault",
    ),
    "sops": (
        "TYPE=ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]\nsops_version=3.9\n",
        "file-locked", "high", "the file is locked by sops",
    ),
    "unclosed": (UNCLOSED, "file-unreadable", "medium", "the quote that opens this value is never"),
}  # fmt: skip
PLANS: dict[str, Callable[[opskit.Fleet], object]] = {
    "rotate": lambda fleet: fleet.plan_rotate(APP, "token", QUICK),
    "generate": lambda fleet: fleet.plan_generate(APP, "token"),
    "insert": lambda fleet: fleet.plan_insert(APP, "token", opskit.Secret("x")),
    "insert at a version": lambda fleet: fleet.plan_insert(
        APP, "token", opskit.Secret("x"), version="v9"
    ),
    "restore": lambda fleet: fleet.plan_restore([(SERVER, APP, "token")], from_pass=False),
    "remove": lambda fleet: fleet.plan_remove(APP, "token"),
    "prune": lambda fleet: fleet.plan_prune([(SERVER, APP, "token")]),
    "deploy": lambda fleet: fleet.plan_deploy(APP, QUICK),
    "deploy at a version": lambda fleet: fleet.plan_deploy(APP, QUICK, version="1.0.0+1"),
    "upgrade": lambda fleet: fleet.plan_upgrade(APP),
    "undeploy": lambda fleet: fleet.plan_undeploy(APP),
    "restart": lambda fleet: fleet.plan_restart(APP),
    "config": lambda fleet: fleet.plan_config(
        APP, Path(fleet.app(APP).env_file).read_bytes() + b"A=1\n"
    ),
}


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


@pytest.fixture(params=IN_PART)
def in_part(request: pytest.FixtureRequest, embedded_stage: Stage) -> tuple[Stage, str]:
    embedded_stage.set_up()
    text = IN_PART[request.param][0].format(stack=embedded_stage.stack)
    embedded_stage.env_file.write_bytes(text.encode())
    return embedded_stage, request.param


def of_stack(stage: Stage, view: View) -> View:
    return view.keep(view["swarm_name"].str.startswith(stage.stack))


@pytest.mark.parametrize("plan", PLANS)
def test_no_plan_goes_by_it_or_writes_to_it(in_part: tuple[Stage, str], plan: str) -> None:
    stage, kind = in_part
    before = stage.state()
    with pytest.raises(InputError) as refused:
        PLANS[plan](fleet())

    assert IN_PART[kind][3] in str(refused.value)
    assert refused.value.path == stage.env_file
    assert refused.value.remedy
    assert stage.state() == before


@pytest.mark.parametrize(
    "look",
    [lambda fleet: fleet.ps(APP), lambda fleet: fleet.logs(APP, ["app"])],
    ids=["ps", "logs"],
)
def test_what_runs_is_read_by_the_name_that_is_known_and_never_said_not_to_run(
    in_part: tuple[Stage, str], look: Callable[[opskit.Fleet], View]
) -> None:
    stage, kind = in_part
    if f"STACK_NAME={stage.stack}" in stage.env_file.read_text(errors="replace"):
        look(fleet())
        stage.env_file.write_text(stage.env_file.read_text().replace(stage.stack, "another"))
    with pytest.raises(InputError) as refused:
        look(fleet())
    assert IN_PART[kind][3] in str(refused.value)
    assert refused.value.path == stage.env_file


def test_one_finding_tells_and_no_advice_rests_on_it(in_part: tuple[Stage, str]) -> None:
    stage, kind = in_part
    _, ident, severity, what = IN_PART[kind]
    snap = fleet().snapshot()
    findings = snap.audit()
    about = list(findings.records((findings["app"] == APP).fillna(value=False)))

    assert [(row.id, row.severity) for row in about if row.id.startswith("file-")] == [
        (ident, severity)
    ]
    assert what in next(row.what for row in about if row.id == ident)
    assert not [row for row in findings.records() if str(row.id).startswith("secret-")
                and stage.stack in row.what]  # fmt: skip
    states = of_stack(stage, snap.secrets)["state"].tolist()
    assert set(states) == {"unknown"}


def test_what_it_may_declare_is_removed_by_nobody_and_the_plan_says_why(
    in_part: tuple[Stage, str],
) -> None:
    stage, _ = in_part
    stage.create("token_v0", "other_v1")
    rows = of_stack(stage, fleet().snapshot().secrets)
    free = rows.keep(rows["used_by"].str.len() == 0)
    free = free.keep(~free["declared"].astype(bool))
    assert {"other_v1", "token_v0"} == set(free["swarm_name"].str.removeprefix(f"{stage.stack}_"))

    with pytest.raises(InputError, match=r"there is nothing to remove: .*_v\d on one\.example: "):
        fleet().plan_remove(free)
    with pytest.raises(InputError, match="there is nothing to prune"):
        fleet().plan_prune(keep=0)


def test_a_quote_is_closed_by_an_edit_but_none_that_leaves_it_open_is_written(
    embedded_stage: Stage,
) -> None:
    stage = embedded_stage
    stage.set_up()
    stage.env_file.write_text(UNCLOSED.format(stack=stage.stack))
    content = stage.env_file.read_bytes()
    with pytest.raises(InputError, match="is never closed"):
        fleet().plan_config(APP, content + b"A=1\n")
    mended = content.replace(b"'never", b"'never'")
    assert fleet().plan_config(APP, mended).apply().status == "done"
    assert stage.env_file.read_bytes() == mended
    assert fleet().plan_rotate(APP, "token", QUICK).changes["to"].tolist() == ["v2"]


def test_what_became_a_conflict_after_a_run_is_not_written_by_its_undoing(
    embedded_stage: Stage,
) -> None:
    stage = embedded_stage
    stage.set_up()
    run = fleet().plan_rotate(APP, "token", QUICK).apply()
    assert run.status == "done", run.errors
    stage.env_file.write_text(CONFLICT.format(stack=stage.stack))
    content = stage.env_file.read_bytes()
    with pytest.raises(StepError, match=r"nothing was changed: .*:3: a merge conflict was left"):
        fleet().rollback(run.id)
    assert stage.env_file.read_bytes() == content


MARKS = "SECRET_TOKEN_VERSION=v1 # generate=false\n"
HALVES = "<<<<<<< HEAD\n{}=======\n{}>>>>>>> 1a2b3c4\n"
OF_THE_RECIPE = {
    "a merge conflict in a compose file": (
        "compose.yml", COMPOSE.replace("services:\n", HALVES.format("services:\n", "services:\n")),
        "lines 2 to 6", "file-conflict",
    ),
    "a compose file that is locked": ("compose.yml", "\0GITCRYPT\0", "git-crypt", "file-locked"),
    "a compose file that is no YAML": ("compose.yml", COMPOSE + "[", "YAML", "file-unreadable"),
    "a merge conflict in the sample, whose marks are not known": (
        ".env.sample", "TYPE=shop\n" + HALVES.format(MARKS, "SECRET_TOKEN_VERSION=v1\n"),
        "lines 2 to 6", "file-conflict",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_THE_RECIPE)
def test_no_value_is_given_by_a_recipe_that_was_read_in_part(
    embedded_stage: Stage, name: str
) -> None:
    file, text, what, check = OF_THE_RECIPE[name]
    embedded_stage.set_up()
    (embedded_stage.root / "abra" / "recipes" / "shop" / file).write_text(text)
    before = embedded_stage.state()

    for plan in ("rotate", "insert", "insert at a version"):
        with pytest.raises(InputError, match="nothing is planned by it, as") as refused:
            PLANS[plan](fleet())
        assert what in str(refused.value)
    embedded_stage.env_file.write_bytes(
        embedded_stage.env_file.read_bytes().replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v2'")
    )
    with pytest.raises(InputError, match="nothing is planned by it, as"):
        PLANS["generate"](fleet())

    found = fleet().snapshot().audit()
    assert found["id"].tolist().count(check) == 1
    assert embedded_stage.state()["secrets"] == before["secrets"]
