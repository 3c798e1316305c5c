"""Secrets that more than one app or stack has to do with."""

from __future__ import annotations

from dataclasses import replace

import pytest

import opskit
from opskit.errors import InputError
from opskit.secrets.value import Secret
from tests.stage import APP, QUICK, SERVER, Stage

TOKEN = (SERVER, APP, "token")


@pytest.fixture
def stage(stage: Stage) -> Stage:
    stage.set_up()
    return stage


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def add_guest(stage: Stage, stack: str) -> None:
    """Deploy a service of another stack, or of none, that uses the token too."""
    labels = {"com.docker.stack.namespace": stack} if stack else {}
    stage.deploy("guest", ["token"], Labels=labels)
    stage.wait_until_converged()


@pytest.mark.parametrize("mode", ["services", "stack"])
def test_services_of_another_stack_are_not_switched_behind_the_back_of_its_files(
    stage: Stage, mode: str
) -> None:
    add_guest(stage, f"{stage.stack}-two")
    before = stage.state()
    options = replace(QUICK, deploy=mode)
    for plan in (
        lambda: fleet().plan_rotate([TOKEN], options),
        lambda: fleet().plan_insert(APP, "token", Secret("x"), options=options),
    ):
        with pytest.raises(InputError, match=f"used by {stage.stack}_guest") as refused:
            plan()
        assert "--deploy none" in str(refused.value)
        assert f"{stage.stack}-two" in str(refused.value)
    assert fleet().plan_rotate([(SERVER, APP, "key")], options)

    # The way on that the refusal names: declare it, and deploy each from its own files.
    run = fleet().plan_rotate([TOKEN], replace(QUICK, deploy="none")).apply()
    assert run.status == "done", run.errors
    assert stage.state()["uses"] == before["uses"]
    assert b"TOKEN_VERSION='v2'" in stage.env_file.read_bytes()


def test_a_service_of_no_stack_is_switched_as_no_file_would_bring_the_old_version_back(
    stage: Stage,
) -> None:
    add_guest(stage, "")
    assert fleet().plan_rotate([TOKEN], QUICK).apply().status == "done"
    assert stage.state()["uses"]["_guest"][0][0] == f"{stage.stack}_token_v2"


def test_another_app_that_declares_the_secret_too_is_named_in_the_plan(stage: Stage) -> None:
    other = stage.env_file.with_name("other.example.env")
    other.write_bytes(stage.env_file.read_bytes())
    plan = fleet().plan_rotate([TOKEN], QUICK)

    assert plan.changes["note"].tolist() == ["other.example declares it too and keeps v1"]
    assert plan.apply().status == "done"
    assert b"TOKEN_VERSION='v1'" in other.read_bytes()


def test_two_apps_that_share_a_secret_do_not_both_make_its_next_version(stage: Stage) -> None:
    compose = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    compose.write_text(compose.read_text().replace("${STACK_NAME}_token", f"{stage.stack}_token"))
    other = stage.env_file.with_name("other.example.env")
    text = stage.env_file.read_bytes()
    other.write_bytes(text.replace(stage.stack.encode(), f"{stage.stack}-two".encode()))
    both = [TOKEN, (SERVER, "other.example", f"{stage.stack}_token")]
    with pytest.raises(InputError, match="which they share"):
        fleet().plan_rotate(both, replace(QUICK, deploy="none"))
