"""Rotations with the password store, killed at any moment: swarm and store stay in step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.secrets.passstore import PassStore
from tests.operations.killing import apply_in_a_process, sampled
from tests.operations.stage import Stage, staged

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(tmp_path: Path, embedded_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for made in staged(tmp_path, embedded_host, monkeypatch):
        made.set_up()
        yield made


@pytest.fixture
def real_stage(
    tmp_path: Path, real_fleet: DockerdFleet, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    for made in staged(tmp_path, real_fleet.host("srv1"), monkeypatch):
        made.set_up()
        yield made


# As a rotation of one service, and two more steps with three writes to the store.
WITH_PASS = 2 * (2 + 2 * 9 + 4 + 3)


def test_the_moments_of_a_rotation_with_the_store_are_the_whole_run(
    stage: Stage, password_store: PassStore
) -> None:
    assert not apply_in_a_process(stage.env, "rotate with pass", WITH_PASS + 1)


def finish_with_pass(stage: Stage, store: PassStore, moment: int, how: str) -> None:
    before = stage.state()
    assert apply_in_a_process(stage.env, "rotate with pass", moment)
    fleet = opskit.Fleet.from_abra()
    if fleet.journal()["status"].tolist() != ["crashed"]:
        return
    ended = fleet.resume() if how == "resume" else fleet.rollback()
    now = stage.state()
    entries = [path for path in store.entries() if "key" in path]
    if ended.status == "done":
        assert now["secrets"] == sorted([*before["secrets"], f"{stage.stack}_key_v2"])
        assert [path for path in entries if path.endswith("/key")], entries
    else:
        assert (ended.status, now, entries) == ("rolled-back", before, []), ended.errors
    assert not [path for path in entries if path.endswith(".next")]


@pytest.mark.parametrize(("moment", "how"), sampled(range(1, WITH_PASS + 1), 0, 3))
def test_a_killed_rotation_leaves_swarm_and_password_store_in_step(
    stage: Stage, password_store: PassStore, moment: int, how: str
) -> None:
    finish_with_pass(stage, password_store, moment, how)


@pytest.mark.swarm
@pytest.mark.parametrize(("moment", "how"), sampled(range(1, WITH_PASS + 1), 10, 13))
def test_a_real_swarm_and_the_password_store_stay_in_step(
    real_stage: Stage, password_store: PassStore, moment: int, how: str
) -> None:
    finish_with_pass(real_stage, password_store, moment, how)
