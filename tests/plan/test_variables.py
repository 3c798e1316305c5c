"""A variable that names more than one secret's version is not changed for one secret alone."""

from __future__ import annotations

import pytest

import opskit
from opskit.cli.app import run
from opskit.errors import InputError
from opskit.widgets.choices import app_choices
from opskit.widgets.kinds import FORMS
from tests.stage import APP, QUICK, SERVER, Stage

COMPOSE = """\
version: "3.8"
services: {app: {image: x, secrets: [api, mail, alone]}}
secrets:
  api: {external: true, name: "${STACK_NAME}_api_${V}"}
  mail: {external: true, name: "${STACK_NAME}_mail_${V}"}
  alone: {external: true, name: "${STACK_NAME}_alone_${W}"}
"""
ENV = "TYPE=shop\nSTACK_NAME={stack}\nV=v1 # length=40\nW=v1\n"


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    """Two secrets of one variable, and one that has its own."""
    embedded_stage.write_files()
    write(embedded_stage)
    embedded_stage.create("api_v1", "mail_v1", "alone_v1")
    return embedded_stage


def write(stage: Stage, more: str = "", marks: str = "") -> None:
    stage.env_file.write_text(ENV.format(stack=stage.stack).replace("# ", f"# {marks} "))
    recipe = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    recipe.write_text(COMPOSE + more)


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def obstacles(kind: str) -> dict[str, str]:
    (app, *_) = app_choices(fleet().snapshot(), FORMS[kind])
    return {secret["name"]: secret["obstacle"] for secret in app["secrets"]}


def test_an_inserted_value_is_pointed_to_inserting_and_never_to_making_one_up(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    def remedy(**marks: str) -> str:
        write(stage, **marks)
        with pytest.raises(InputError, match=r"V of .* gives the version of mail too") as refused:
            fleet().plan_insert(APP, "api", opskit.Secret("x"))
        return refused.value.remedy

    config = f"Name the next version of all, V, with opskit app config {APP}; then "
    insert = f"opskit secret insert {APP}"
    assert remedy().startswith(f"{config}opskit secret generate {APP} mail; {insert} api; then ")
    assert remedy(marks="generate=false").startswith(f"{config}{insert} api; {insert} mail; then ")

    tied = {"api": "V gives the version of mail too.", "mail": "V gives the version of api too."}
    assert obstacles("insert") == {**tied, "alone": ""}
    write(stage)
    assert obstacles("rotate") == {"api": "", "mail": "", "alone": ""}
    assert fleet().plan_rotate(APP, ["api", "mail"], QUICK).changes["to"].tolist() == ["v2", "v2"]

    # At a declared version that is absent no other changes.
    stage.env_file.write_text(stage.env_file.read_text().replace("V=v1", "V=v2"))
    assert obstacles("insert") == {"api": "", "mail": "", "alone": ""}
    assert fleet().plan_insert(APP, "api", opskit.Secret("x")).changes["to"].tolist() == ["v2"]


def test_what_else_the_variable_names_is_told_by_the_plan_and_the_forms(
    stage: Stage,
) -> None:
    network = 'networks: {front: {name: "front_${V}"}, back: {name: "back-${W}"}}\n'
    write(stage, network)
    for names in (["api", "mail"], ["alone"]):
        with pytest.raises(InputError, match=r"[VW] of .* names the network (front|back) too"):
            fleet().plan_rotate(APP, names)
    with pytest.raises(InputError, match=r"W of .* names the network back too"):
        fleet().plan_insert(APP, "alone", opskit.Secret("x"))
    front = "V names the network front too."
    told = {"api": front, "mail": front, "alone": "W names the network back too."}
    assert obstacles("insert") == told
    assert obstacles("rotate") == told


def test_every_remedy_names_the_app_with_its_server_where_two_have_its_name(stage: Stage) -> None:
    other = stage.env_file.parent.parent / "two.example"
    other.mkdir()
    (other / stage.env_file.name).write_text("TYPE=shop\nSTACK_NAME=other\nV=v1\nW=v1\n")
    name = f"{SERVER}/{APP}"
    with pytest.raises(InputError) as refused:
        fleet().plan_rotate(name, "api")
    assert f"opskit secret rotate {name} api mail" in refused.value.remedy
    with pytest.raises(InputError) as refused:
        fleet().plan_insert(name, "api", opskit.Secret("x"))
    assert f"opskit secret insert {name} api" in refused.value.remedy
    with pytest.raises(InputError) as refused:
        fleet().plan_generate(name, "alone")
    assert f"opskit secret rotate {name} alone" in refused.value.remedy
    for plan in (fleet().plan_restart, fleet().plan_undeploy, fleet().plan_upgrade):
        with pytest.raises(InputError) as refused:
            plan(name)
        assert f"opskit app deploy {name}" in refused.value.remedy
    assert run(["app", "logs", name]) == 2
