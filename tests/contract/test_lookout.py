"""What a lookout shows, held against the lists of the embedded and a real engine alike."""

from __future__ import annotations

import json
import time

import msgspec
import pytest

from opskit.errors import NotFoundError
from opskit.swarm.lookout import Look
from tests.contract.conftest import Bench
from tests.waiting import eventually


def made(bench: Bench, name: str) -> str:
    """Make a service, wait for its task, and return its id."""
    reply = bench.raw("POST", "/services/create", msgspec.json.encode(bench.service(name)))
    ident = json.loads(reply.body)["ID"]
    eventually(
        lambda: [task.status.state for task in bench.engine.tasks(ident)],
        "its task to run",
        lambda states: states == ["running"],
    )
    return ident


def seen(bench: Bench, *ids: str) -> Look:
    lookout = bench.engine.lookout()
    with lookout.attended(ids):
        return lookout.look(ids, after=time.monotonic(), by=0.0, attend=lambda: None)


def test_services_and_tasks_are_as_they_are_read_one_by_one(bench: Bench) -> None:
    ids = [made(bench, name) for name in ("a", "b")]
    made(bench, "c")
    look = seen(bench, *ids)
    assert look.services.keys() == look.tasks.keys() == set(ids)
    for ident in ids:
        raw, shown = bench.engine.raw_service(ident), look.services[ident]
        assert shown.spec == raw.spec
        assert shown.typed.version == raw.service.version
        assert shown.typed.update_status == raw.service.update_status
        assert [task.typed for task in look.tasks[ident]] == list(bench.engine.tasks(ident))
        (task,) = look.tasks[ident]
        assert task.spec["ContainerSpec"] == raw.spec["TaskTemplate"]["ContainerSpec"]
    assert [node.id for node in look.nodes] == [node.id for node in bench.engine.nodes()]


def test_a_service_that_is_gone_hides_none_of_the_others(bench: Bench) -> None:
    stays, goes = made(bench, "a"), made(bench, "b")
    bench.engine.remove_service(goes)
    # An engine refuses to list the tasks of several when one of them is no more.
    with pytest.raises(NotFoundError):
        bench.engine.tasks(goes)
    look = seen(bench, stays, goes)
    assert look.services.keys() == {stays}
    assert [task.typed for task in look.tasks[stays]] == list(bench.engine.tasks(stays))
