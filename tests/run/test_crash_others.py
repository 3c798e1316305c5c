"""Every other operation, killed at every point, then resumed or rolled back."""

from __future__ import annotations

import json
from typing import Any

import pytest

import opskit
from opskit.errors import StepError
from opskit.journal.runs import open_journal
from tests.run.killing import apply_in_a_process, by_day, sampled
from tests.stage import Stage

pytestmark = pytest.mark.slow

MOMENTS = {
    # begin and finish, each step's intent and outcome, the lock and its release, each secret
    # made or removed, each service switched: each has a moment before and one after.
    "generate": 2 * (2 + 2 * 4 + 2 + 2),
    "insert": 2 * (2 + 2 * 7 + 2 + 1 + 1),
    "remove": 2 * (2 + 2 * 4 + 2 + 2),
    "prune": 2 * (2 + 2 * 4 + 2 + 2),
}
CASES = [(kind, moment) for kind, last in MOMENTS.items() for moment in range(1, last + 1)]


def prepare(stage: Stage, kind: str) -> None:
    """Bring a stage to where the operation makes sense."""
    match kind:
        case "generate":
            stage.write_files()
        case "remove":
            stage.write_files()
            stage.create("token_v1", "key_v1")
        case "prune":
            stage.set_up()
            stage.create("token_v2", "token_v3")
        case _:
            stage.set_up()


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    return embedded_stage


def unbroken(before: dict[str, Any], stack: str, kind: str) -> dict[str, Any]:
    """Say what the operation, left alone, makes of a state."""
    match kind:
        case "generate":
            return before | {"secrets": [f"{stack}_key_v1", f"{stack}_token_v1"]}
        case "insert":
            text = json.dumps(before["uses"]).replace(f"{stack}_key_v1", f"{stack}_key_v2")
            return {
                "env": before["env"].replace(b"KEY_VERSION=v1", b"KEY_VERSION=v2"),
                "secrets": sorted([*before["secrets"], f"{stack}_key_v2"]),
                "uses": {
                    service: [tuple(one) for one in uses]
                    for service, uses in json.loads(text).items()
                },
                "locks": [],
            }
        case "remove":
            return before | {"secrets": []}
        case _:
            return before | {"secrets": [f"{stack}_key_v1", f"{stack}_token_v1"]}


def lost_for_good() -> set[str]:
    """Give the runs whose record says that a secret was removed."""
    with open_journal() as journal:
        steps = journal.steps_frame()
    removed = steps.query("action == 'remove-secret' and phase == 'do' and status == 'done'")
    return set(removed["run"])


def finish(stage: Stage, kind: str, moment: int, how: str) -> None:
    prepare(stage, kind)
    before = stage.state()
    after = unbroken(before, stage.stack, kind)
    assert apply_in_a_process(stage.env, kind, moment), "the run has fewer moments than believed"
    killed = stage.state()
    fleet = opskit.Fleet.from_abra()
    statuses = fleet.journal()["status"].tolist()
    if not statuses:
        assert killed == before
        return
    if statuses == ["done"]:
        assert killed == after
        return
    if how == "rollback" and fleet.journal()["run"].iloc[0] in lost_for_good():
        with pytest.raises(StepError, match="cannot be brought back"):
            fleet.rollback()
        # Nothing was changed, and it can still be finished.
        assert stage.state() == killed
        how = "resume"
    ended = fleet.resume() if how == "resume" else fleet.rollback()
    now = stage.state()
    if how == "resume" and kind == "insert" and killed["secrets"] == before["secrets"]:
        # The value died with the process: there is nothing to go on with.
        assert (ended.status, now) == ("rolled-back", before), ended.errors
        assert "insert the value again" in ended.errors[0]
    elif how == "resume":
        assert (ended.status, now) == ("done", after), ended.errors
    elif kind in ("remove", "prune") and killed["secrets"] != before["secrets"]:
        # What was removed cannot come back, and that is said; the rest stays.
        assert ended.status == "failed"
        assert "cannot be read back" in ended.errors[0]
        assert ended.ways == ("give-up",)
        assert now == killed | {"locks": []}
    else:
        assert (ended.status, now) == ("rolled-back", before), ended.errors


@pytest.mark.parametrize(("case", "how"), by_day(sampled(CASES, 0, 3), 2), ids=str)
def test_a_killed_operation_is_finished_on_the_embedded_engine(
    stage: Stage, case: tuple[str, int], how: str
) -> None:
    finish(stage, *case, how)


@pytest.mark.swarm
@pytest.mark.parametrize(("case", "how"), by_day(sampled(CASES, 4, 13), 4), ids=str)
def test_a_killed_operation_is_finished_on_a_real_swarm(
    real_stage: Stage, case: tuple[str, int], how: str
) -> None:
    finish(real_stage, *case, how)


@pytest.mark.parametrize("kind", MOMENTS)
def test_the_number_of_moments_is_the_whole_run(stage: Stage, kind: str) -> None:
    prepare(stage, kind)
    assert not apply_in_a_process(stage.env, kind, MOMENTS[kind] + 1)
