"""What opskit relies on in an engine, held against the embedded and a real one alike."""

from __future__ import annotations

import json

import pytest

from opskit.errors import (
    AlreadyExistsError,
    InUseError,
    NotFoundError,
    RefusedError,
    StaleIndexError,
)
from tests.contract.conftest import Bench
from tests.waiting import eventually


def test_ping_names_the_api_version(bench: Bench) -> None:
    reply = bench.raw("GET", "/_ping")

    assert reply.status == 200
    assert reply.headers["api-version"] == "1.41"
    assert reply.headers["ostype"] == "linux"


def test_info_shows_a_manager_of_one(bench: Bench) -> None:
    info = bench.engine.info()

    assert info.swarm.control_available
    assert info.swarm.local_node_state == "active"
    assert (info.swarm.nodes, info.swarm.managers) == (1, 1)
    assert info.swarm.cluster is not None


def test_every_list_can_be_read(bench: Bench) -> None:
    engine = bench.engine

    assert [node.spec.role for node in engine.nodes()] == ["manager"]
    assert "ingress" in {network.name for network in engine.networks()}
    for read in (engine.services, engine.tasks, engine.secrets, engine.configs, engine.volumes):
        assert isinstance(read(), tuple)


def test_a_secret_is_created_listed_and_removed(bench: Bench) -> None:
    name = bench.name("pw_v1")
    ident = bench.engine.create_secret(name, b"\x00\xffbinary", {"opskit.run": "r"})
    (secret,) = bench.engine.secrets(name)

    assert (secret.id, secret.spec.name, secret.spec.labels) == (ident, name, {"opskit.run": "r"})
    bench.engine.remove_secret(ident)
    assert bench.engine.secrets(name) == ()


def test_a_secrets_data_never_comes_back(bench: Bench) -> None:
    name = bench.name("pw_v1")
    ident = bench.engine.create_secret(name, b"c4nary-v4lue", {})

    for path in ("/secrets", f"/secrets/{ident}"):
        body = bench.raw("GET", path).body
        assert b"c4nary" not in body
        assert b"YzRuYXJ5" not in body


def test_a_taken_name_is_refused(bench: Bench) -> None:
    bench.engine.create_secret(bench.name("pw_v1"), b"x", {})
    with pytest.raises(AlreadyExistsError, match="already exists"):
        bench.engine.create_secret(bench.name("pw_v1"), b"y", {})


@pytest.mark.parametrize(
    ("size", "fine"), [(0, False), (1, True), (511_999, True), (512_000, False)]
)
def test_a_secret_holds_1_to_511999_bytes(bench: Bench, size: int, fine: bool) -> None:
    if fine:
        bench.engine.create_secret(bench.name("pw"), b"x" * size, {})
    else:
        with pytest.raises(RefusedError, match="larger than 0 and less than 512000"):
            bench.engine.create_secret(bench.name("pw"), b"x" * size, {})


@pytest.mark.parametrize("name", ["-a", "a-", "a b", "a" * 65, "", "ä", "a/b"])
def test_a_bad_name_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(RefusedError, match=r"only 64|must be provided"):
        bench.engine.create_secret(name, b"x", {})


def test_a_name_of_64_characters_is_taken(bench: Bench) -> None:
    name = (bench.name("") + "x" * 64)[:64]
    assert bench.engine.create_secret(name, b"x", {})


def test_only_labels_of_a_secret_change_and_only_at_the_right_index(bench: Bench) -> None:
    name = bench.name("pw_v1")
    bench.engine.create_secret(name, b"x", {})
    (secret,) = bench.engine.secrets(name)
    bench.engine.label_secret(secret, {"a": "b"})

    assert bench.engine.secrets(name)[0].spec.labels == {"a": "b"}
    with pytest.raises(StaleIndexError):
        bench.engine.label_secret(secret, {"a": "c"})


def test_a_secret_in_use_stays_and_the_refusal_names_the_service(bench: Bench) -> None:
    name = bench.name("pw_v1")
    ident = bench.engine.create_secret(name, b"x", {})
    spec = bench.service("app", name)
    assert bench.raw("POST", "/services/create", json.dumps(spec).encode()).status == 201

    with pytest.raises(InUseError, match=bench.name("app")):
        bench.engine.remove_secret(ident)


def test_what_is_not_there_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="secret nowhere not found"):
        bench.engine.remove_secret("nowhere")
    with pytest.raises(NotFoundError, match="service nowhere not found"):
        bench.engine.raw_service("nowhere")


def test_two_references_with_one_target_conflict(bench: Bench) -> None:
    for short in ("a_v1", "b_v1"):
        bench.engine.create_secret(bench.name(short), b"x", {})
    spec = bench.service("app", bench.name("a_v1"), bench.name("b_v1"))
    for reference in spec["TaskTemplate"]["ContainerSpec"]["Secrets"]:
        reference["File"]["Name"] = "same"
    reply = bench.raw("POST", "/services/create", json.dumps(spec).encode())

    assert reply.status == 400
    assert b"have a conflicting target: 'same'" in reply.body


