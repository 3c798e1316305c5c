"""A server's state: seeding, and the rules that need no passing of time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from opskit.demo.engine import Refusal, Swarm
from opskit.demo.engine.stored import StoredRequest

LONG_AGO = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def spec(**more: Any) -> dict[str, Any]:
    return {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}}, **more}


def test_a_secret_can_be_as_old_as_wanted() -> None:
    swarm = Swarm()
    ident = swarm.secrets.seed("a_pw_v1", created_at=LONG_AGO, labels={"k": "v"}).id

    (listed,) = json.loads(swarm.secrets.encoded())
    assert (listed["ID"], listed["CreatedAt"]) == (ident, "2024-05-06T07:08:09.000000000Z")
    assert listed["Spec"] == {"Name": "a_pw_v1", "Labels": {"k": "v"}}
    assert swarm.secret_id("a_pw_v1") == ident


def test_a_secrets_data_is_kept_for_tasks_and_never_encoded() -> None:
    swarm = Swarm()
    ident = swarm.secrets.seed("a", data=b"c4nary").id

    assert swarm.secrets.value(ident) == b"c4nary"
    assert b"c4nary" not in swarm.secrets.encoded()
    assert "c4nary" not in repr(list(swarm.secrets))


def test_a_configs_data_is_listed() -> None:
    swarm = Swarm()
    swarm.configs.seed("a", data=b"hello")

    assert json.loads(swarm.configs.encoded())[0]["Spec"]["Data"] == "aGVsbG8="


def test_a_list_is_encoded_once_until_something_changes() -> None:
    swarm = Swarm()
    swarm.secrets.seed("a")
    before = swarm.secrets.encoded()

    assert swarm.secrets.encoded() is before
    swarm.configs.seed("unrelated")
    assert swarm.secrets.encoded() is before
    swarm.secrets.seed("b")
    assert swarm.secrets.encoded() is not before


def test_one_index_rises_for_all_kinds_of_objects() -> None:
    swarm = Swarm()
    first = swarm.secrets.create(StoredRequest(name="a", data="eA==")).version.index
    second = swarm.configs.create(StoredRequest(name="a", data="eA==")).version.index
    third = swarm.services.create(spec()).version.index

    assert first < second < third


def test_a_seeded_service_runs_since_it_was_created() -> None:
    swarm = Swarm()
    ident = swarm.add_service(spec(Mode={"Replicated": {"Replicas": 2}}), created_at=LONG_AGO)

    tasks = swarm.services.tasks_of(ident)
    assert {task.slot for task in tasks} == {1, 2}
    assert {task.status.state for task in tasks} == {"running"}
    assert {task.status.timestamp for task in tasks} == {"2024-05-06T07:08:09.000000000Z"}


def test_a_seeded_service_may_have_a_past() -> None:
    swarm = Swarm()
    ident = swarm.add_service(spec(), previous=spec(Labels={"was": "so"}))

    service = swarm.services.find(ident)
    assert service.previous_spec is not None
    assert json.loads(bytes(service.previous_spec))["Labels"] == {"was": "so"}


def test_a_global_service_runs_on_every_node_that_is_up() -> None:
    swarm = Swarm()
    second = swarm.add_node("second")
    swarm.add_node("third", state="down")
    ident = swarm.add_service(spec(Mode={"Global": {}}))

    nodes = {task.node_id for task in swarm.services.tasks_of(ident)}
    assert nodes == {swarm.node_id, second}


@pytest.mark.parametrize(
    ("constraint", "fits"),
    [
        ("node.role==manager", True),
        ("node.role != manager", False),
        ("node.hostname==demo", True),
        ("node.labels.disk==ssd", False),
    ],
)
def test_constraints_choose_nodes(constraint: str, fits: bool) -> None:
    swarm = Swarm("demo")
    body = spec(Mode={"Global": {}})
    body["TaskTemplate"]["Placement"] = {"Constraints": [constraint]}
    service = swarm.services.find(swarm.add_service(body, converged=False))

    assert bool(swarm.wanted(service)) == fits


def test_a_removed_services_name_is_free_again() -> None:
    swarm = Swarm()
    swarm.add_service(spec())
    swarm.services.remove("web")

    assert swarm.services.create(spec()).id
    assert len(swarm.services.tasks) == 0


def test_the_start_of_two_ids_is_ambiguous() -> None:
    swarm = Swarm()
    for number in range(40):
        swarm.secrets.seed(f"s{number}")
    first = min(secret.id[0] for secret in swarm.secrets)
    twice = [s.id[0] for s in swarm.secrets if [t.id[0] for t in swarm.secrets].count(s.id[0]) > 1]

    with pytest.raises(Refusal, match="ambiguous"):
        swarm.secrets.find(twice[0] if twice else first)


def test_a_network_is_seeded_with_labels() -> None:
    swarm = Swarm()
    swarm.add_network("a_internal", labels={"com.docker.stack.namespace": "a"})

    assert swarm.networks.find("a_internal").labels == {"com.docker.stack.namespace": "a"}
