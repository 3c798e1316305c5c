"""The same updates to both engines: how a rollout ends must agree, whatever the spec asks."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from opskit.demo.dockerd import DockerdFleet
from tests.contract.talk import Talk, filters
from tests.waiting import eventually

pytestmark = [pytest.mark.swarm, pytest.mark.slow]

Json = dict[str, Any]
_MONITOR = {"Parallelism": 1, "Monitor": 800_000_000}
_WATCHED_LONG = {"Parallelism": 1, "Monitor": 4_000_000_000}
_UNTIL_IT_FAILS = {"Parallelism": 1, "Monitor": 60_000_000_000}
"""However busy the machine is, a real engine hears of the failure while it watches."""
_ENDED = ("completed", "paused", "rollback_completed", "rollback_paused")
_CRASH: Json = {"Args": ["false"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One service, one update of it, and what to wait for."""

    after: Json = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    task: Json = field(default_factory=dict)
    restart: Json = field(default_factory=lambda: {"Condition": "any", "Delay": 100_000_000})
    races: bool = False
    """Whether a real engine's account of the end depends on what it sees to first."""
    mode: Json = field(default_factory=lambda: {"Replicated": {"Replicas": 1}})
    until: str = ""
    """A text among the tasks' errors to wait for, instead of the rollout's end."""
    uses_secret: bool = False
    """Whether the spec before mounts a secret that is removed while the update goes on."""


def _on(action: str, **more: Any) -> Json:
    return _UNTIL_IT_FAILS | {"FailureAction": action} | more


UPDATES: dict[str, Update] = {
    "completes": Update(after={"Env": ["a=b"]}),
    "completes start-first": Update(after={"Env": ["a=b"]}, config={"Order": "start-first"}),
    "completes two at a time": Update(
        after={"Env": ["a=b"]}, config={"Parallelism": 2}, mode={"Replicated": {"Replicas": 3}}
    ),
    "completes all at once": Update(
        after={"Env": ["a=b"]}, config={"Parallelism": 0}, mode={"Replicated": {"Replicas": 2}}
    ),
    "completes on every node": Update(after={"Env": ["a=b"]}, mode={"Global": {}}),
    "crash pauses": Update(after=_CRASH, config=_on("pause")),
    "crash rolls back": Update(after=_CRASH, config=_on("rollback")),
    "crash rolls back start-first": Update(
        after=_CRASH, config=_on("rollback", Order="start-first")
    ),
    "crash rolls back on every node": Update(
        after=_CRASH, config=_on("rollback"), mode={"Global": {}}
    ),
    "crash goes on": Update(after=_CRASH, config=_on("continue", **_MONITOR)),
    "crash of few is borne": Update(
        after=_CRASH, config=_on("pause", MaxFailureRatio=1.0, Monitor=300_000_000)
    ),
    "missing image pauses": Update(after={"Image": "local/missing:1"}, config=_on("pause")),
    "missing image rolls back": Update(after={"Image": "local/missing:1"}, config=_on("rollback")),
    "unhealthy rolls back": Update(
        after={
            "Healthcheck": {
                "Test": ["CMD-SHELL", "false"],
                "Interval": 200_000_000,
                "Timeout": 1_000_000_000,
                "Retries": 2,
            }
        },
        config=_on("rollback"),
    ),
    "no node fits": Update(
        after={},
        task={"Placement": {"Constraints": ["node.hostname==nobody"]}},
        config=_on("rollback"),
        until="no suitable node",
    ),
    # A rollback takes over unwatched, and calls done, what a restart was already about to start.
    "rollback finds its secret removed": Update(
        after=_CRASH,
        config=_on("rollback"),
        restart={"Condition": "any", "Delay": 30_000_000_000},
        until="secret store",
        uses_secret=True,
        races=True,
    ),
}


