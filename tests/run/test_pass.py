"""The password store kept in step with the swarm, through success, failure and undoing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import opskit
from opskit.cli.app import run as run_cli
from opskit.demo.engine.life import FAILS_WITH
from opskit.errors import InputError
from opskit.plan.options import Options
from opskit.run.work import Progressed
from opskit.secrets.passstore import PassStore
from opskit.secrets.value import Secret
from tests.stage import APP, BAD, QUICK, SERVER, Stage, staged

pytestmark = pytest.mark.slow

ENTRY = f"hosts/{SERVER}/{APP}/token"
OPTIONS = replace(QUICK, use_pass=True)
OLD = Secret("the old value, as it stands in the store")


@pytest.fixture
def stage(
    tmp_path: Path,
    embedded_host: str,
    monkeypatch: pytest.MonkeyPatch,
    password_store: PassStore,
) -> Iterator[Stage]:
    password_store.store(ENTRY, OLD)
    yield from staged(tmp_path, embedded_host, monkeypatch)


def plan(options: Options = OPTIONS) -> opskit.Plan:
    return opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], options)


def test_the_new_value_takes_the_old_ones_place(stage: Stage, password_store: PassStore) -> None:
    stage.set_up()
    run = plan().apply()

    assert run.status == "done", run.errors
    assert password_store.read(ENTRY) != OLD
    assert len(password_store.read(ENTRY).reveal()) == 40
    assert password_store.read(f"{ENTRY}.previous") == OLD
    assert password_store.entries() == {ENTRY, f"{ENTRY}.previous"}


def test_rolling_back_restores_the_entry(stage: Stage, password_store: PassStore) -> None:
    stage.set_up()
    run = plan().apply()
    assert opskit.Fleet.from_abra().rollback(run.id).status == "rolled-back"

    assert password_store.read(ENTRY) == OLD
    assert password_store.entries() == {ENTRY}


def test_a_value_that_does_not_work_never_takes_the_place(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up(fails=True)
    run = plan(replace(OPTIONS, policy=BAD)).apply()

    assert run.status == "rolled-back", run.errors
    assert password_store.read(ENTRY) == OLD
    assert password_store.entries() == {ENTRY}


def test_a_store_that_fails_before_anything_else_leaves_the_swarm_alone(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    before = stage.state()
    ready = plan()
    (Path(os.environ["PASSWORD_STORE_DIR"]) / ".gpg-id").write_text("nobody@nowhere.example\n")
    run = ready.apply()

    assert run.status in ("rolled-back", "failed")
    assert "pass insert" in run.errors[0]
    assert stage.state() == before


def test_a_store_that_cannot_take_the_value_is_refused_at_planning(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    (Path(os.environ["PASSWORD_STORE_DIR"]) / ".gpg-id").unlink()

    with pytest.raises(InputError, match=r"never initialised.*pass init YOUR-KEY"):
        plan()


def test_an_entry_stays_as_it_is_where_somebody_took_the_staged_one_away(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    assert plan().apply().status == "done"
    in_use = password_store.read(ENTRY)

    def take_away(step: Progressed) -> None:
        if (step.action, step.phase, step.status) == ("promote-password", "do", "running"):
            password_store.remove(f"{ENTRY}.next")

    run = plan().apply(on_progress=take_away)

    assert run.status == "rolled-back", run.errors
    assert f"{ENTRY}.next is gone from the password store" in run.errors[0]
    assert password_store.read(ENTRY) == in_use
    assert password_store.read(f"{ENTRY}.previous") == OLD
    assert password_store.entries() == {ENTRY, f"{ENTRY}.previous"}
    assert b"TOKEN_VERSION='v2'" in stage.env_file.read_bytes()


def test_an_entry_is_never_lost_though_a_later_run_went_back(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    fleet = opskit.Fleet.from_abra()
    first = plan().apply()
    raw = stage.engine.raw_service(f"{stage.stack}_app")
    raw.spec["Labels"][FAILS_WITH] = f"{stage.stack}_token_v3"
    stage.put("app", raw.spec)
    assert plan(replace(OPTIONS, policy=BAD)).apply().status == "rolled-back"

    assert fleet.rollback(first.id).status == "rolled-back"
    assert password_store.read(ENTRY) == OLD
    assert password_store.entries() == {ENTRY}


def test_a_value_before_the_last_is_not_kept_and_that_is_said(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    fleet = opskit.Fleet.from_abra()
    first, second = plan().apply(), plan().apply()
    assert fleet.rollback(second.id).status == "rolled-back"
    between = password_store.read(ENTRY)
    ended = fleet.rollback(first.id)

    assert ended.status == "failed"
    assert "still the newer value" in ended.errors[0]
    assert password_store.read(ENTRY) == between
    assert stage.state()["secrets"] == [f"{stage.stack}_key_v1", f"{stage.stack}_token_v1"]


def test_what_was_not_in_the_store_is_not_there_after_the_undoing(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    password_store.remove(ENTRY)
    password_store.store(f"{ENTRY}.previous", OLD)
    run = plan().apply()
    assert opskit.Fleet.from_abra().rollback(run.id).status == "rolled-back"
    assert password_store.entries() == frozenset()


def test_the_same_value_again_can_be_taken_back(stage: Stage, password_store: PassStore) -> None:
    stage.set_up()
    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_insert(APP, "token", Secret(OLD.reveal()), options=OPTIONS).apply()
    assert fleet.rollback(run.id).status == "rolled-back"
    assert password_store.read(ENTRY) == OLD


def test_what_another_run_left_is_not_taken_for_a_new_value(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    left = Secret("left by a run that was given up")
    password_store.store(f"{ENTRY}.next", left)
    assert plan().apply().status == "done"
    assert password_store.read(ENTRY) != left


def test_a_store_that_fails_after_the_switch_undoes_it(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    before = stage.state()
    folder = Path(os.environ["PASSWORD_STORE_DIR"])
    keys = (folder / ".gpg-id").read_text()

    def lose_the_key(step: Progressed) -> None:
        if step.status == "running":
            forward = step.phase == "do" and step.action == "promote-password"
            (folder / ".gpg-id").write_text("nobody@nowhere.example\n" if forward else keys)

    run = plan().apply(on_progress=lose_the_key)

    assert run.status == "rolled-back", run.errors
    assert "promote" not in run.errors[0]
    assert "pass insert" in run.errors[0]
    assert stage.state() == before
    assert password_store.read(ENTRY) == OLD
    assert password_store.entries() == {ENTRY}


def test_a_push_that_fails_is_noted_once_whatever_a_run_writes_and_when_it_is_undone(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    subprocess.run(["pass", "git", "init"], check=True, capture_output=True)
    hook = Path(os.environ["PASSWORD_STORE_DIR"]) / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ngit push origin HEAD\n")
    hook.chmod(0o700)
    run = plan().apply()
    undone = opskit.Fleet.from_abra().rollback(run.id)

    assert (run.status, undone.status) == ("done", "rolled-back")
    for one in (run, undone):
        assert " ".join(one.notes).count("'origin' does not appear to be a git repository") == 1


# -- what was left beside an entry ------------------------------------------------------------

PREVIOUS = f"{ENTRY}.previous"


def listed_by_pass() -> set[str]:
    """List the entries of the store by plain file reading."""
    folder = Path(os.environ["PASSWORD_STORE_DIR"])
    return {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.gpg")}


def compared() -> dict[str, tuple[str, str]]:
    fleet = opskit.Fleet.from_abra()
    rows = fleet.compare_pass(fleet.snapshot()).records()
    return {row.path: (row.where, str(row.remedy)) for row in rows}


def rotated_and_redeployed(stage: Stage) -> None:
    """Rotate the token, and update its services once more, so that no previous spec needs it."""
    stage.set_up()
    assert plan().apply().status == "done"
    for service in ("app", "worker"):
        stage.touch(service)
    stage.wait_until_converged()


def test_the_value_before_is_kept_as_long_as_its_version_is(
    stage: Stage, password_store: PassStore, capsys: pytest.CaptureFixture[str]
) -> None:
    rotated_and_redeployed(stage)
    assert compared()[PREVIOUS] == ("both", "<NA>")
    assert run_cli(["secret", "prune", APP, "--pass", "--yes"]) == 2
    assert "--keep" in capsys.readouterr().err
    assert PREVIOUS in listed_by_pass()


def test_pruning_takes_the_value_before_out_of_the_store_and_names_it(
    stage: Stage, password_store: PassStore
) -> None:
    rotated_and_redeployed(stage)
    pruning = opskit.Fleet.from_abra().plan_prune(APP, keep=0, options=OPTIONS)
    assert f"pass rm {PREVIOUS}" in pruning.calls["call"].tolist()
    assert any(PREVIOUS in str(note) for note in pruning.changes["note"])
    assert pruning.data.consequences.confirm == APP
    assert any("password store go" in one for one in pruning.data.consequences.warnings)
    run = pruning.apply()

    assert run.status == "done", run.errors
    assert listed_by_pass() == {ENTRY}
    assert f"{stage.stack}_token_v1" not in stage.state()["secrets"]


def test_a_value_that_an_earlier_prune_left_behind_goes_with_the_next_and_is_listed_till_then(
    stage: Stage, password_store: PassStore
) -> None:
    rotated_and_redeployed(stage)
    fleet = opskit.Fleet.from_abra()
    assert fleet.plan_prune(APP, keep=0).apply().status == "done"
    assert PREVIOUS in listed_by_pass()

    where, remedy = compared()[PREVIOUS]
    assert (where, remedy) == (
        "only in the store", f"opskit secret prune {APP} token --pass"
    )  # fmt: skip
    assert run_cli([*remedy.split()[1:], "--yes"]) == 0
    assert listed_by_pass() == {ENTRY}


def test_a_value_before_that_services_still_use_stays_in_the_store(
    stage: Stage, password_store: PassStore
) -> None:
    stage.set_up()
    assert plan(replace(OPTIONS, deploy="none")).apply().status == "done"
    with pytest.raises(InputError, match="nothing to prune"):
        opskit.Fleet.from_abra().plan_prune(APP, keep=0, options=OPTIONS)
    assert compared()[PREVIOUS][0] == "both"


def test_removing_a_secret_takes_all_its_values_out_of_the_store(
    stage: Stage, password_store: PassStore
) -> None:
    rotated_and_redeployed(stage)
    password_store.store(f"{ENTRY}.next", Secret("left by a run that was given up"))
    other = f"hosts/{SERVER}/{APP}/token-of-another"
    password_store.store(other, Secret("somebody else's"))
    assert compared()[f"{ENTRY}.next"][0] == "only in the store"
    for service in stage.services():
        stage.engine.remove_service(service.id)
    removal = opskit.Fleet.from_abra().plan_remove(APP, "token", OPTIONS)
    noted = " ".join(str(note) for note in removal.changes["note"])
    for entry in (ENTRY, PREVIOUS, f"{ENTRY}.next"):
        assert f"pass rm {entry}" in removal.calls["call"].tolist()
        assert entry in noted
    run = removal.apply()

    assert run.status == "done", run.errors
    assert listed_by_pass() == {other}
    assert stage.state()["secrets"] == [f"{stage.stack}_key_v1"]


def test_a_value_before_that_nothing_needs_is_a_finding_until_its_remedy_took_it(
    stage: Stage, password_store: PassStore, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.set_up()
    fleet = opskit.Fleet.from_abra()
    assert plan().apply().status == "done"

    def found(*, with_pass: bool = True) -> list[tuple[str, str, dict[str, str]]]:
        findings = fleet.snapshot(with_pass=with_pass).audit().query("id == 'pass-previous'")
        return [(row.secret, row.remedy, row.plan) for row in findings.itertuples()]

    # A version in the swarm has it still.
    assert found() == []
    stage.touch("app")
    stage.touch("worker")
    assert fleet.plan_prune(APP, keep=0).apply().status == "done"
    assert found(with_pass=False) == []
    command = f"opskit secret prune {APP} token --pass"
    data = {"plan": "prune", "app": f"{SERVER}/{APP}", "secret": "token", "pass": "yes"}
    assert found() == [("token", command, data)]
    assert run_cli(["audit", "--pass"]) == 1
    assert "pass-previous" in capsys.readouterr().out

    assert run_cli([*command.split()[1:], "--yes"]) == 0
    assert password_store.entries() == {ENTRY}
    assert found() == []
    assert run_cli(["snapshot", str(stage.root / "now.opskit")]) == 0
    assert run_cli(["audit", "--pass", "--snapshot", str(stage.root / "now.opskit")]) == 2
