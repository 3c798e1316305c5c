"""The orchestrator, where the contract tests on real engines cannot look closely."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from opskit.demo.engine import Swarm
from opskit.demo.engine.life import FAILS_WITH, Pace
from opskit.demo.engine.rollout import Orchestrator
from opskit.demo.engine.services import Service
from tests.waiting import eventually_async

FAST = Pace(start=0.003, stop=0.001, scale=0.001)


def spec(replicas: int = 1, *, args: str = "sleep", **more: Any) -> dict[str, Any]:
    template = {"ContainerSpec": {"Image": "nginx:1", "Args": [args]}}
    template |= more.pop("task", {})
    mode = {"Replicated": {"Replicas": replicas}}
    return {"Name": "web", "TaskTemplate": template, "Mode": mode, **more}


async def until(done: Callable[[], Any]) -> None:
    await eventually_async(done, "the swarm to come so far")


async def settled(swarm: Swarm) -> None:
    """Wait until the orchestrator does nothing more, and only waits for its tasks' ends."""
    orchestrator = swarm.services.listener
    assert isinstance(orchestrator, Orchestrator)
    await until(lambda: not orchestrator._background)


@asynccontextmanager
async def running(swarm: Swarm) -> AsyncIterator[Service]:
    """Run a swarm that has one service."""
    orchestrator = Orchestrator(swarm, FAST)
    (service,) = swarm.services
    yield service
    await orchestrator.close()


def states(swarm: Swarm, service: Service) -> list[str]:
    return [task.status.state for task in swarm.services.tasks_of(service.id)]


def update(swarm: Swarm, body: dict[str, Any]) -> None:
    service = swarm.services.find("web")
    swarm.services.update("web", service.version.index, body)


def args(service: Service) -> str:
    return json.loads(bytes(service.spec))["TaskTemplate"]["ContainerSpec"]["Args"][0]


def test_what_was_seeded_as_not_converged_is_brought_up() -> None:
    async def go() -> None:
        swarm = Swarm()
        swarm.add_service(spec(2), converged=False)
        async with running(swarm) as service:
            await until(lambda: states(swarm, service) == ["running", "running"])
            assert service.update_status is None

    asyncio.run(go())


def test_a_newer_update_takes_over_from_one_that_hangs() -> None:
    async def go() -> None:
        swarm = Swarm()
        swarm.add_service(spec())
        async with running(swarm) as service:
            nowhere = {"Placement": {"Constraints": ["node.hostname==nobody"]}}
            update(swarm, spec(task=nowhere))
            await until(
                lambda: "no suitable node" in swarm.services.tasks_of(service.id)[0].status.err
            )
            assert service.update_status is not None
            assert service.update_status.state == "updating"
            update(swarm, spec(args="other"))
            await until(
                lambda: service.update_status and service.update_status.state == "completed"
            )
            assert states(swarm, service).count("running") == 1

    asyncio.run(go())


def test_the_same_update_again_at_any_moment_still_converges() -> None:
    async def go() -> None:
        for moment in range(12):
            swarm = Swarm()
            swarm.add_service(spec())
            async with running(swarm) as service:
                update(swarm, spec(args="other"))
                # A moment of the engine's own quick time.
                await asyncio.sleep(moment * 0.0005)
                update(swarm, spec(args="other"))
                await until(
                    lambda now=swarm, one=service: (
                        sorted(states(now, one)) == ["running", "shutdown"]
                    )
                )

    asyncio.run(go())


def test_a_service_removed_in_the_middle_leaves_nothing() -> None:
    async def go() -> None:
        swarm = Swarm()
        swarm.add_service(spec(3))
        async with running(swarm) as service:
            update(swarm, spec(3, args="other"))
            await until(lambda: "shutdown" in states(swarm, service))
            swarm.services.remove("web")
            await settled(swarm)
            assert len(swarm.services.tasks) == 0
            assert swarm.services.get(service.id) is None

    asyncio.run(go())


def test_scaling_to_nothing_forgets_the_tasks_and_is_no_rollout() -> None:
    async def go() -> None:
        swarm = Swarm()
        swarm.add_service(spec(3))
        async with running(swarm) as service:
            update(swarm, spec(0))
            await until(lambda: states(swarm, service) == [])
            assert service.update_status is None

    asyncio.run(go())


def test_at_most_five_tasks_of_a_place_are_remembered() -> None:
    async def go() -> None:
        swarm = Swarm()
        swarm.add_service(spec())
        async with running(swarm) as service:
            for number in range(8):
                update(swarm, spec(args=f"run{number}"))
                await until(
                    lambda: service.update_status and service.update_status.state == "completed"
                )
            assert states(swarm, service) == ["running", *["shutdown"] * 4]

    asyncio.run(go())