def run(talk: Talk, short: str, update: Update) -> Json:
    """Create a service, update it, and give what is left in the end."""
    path = f"/services/{talk.name(short)}"
    more = {
        "Mode": update.mode,
        "UpdateConfig": _MONITOR | update.config,
        "RollbackConfig": _WATCHED_LONG,
    }
    before: Json = {}
    if update.uses_secret:
        secret = talk.secret(short)
        before["Secrets"] = [talk.reference(secret, short)]
    restart = {"RestartPolicy": update.restart}
    talk.ask("POST", "/services/create", talk.spec(short, before, task=restart, **more))
    wanted = update.mode.get("Replicated", {}).get("Replicas", 1)
    eventually(lambda: _running(talk, short), f"{wanted} running", lambda seen: len(seen) == wanted)
    after = talk.spec(short, update.after, task=update.task | restart, **more)
    talk.update(path, after)
    if update.uses_secret:
        # It is in use again when the rollback was quicker; then the update begins anew.
        while talk.ask("DELETE", f"/secrets/{secret}")[0] != 204:
            talk.update(path, after)
    if update.until:
        eventually(
            lambda: _errors(talk, short), update.until, lambda seen: update.until in "".join(seen)
        )
    else:
        eventually(
            lambda: _service(talk, short).get("UpdateStatus", {}).get("State"),
            "the update to end",
            _ENDED.__contains__,
        )
    service = _service(talk, short)
    status = service["UpdateStatus"]
    arguments = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Args"]
    if "completed" in status["State"] and arguments != _CRASH["Args"] and not update.races:
        eventually(
            lambda: _running(talk, short), f"{wanted} running", lambda seen: len(seen) == wanted
        )
    if arguments == _CRASH["Args"]:
        # On a busy machine the rollout may end before the task does.
        eventually(lambda: _errors(talk, short), "an error")
    told = {
        "state": status["State"],
        "message": _anonymous(status["Message"]),
        "completed": "CompletedAt" in status,
    }
    return ({} if update.races else told) | {
        "args": arguments,
        "can roll back": "PreviousSpec" in service,
        "running": sorted(_running(talk, short)),
        "errors": sorted({_anonymous(text) for text in _errors(talk, short)}),
    }


Outcomes = dict[str, dict[str, Future[Json]]]


@pytest.fixture(scope="module")
def outcomes(real_fleet: DockerdFleet, embedded_host: str) -> Iterator[Outcomes]:
    """Run every update on both engines, many at once, since a real one takes seconds each.

    No name is the beginning of another, as each removes what begins with its own.
    """
    prefix = f"r{secrets.token_hex(3)}"
    hosts = {"embedded": embedded_host, "dockerd": real_fleet.host("srv2")}

    def one(engine: str, number: int, name: str) -> Json:
        with Talk(hosts[engine], f"{prefix}{number:02}") as talk:
            return run(talk, "w", UPDATES[name])

    with ThreadPoolExecutor(6) as threads:
        yield {
            engine: {
                name: threads.submit(one, engine, number, name)
                for number, name in enumerate(UPDATES)
            }
            for engine in hosts
        }


@pytest.mark.parametrize("name", UPDATES)
def test_a_rollout_ends_alike(name: str, outcomes: Outcomes) -> None:
    assert outcomes["embedded"][name].result() == outcomes["dockerd"][name].result()


def _service(talk: Talk, short: str) -> Json:
    return talk.ask("GET", f"/services/{talk.name(short)}")[1]


def _tasks(talk: Talk, short: str) -> list[Json]:
    return talk.ask("GET", "/tasks" + filters(service=[talk.name(short)]))[1]


def _running(talk: Talk, short: str) -> list[int]:
    return [
        task.get("Slot", 0)
        for task in _tasks(talk, short)
        if task["Status"]["State"] == task["DesiredState"] == "running"
        and task["Spec"]["ContainerSpec"].get("Args") != _CRASH["Args"]
    ]


def _errors(talk: Talk, short: str) -> list[str]:
    return [task["Status"]["Err"] for task in _tasks(talk, short) if task["Status"].get("Err")]


