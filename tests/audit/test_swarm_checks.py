"""Checks of swarms and services, each on the demo fleet with that one fault put in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import opskit
from opskit.audit.registry import audit_view, checks_view
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.facts.facts import Facts
from opskit.swarm import model

Use = Callable[[DemoFleet | DockerdFleet], Path]
SERVER, APP, SERVICE = "coop.example", "notes.coop.example", "notes_coop_example_app"
replace: Callable[..., Any] = msgspec.structs.replace


@pytest.fixture
def snap(use: Use, demo_fleet: DemoFleet) -> opskit.Snapshot:
    use(demo_fleet)
    return opskit.Fleet.from_abra().snapshot()


def changed(snap: opskit.Snapshot, **fields: object) -> opskit.Snapshot:
    """Give a snapshot in which `SERVER` said something else."""
    observed = tuple(
        replace(one, **fields) if one.server == SERVER else one for one in snap.facts.observed
    )
    facts = snap.facts
    return opskit.Snapshot(
        Facts(taken_at=facts.taken_at, declared=facts.declared, observed=observed)
    )


def with_service(snap: opskit.Snapshot, **spec: object) -> opskit.Snapshot:
    """Give a snapshot in which `SERVICE` has another spec."""
    services = [
        replace(one, spec=replace(one.spec, **spec)) if one.spec.name == SERVICE else one
        for one in snap.facts.seen[SERVER].services
    ]
    return changed(snap, services=tuple(services))


def with_container(snap: opskit.Snapshot, **fields: object) -> opskit.Snapshot:
    """Give a snapshot in which the container of `SERVICE` is another."""
    container = model.ContainerSpec(**{"image": "hedgedoc:1.10", **fields})  # type: ignore[arg-type]
    return with_service(snap, task_template=model.TaskTemplate(container_spec=container))


def with_swarm(snap: opskit.Snapshot, **fields: object) -> opskit.Snapshot:
    """Give a snapshot in which the swarm of `SERVER` is another."""
    info = snap.facts.seen[SERVER].info
    return changed(snap, info=replace(info, swarm=replace(info.swarm, **fields)))


def cluster(days: int = 90, *, locked: bool = False) -> model.Cluster:
    spec = model.ClusterSpec(
        ca_config=model.CaConfig(node_cert_expiry=days * 86400 * 10**9),
        encryption_config=model.Encryption(auto_lock_managers=locked),
    )
    return model.Cluster(spec=spec)


def found(snap: opskit.Snapshot, check: str) -> list[Any]:
    return [row for row in audit_view(snap, [check]).records() if row.server == SERVER]


@pytest.mark.parametrize(("managers", "faults"), [(1, 0), (2, 1), (3, 0), (4, 1)])
def test_an_even_number_of_managers(snap: opskit.Snapshot, managers: int, faults: int) -> None:
    assert len(found(with_swarm(snap, managers=managers), "swarm-managers-even")) == faults


@pytest.mark.parametrize("locked", [True, False])
def test_a_swarm_that_starts_without_a_key_is_told(snap: opskit.Snapshot, locked: bool) -> None:
    rows = found(with_swarm(snap, cluster=cluster(locked=locked)), "swarm-not-locked")
    assert [row.severity for row in rows] == ([] if locked else ["info"])


@pytest.mark.parametrize(("days", "said"), [(90, []), (3650, ["3,650 days"])])
def test_certificates_of_years(snap: opskit.Snapshot, days: int, said: Sequence[str]) -> None:
    rows = found(with_swarm(snap, cluster=cluster(days)), "swarm-certificates-long")
    assert len(rows) == len(said)
    assert all(one in row.what for one, row in zip(said, rows, strict=True))


def test_networks_in_clear_count_once_there_are_two_nodes(snap: opskit.Snapshot) -> None:
    assert not found(snap, "network-not-encrypted")
    nodes = snap.facts.seen[SERVER].nodes * 2
    rows = found(changed(snap, nodes=nodes), "network-not-encrypted")
    assert any("the network proxy " in row.what for row in rows)
    assert not any("ingress" in row.what for row in rows)


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "/run/docker.sock/"])
def test_a_mounted_docker_socket(snap: opskit.Snapshot, source: str) -> None:
    assert not found(snap, "docker-socket-mounted")
    mount = model.Mount(type="bind", source=source)
    (row,) = found(with_container(snap, mounts=(mount,)), "docker-socket-mounted")
    assert row.app == APP
    assert SERVICE in row.what


@pytest.mark.parametrize(
    ("kind", "source", "faults"),
    [("bind", "/", 1), ("bind", "/etc/", 1), ("bind", "/etc/localtime", 0), ("volume", "/etc", 0)],
)
def test_folders_of_the_system(snap: opskit.Snapshot, kind: str, source: str, faults: int) -> None:
    mounts = (model.Mount(type=kind, source=source),)
    assert len(found(with_container(snap, mounts=mounts), "folder-sensitive")) == faults


@pytest.mark.parametrize(
    ("image", "faults"),
    [
        ("nginx", 1),
        ("nginx:latest", 1),
        ("registry:5000/nginx", 1),
        ("registry:5000/nginx:1.27", 0),
        ("nginx@sha256:0123", 0),
        ("nginx:latest@sha256:0123", 0),
    ],
)
def test_images_that_may_be_another_tomorrow(
    snap: opskit.Snapshot, image: str, faults: int
) -> None:
    assert len(found(with_container(snap, image=image), "image-not-pinned")) == faults


def test_services_without_a_healthcheck_are_told_once_an_app(snap: opskit.Snapshot) -> None:
    def told(one: opskit.Snapshot) -> list[Any]:
        return [row for row in found(one, "healthcheck-missing") if row.app == APP]

    (row,) = told(with_container(snap))
    assert row.what.startswith("no healthcheck is declared for app, db: ")
    (other,) = told(with_container(snap, healthcheck=model.Healthcheck(interval=10)))
    assert other.what.startswith("no healthcheck is declared for db: ")
    # Whoever lets one of them be has not let be the next one.
    assert other.key != row.key


@pytest.mark.parametrize(("action", "faults"), [("continue", 1), ("pause", 0), ("rollback", 0)])
def test_an_update_that_goes_on_though_it_fails(
    snap: opskit.Snapshot, action: str, faults: int
) -> None:
    config = model.UpdateConfig(failure_action=action)
    assert len(found(with_service(snap, update_config=config), "update-goes-on")) == faults


@pytest.mark.parametrize(
    ("value", "faults"),
    [("ab" * 28, 1), ("sha256:" + "0f" * 32, 1), ("20261127-081500-ab12", 0), ("kim", 0)],
)
def test_digests_in_labels(snap: opskit.Snapshot, value: str, faults: int) -> None:
    first, *others = snap.facts.seen[SERVER].secrets
    labelled = replace(first, spec=replace(first.spec, labels={"ansible_key": value}))
    rows = found(changed(snap, secrets=(labelled, *others)), "label-digest")
    assert len(rows) == faults
    assert not any(value in row.what for row in rows)


def test_checks_of_the_benchmark_name_it() -> None:
    references = checks_view()["reference"].dropna()
    assert references.str.startswith("CIS Docker Benchmark").sum() >= 8
