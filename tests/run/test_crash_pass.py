"""Rotations with the password store, killed at any moment: swarm and store stay in step."""

from __future__ import annotations

import pytest

import opskit
from opskit.secrets.passstore import PassStore
from tests.run.killing import apply_in_a_process, by_day, sampled
from tests.stage import Stage

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    embedded_stage.set_up()
    return embedded_stage


@pytest.fixture
def real_stage(real_stage: Stage) -> Stage:
    real_stage.set_up()
    return real_stage


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


@pytest.mark.parametrize(("moment", "how"), by_day(sampled(range(1, WITH_PASS + 1), 0, 3), 2))
def test_a_killed_rotation_leaves_swarm_and_password_store_in_step(
    stage: Stage, password_store: PassStore, moment: int, how: str
) -> None:
    finish_with_pass(stage, password_store, moment, how)


@pytest.mark.swarm
@pytest.mark.parametrize(("moment", "how"), by_day(sampled(range(1, WITH_PASS + 1), 10, 13), 4))
def test_a_real_swarm_and_the_password_store_stay_in_step(
    real_stage: Stage, password_store: PassStore, moment: int, how: str
) -> None:
    finish_with_pass(real_stage, password_store, moment, how)