def _anonymous(text: str) -> str:
    return re.sub(r"\b[0-9a-z]{25}\b", "<id>", text)


_JOBS: dict[str, Json] = {
    "one": {"ReplicatedJob": {}},
    "three, one after another": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 3}},
    "on every node": {"GlobalJob": {}},
}


def run_job(talk: Talk, short: str, mode: Json, args: list[str]) -> Json:
    """Create a job, change its spec and then only a label, and give what is left of each."""
    path = f"/services/{talk.name(short)}"
    found: list[Json] = []
    # A job may have no word on updates.
    for number, more in enumerate(({}, {"Env": ["a=b"]}, {"Env": ["a=b"]})):
        spec = talk.spec(short, {"Args": args, **more}, Mode=mode, Labels={"n": str(number)})
        if number:
            talk.update(path, spec)
        else:
            talk.ask("POST", "/services/create", spec)
        ends = "complete" if args == ["true"] else "running"
        states = eventually(
            lambda number=number: _job_states(talk, short, number),
            f"the job to be {ends}, and the one before to have ended",
            lambda seen, ends=ends: bool(seen) and all(state == ends for state, _ in seen),
        )
        listed = talk.ask("GET", "/services?status=true")[1]
        (service,) = (one for one in listed if one["Spec"]["Name"] == talk.name(short))
        kept = len(_tasks(talk, short))
        found.append(
            {
                "states": states,
                "kept": kept,
                "mode": service["Spec"]["Mode"],
                "counts": service["ServiceStatus"],
                "iteration": service["JobStatus"]["JobIteration"],
                "update": service.get("UpdateStatus"),
            }
        )
    return {"turns": found}


def _job_states(talk: Talk, short: str, iteration: int) -> list[tuple[str, str]]:
    wanted = _service(talk, short)["Spec"]["Mode"].get("ReplicatedJob", {})
    seen = _tasks(talk, short)
    tasks = [task for task in seen if task["JobIteration"].get("Index", 0) == iteration]
    if any(task["Status"]["State"] != "complete" for task in seen if task not in tasks):
        return []
    if len(tasks) < wanted.get("TotalCompletions", 1):
        return []
    return sorted((task["Status"]["State"], task["DesiredState"]) for task in tasks)


@pytest.mark.parametrize(
    ("mode", "args"),
    [
        *((mode, ["true"]) for mode in _JOBS),
        # One after another, the second would never begin.
        *((mode, ["sleep", "1000"]) for mode in _JOBS if "three" not in mode),
    ],
    ids=str,
)
def test_a_job_runs_anew_for_each_spec_alike(
    mode: str, args: list[str], real_fleet: DockerdFleet, embedded_host: str
) -> None:
    prefix = f"j{secrets.token_hex(3)}"
    told: list[Json] = []
    for host in (embedded_host, real_fleet.host("srv2")):
        with Talk(host, prefix) as talk:
            told.append(run_job(talk, "w", _JOBS[mode], args))
    assert told[0] == told[1]


def test_a_job_that_fails_is_tried_again_alike(
    real_fleet: DockerdFleet, embedded_host: str
) -> None:
    told: list[list[str]] = []
    for host in (embedded_host, real_fleet.host("srv2")):
        with Talk(host, f"j{secrets.token_hex(3)}") as talk:
            spec = talk.spec("w", {"Args": ["false"]}, Mode={"ReplicatedJob": {}})
            talk.ask("POST", "/services/create", spec)
            eventually(
                lambda talk=talk: _errors(talk, "w"), "two failures", lambda seen: len(seen) > 1
            )
            told.append(sorted({_anonymous(text) for text in _errors(talk, "w")}))
            refused = talk.ask("POST", "/services/create", {**spec, "UpdateConfig": _MONITOR})
            told[-1].append(refused[1]["message"].rpartition("desc = ")[2])
    assert told[0] == told[1]
