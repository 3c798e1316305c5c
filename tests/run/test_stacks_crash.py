"""Deploying, taking down and restarting, killed at any moment, end as asked or as before."""

from __future__ import annotations

from typing import Any

import pytest

import opskit
from tests.run.killing import WAYS, apply_in_a_process, by_day, sampled
from tests.run.test_stacks import NEW, OLD, deploy, pin, specs, two_releases
from tests.stage import Stage

pytestmark = [pytest.mark.swarm, pytest.mark.slow]

MOMENTS = {
    # begin and finish, each step's intent and outcome, the lock and its release, each object
    # changed or removed: each has a moment before and one after.
    "deploy": 2 * (2 + 2 * 5 + 2),
    "upgrade": 2 * (2 + 2 * 6 + 2),
    "undeploy": 2 * (2 + 2 * 5 + 2 + 5),
    "restart": 2 * (2 + 2 * 5 + 2 + 2),
}
ALL = [(kind, moment) for kind, last in MOMENTS.items() for moment in range(1, last + 1)]
CLOSE = [
    # How a pin and a deploy depend on each other matters most while the one is made,
    *((("upgrade", moment), WAYS[moment % 2]) for moment in range(10, 21)),
    # and what deploys again meets networks that are on their way out.
    *((("undeploy", moment), "rollback") for moment in range(24, 27)),
]
CASES = list(dict.fromkeys([*sampled(ALL, 2, 13), *CLOSE]))


@pytest.fixture
def stage(real_stage: Stage) -> Stage:
    two_releases(real_stage)
    assert deploy().status == "done"
    return real_stage


def told(stage: Stage) -> dict[str, Any]:
    """Say what runs, by what matters."""
    return {
        name: (
            spec["Labels"].get(f"coop-cloud.{stage.stack}.version"),
            spec["TaskTemplate"].get("ForceUpdate", 0),
            [secret["SecretName"] for secret in spec["TaskTemplate"]["ContainerSpec"].get(
                "Secrets", [])],
        )
        for name, spec in specs(stage).items()
    }  # fmt: skip


def unbroken(stage: Stage, before: dict[str, Any], kind: str) -> dict[str, Any]:
    match kind:
        case "undeploy":
            return {}
        case "restart":
            return {name: (version, 1, used) for name, (version, _, used) in before.items()}
        case _:
            return {
                name: (NEW if version else version, count, used)
                for name, (version, count, used) in before.items()
            }


@pytest.mark.parametrize(("case", "how"), by_day(CASES, 6), ids=str)
def test_a_killed_operation_is_finished_or_taken_back(
    stage: Stage, case: tuple[str, int], how: str
) -> None:
    kind, moment = case
    if kind == "deploy":
        pin(stage, NEW)
    pinned, before = stage.env_file.read_bytes(), told(stage)
    after = unbroken(stage, before, kind)
    assert apply_in_a_process(stage.env, kind, moment), "the run has fewer moments than believed"
    fleet = opskit.Fleet.from_abra()
    _, *statuses = fleet.journal()["status"].tolist()
    if not statuses:
        assert told(stage) == before
        return
    if statuses == ["done"]:
        assert told(stage) == after
        return
    assert statuses == ["crashed"]
    ended = fleet.resume() if how == "resume" else fleet.rollback()
    now = told(stage)
    if kind == "undeploy" and how == "rollback":
        # It is deployed again, from the files as they are.
        assert (ended.status, now.keys()) == ("rolled-back", before.keys()), ended.errors
    elif kind == "restart" and how == "rollback":
        assert ended.status == "rolled-back", ended.errors
        assert now.keys() == before.keys()
    else:
        wanted = ("done", after) if how == "resume" else ("rolled-back", before)
        assert (ended.status, now) == wanted, ended.errors
    if kind == "upgrade" and how == "resume":
        pinned = pinned.replace(OLD.encode(), NEW.encode())
    assert stage.env_file.read_bytes() == pinned
    assert [c for c in stage.engine.configs() if "opskit_lock" in c.spec.name] == []
    stage.wait_until_converged()


@pytest.mark.nightly
@pytest.mark.parametrize("kind", MOMENTS)
def test_the_number_of_moments_is_the_whole_run(stage: Stage, kind: str) -> None:
    if kind == "deploy":
        pin(stage, NEW)
    assert not apply_in_a_process(stage.env, kind, MOMENTS[kind] + 1)