@pytest.mark.parametrize(
    ("policy", "tasks"),
    [
        ({"Condition": "none"}, 1),
        ({"Condition": "any", "MaxAttempts": 2, "Delay": 1_000_000}, 3),
    ],
)
def test_a_restart_policy_has_its_limits(policy: dict[str, Any], tasks: int) -> None:
    async def go() -> None:
        swarm = Swarm()
        swarm.add_service(spec(args="false", task={"RestartPolicy": policy}), converged=False)
        async with running(swarm) as service:
            await until(lambda: states(swarm, service).count("failed") == tasks)
            await settled(swarm)
            assert states(swarm, service) == ["failed"] * tasks

    asyncio.run(go())


def test_what_ends_well_is_not_restarted_on_failure_only() -> None:
    async def go() -> None:
        swarm = Swarm()
        policy = {"RestartPolicy": {"Condition": "on-failure"}}
        swarm.add_service(spec(args="true", task=policy), converged=False)
        async with running(swarm) as service:
            await until(lambda: states(swarm, service) == ["complete"])
            await settled(swarm)
            assert states(swarm, service) == ["complete"]

    asyncio.run(go())


def using(ids: dict[str, str], name: str) -> dict[str, Any]:
    """Make a spec that mounts a secret, fails with its second version, and then rolls back."""
    secret = {"SecretID": ids[name], "SecretName": name, "File": {"Name": "pw"}}
    body = spec(Labels={FAILS_WITH: "web_pw_v2"}, UpdateConfig={"FailureAction": "rollback"})
    body["TaskTemplate"]["ContainerSpec"]["Secrets"] = [secret]
    return body


def test_a_rollback_to_a_removed_secret_pauses() -> None:
    async def go() -> None:
        swarm = Swarm()
        ids = {name: swarm.secrets.seed(name).id for name in ("web_pw_v1", "web_pw_v2")}
        swarm.add_service(using(ids, "web_pw_v1"))
        async with running(swarm) as service:
            update(swarm, using(ids, "web_pw_v2"))
            swarm.secrets.remove("web_pw_v1")
            await until(
                lambda: service.update_status and service.update_status.state == "rollback_paused"
            )
            errors = [task.status.err for task in swarm.services.tasks_of(service.id)]
            assert any("unable to get secret from secret store" in text for text in errors)

    asyncio.run(go())


def test_one_bad_version_of_a_secret_rolls_back_to_the_good_one() -> None:
    async def go() -> None:
        swarm = Swarm()
        ids = {name: swarm.secrets.seed(name).id for name in ("web_pw_v1", "web_pw_v2")}

        swarm.add_service(using(ids, "web_pw_v1"))
        async with running(swarm) as service:
            update(swarm, using(ids, "web_pw_v2"))
            await until(
                lambda: (
                    service.update_status and service.update_status.state == "rollback_completed"
                )
            )
            assert swarm.services.users("secret", ids["web_pw_v1"]) == ["web"]
            assert service.previous_spec is None
            assert states(swarm, service).count("running") == 1

    asyncio.run(go())


def test_the_index_moves_when_a_rollout_writes_how_it_stands() -> None:
    async def go() -> None:
        swarm = Swarm()
        swarm.add_service(spec())
        async with running(swarm) as service:
            update(swarm, spec(args="other"))
            begun = service.version.index
            await until(lambda: service.update_status and service.update_status.completed_at)
            assert service.version.index > begun

    asyncio.run(go())


def test_a_start_first_update_keeps_the_old_task_until_the_new_one_runs() -> None:
    async def go() -> None:
        swarm = Swarm()
        body = spec(UpdateConfig={"Order": "start-first"})
        swarm.add_service(body)
        async with running(swarm) as service:
            lowest = 1

            def is_over() -> bool:
                nonlocal lowest
                lowest = min(lowest, states(swarm, service).count("running"))
                return service.update_status is not None and (
                    service.update_status.state == "completed"
                )

            update(swarm, body | {"TaskTemplate": spec(args="other")["TaskTemplate"]})
            await until(is_over)
            assert lowest == 1
            assert args(service) == "other"

    asyncio.run(go())


def test_a_place_wanted_again_while_it_is_vacated_is_kept() -> None:
    async def go() -> None:
        swarm = Swarm()
        swarm.add_service(spec(2))
        async with running(swarm) as service:
            update(swarm, spec(0))
            update(swarm, spec(2))
            await until(lambda: states(swarm, service).count("running") == 2)
            await settled(swarm)
            await until(lambda: states(swarm, service).count("running") == 2)
            assert {t.slot for t in swarm.services.tasks_of(service.id)} == {1, 2}

    asyncio.run(go())
