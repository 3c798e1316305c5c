"""The password store kept in step with the swarm, through success, failure and undoing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import opskit
from opskit.operations.options import Options
from opskit.secrets.passstore import PassStore
from opskit.secrets.value import Secret
from tests.operations.stage import APP, BAD, QUICK, SERVER, Stage, staged

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
