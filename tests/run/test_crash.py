"""Killed at every point of a run, then resumed or rolled back: the end is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.cli.app import run as run_cli
from opskit.errors import InputError, LockHeldError
from tests.run.killing import apply_in_a_process, by_day, sampled
from tests.stage import APP, QUICK, SERVER, Stage
from tests.waiting import LIMIT

pytestmark = pytest.mark.slow

# begin and finish, 8 steps with intent and outcome, lock, secret, two services, unlock: each
# has a moment before and one after.
MOMENTS = 2 * (2 + 2 * 8 + 5)


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    embedded_stage.set_up()
    return embedded_stage


@pytest.fixture
def real_stage(real_stage: Stage) -> Stage:
    real_stage.set_up()
    return real_stage


def kill_at(stage: Stage, moment: int) -> bool:
    """Rotate in a process of its own that is killed at a moment; tell whether it was."""
    return apply_in_a_process(stage.env, "rotate", moment)


def rotated(before: dict[str, Any], stack: str) -> dict[str, Any]:
    """Say what an unbroken rotation would have made of this state."""
    old, new = f"{stack}_token_v1", f"{stack}_token_v2"
    return {
        "env": before["env"].replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v2'"),
        "secrets": sorted([*before["secrets"], new]),
        "uses": {
            service: sorted((new if name == old else name, *rest) for name, *rest in uses)
            for service, uses in before["uses"].items()
        },
        "locks": [],
    }


def finish(stage: Stage, moment: int, how: str) -> None:
    before = stage.state()
    after = rotated(before, stage.stack)
    assert kill_at(stage, moment), "the run has fewer moments than the test believes"
    fleet = opskit.Fleet.from_abra()
    runs = fleet.journal()
    if runs.empty:
        # Killed before the run was opened: nothing has happened, and nothing is to be done.
        assert stage.state() == before
        return
    if runs["status"].tolist() == ["done"]:
        assert stage.state() == after
        return
    assert runs["status"].tolist() == ["crashed"]
    if how == "resume":
        ended = fleet.resume()
        assert (ended.status, stage.state()) == ("done", after), ended.errors
    else:
        ended = fleet.rollback()
        assert (ended.status, stage.state()) == ("rolled-back", before), ended.errors
    stage.wait_until_converged()


@pytest.mark.parametrize(("moment", "how"), by_day(sampled(range(1, MOMENTS + 1)), 2))
def test_a_killed_rotation_is_finished_on_the_embedded_engine(
    stage: Stage, moment: int, how: str
) -> None:
    finish(stage, moment, how)


@pytest.mark.swarm
@pytest.mark.parametrize(("moment", "how"), by_day(sampled(range(1, MOMENTS + 1), 1, 5), 4))
def test_a_killed_rotation_is_finished_on_a_real_swarm(
    real_stage: Stage, moment: int, how: str
) -> None:
    finish(real_stage, moment, how)


def test_the_number_of_moments_is_the_whole_run(stage: Stage) -> None:
    assert not kill_at(stage, MOMENTS + 1)


def test_a_run_that_is_alive_is_not_taken_over(stage: Stage) -> None:
    from opskit.journal.runs import new_run_id, open_journal
    from opskit.run.apply import Runner

    plan = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], QUICK)
    with open_journal() as journal:
        runner = Runner(data=plan.data, journal=journal, run=new_run_id())
        refused: list[LockHeldError] = []

        def meanwhile(_: object) -> None:
            if not refused:
                with pytest.raises(LockHeldError) as held:
                    opskit.Fleet.from_abra().resume(runner.run)
                refused.append(held.value)

        runner.on_progress = meanwhile
        assert runner.start() == "done"
    assert runner.run in str(refused[0])


def test_a_run_that_is_given_up_stands_in_nobodys_way(stage: Stage) -> None:
    assert kill_at(stage, 30)
    fleet = opskit.Fleet.from_abra()
    run = fleet.journal().iloc[-1]["run"]
    before = stage.state()
    assert run_cli(["give-up", run]) == 0
    assert stage.state() == before
    assert fleet.journal().iloc[-1]["status"] == "given-up"
    with pytest.raises(InputError, match="no unfinished run"):
        fleet.rollback()
    assert run_cli(["give-up", run]) == 2
    assert fleet.rollback(run).status == "rolled-back"


def read_until_asked(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    said = ""
    while "[y/N]" not in said:
        letter = process.stdout.read(1)
        assert letter, said
        said += letter


@pytest.mark.parametrize("engine", ["embedded", pytest.param("dockerd", marks=pytest.mark.swarm)])
def test_of_two_operators_at_once_exactly_one_wins(
    request: pytest.FixtureRequest, engine: str, tmp_path: Path
) -> None:
    stage: Stage = request.getfixturevalue("stage" if engine == "embedded" else "real_stage")
    before = stage.state()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "opskit", "secret", "rotate", APP, "token", "--stable", "3"],
            env={**os.environ, **stage.env, "OPSKIT_STATE_DIR": str(tmp_path / who)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in ("alice", "bob")
    ]
    # Both have planned before either applies: else the later one might rotate once more.
    for process in processes:
        read_until_asked(process)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("y\n")
        process.stdin.flush()
    ended = [(process.communicate(timeout=LIMIT), process.returncode) for process in processes]

    assert sorted(status for _, status in ended) == [0, 1], ended
    ((_, complaint),) = [text for text, status in ended if status == 1]
    assert "locked by" in complaint or "nothing was changed" in complaint
    assert stage.state() == rotated(before, stage.stack)