def test_a_container_is_asked_for_the_place_of_a_secret(bench: Bench) -> None:
    bench.engine.create_secret(bench.name("pw_v1"), b"x", {})
    spec = bench.service("app", bench.name("pw_v1"))
    made = bench.raw("POST", "/services/create", json.dumps(spec).encode())
    service = json.loads(made.body)["ID"]
    (container,) = eventually(lambda: bench.engine.containers(service), "it to run", bool)

    assert bench.engine.info().default_runtime == "runc"
    assert bench.engine.has_file(container.id, "/run/secrets/file0")
    assert not bench.engine.has_file(container.id, "/run/secrets/file1")
    assert not bench.engine.has_file("nowhere", "/run/secrets/file0")


def test_a_service_converges_and_counts_its_tasks(bench: Bench) -> None:
    spec = bench.service("app", Mode={"Replicated": {"Replicas": 2}})
    bench.raw("POST", "/services/create", json.dumps(spec).encode())

    def converged() -> bool:
        (service,) = [s for s in bench.engine.services() if s.spec.name == bench.name("app")]
        status = service.service_status
        return status is not None and status.running_tasks == status.desired_tasks == 2

    eventually(converged, "every service to have its tasks")
    (service,) = [s for s in bench.engine.services() if s.spec.name == bench.name("app")]
    assert {task.slot for task in bench.engine.tasks(service.id)} == {1, 2}
    assert service.update_status is None


def test_an_update_rolls_over_and_keeps_the_previous_spec(bench: Bench) -> None:
    old, new = bench.name("pw_v1"), bench.name("pw_v2")
    for name in (old, new):
        bench.engine.create_secret(name, b"x", {})
    bench.raw("POST", "/services/create", json.dumps(bench.service("app", old)).encode())
    eventually(lambda: _running(bench, old), "a task on the old secret")
    raw = bench.engine.raw_service(bench.name("app"))
    spec = bench.service("app", new)
    bench.engine.update_service(raw.service.id, raw.service.version.index, spec)

    eventually(lambda: _state(bench), "the update to complete", lambda state: state == "completed")
    service = bench.engine.raw_service(bench.name("app")).service
    assert service.previous_spec is not None
    before = service.previous_spec.task_template.container_spec
    assert before is not None
    assert [r.secret_name for r in before.secrets or ()] == [old]
    assert _running(bench, new)
    assert not _running(bench, old)
    assert service.version.index > raw.service.version.index


def test_a_stale_index_is_refused(bench: Bench) -> None:
    bench.raw("POST", "/services/create", json.dumps(bench.service("app")).encode())
    raw = bench.engine.raw_service(bench.name("app"))
    with pytest.raises(StaleIndexError, match="update out of sequence"):
        bench.engine.update_service(raw.service.id, raw.service.version.index - 1, raw.spec)


def test_the_spec_digest_moves_with_the_spec_and_not_with_the_index(bench: Bench) -> None:
    bench.raw("POST", "/services/create", json.dumps(bench.service("app")).encode())
    raw = bench.engine.raw_service(bench.name("app"))
    listed = {s.id: s.spec_digest for s in bench.engine.services()}
    assert listed[raw.service.id] == raw.service.spec_digest

    bench.engine.update_service(raw.service.id, raw.service.version.index, raw.spec)
    same = bench.engine.raw_service(bench.name("app"))
    assert same.service.spec_digest == raw.service.spec_digest
    assert same.service.version.index > raw.service.version.index


@pytest.mark.parametrize(
    ("action", "state"), [("pause", "paused"), ("rollback", "rollback_completed")]
)
def test_a_failing_update_pauses_or_rolls_back(bench: Bench, action: str, state: str) -> None:
    # Watched for so long that Swarm hears of the failure meanwhile, however busy the machine is.
    update = {"Parallelism": 1, "Monitor": 30_000_000_000, "FailureAction": action}
    spec = bench.service("app", UpdateConfig=update)
    bench.raw("POST", "/services/create", json.dumps(spec).encode())
    eventually(
        lambda: [task.status.state for task in _tasks(bench)],
        "a task to run",
        lambda states: "running" in states,
    )
    raw = bench.engine.raw_service(bench.name("app"))
    broken = bench.service("app", UpdateConfig=update, container={"Args": ["false"]})
    bench.engine.update_service(raw.service.id, raw.service.version.index, broken)

    eventually(lambda: _state(bench), f"the update to be {state}", lambda seen: seen == state)
    assert any(task.status.state == "failed" for task in _tasks(bench))


def test_a_config_is_a_lock_that_only_one_can_create(bench: Bench) -> None:
    name = bench.name("lock")
    ident = bench.engine.create_config(name, b"held", {"owner": "a"})
    with pytest.raises(AlreadyExistsError):
        bench.engine.create_config(name, b"held", {"owner": "b"})
    (config,) = bench.engine.configs(name)
    bench.engine.label_config(config, b"held", {"owner": "c"})

    assert bench.engine.configs(name)[0].spec.labels == {"owner": "c"}
    bench.engine.remove_config(ident)
    assert bench.engine.configs(name) == ()


def _tasks(bench: Bench) -> list:
    service = bench.engine.raw_service(bench.name("app")).service
    return list(bench.engine.tasks(service.id))


def _running(bench: Bench, secret: str) -> bool:
    return any(
        task.status.state == "running"
        and task.spec.container_spec is not None
        and secret in [r.secret_name for r in task.spec.container_spec.secrets or ()]
        for task in _tasks(bench)
    )


def _state(bench: Bench) -> str:
    status = bench.engine.raw_service(bench.name("app")).service.update_status
    return status.state if status else ""
