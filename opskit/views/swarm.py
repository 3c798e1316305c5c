"""Views of what the swarms are made of and store: nodes, configs, networks and volumes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from opskit.facts.facts import Part
from opskit.facts.join import longest_prefix, split_version, stack_of
from opskit.swarm.observe import Observation
from opskit.views.columns import Column, Row
from opskit.views.table import Table, about

_GIB = 2**30
_NANO = 1_000_000_000


class NodesRow(Row, frozen=True, kw_only=True):
    """A row of the nodes view: one machine of a swarm."""

    server: Annotated[str, Column("The server that was asked, as abra names it.")]
    node: Annotated[str, Column("Its host name.")]
    role: Annotated[str, Column("manager or worker.")]
    leader: Annotated[bool, Column("Whether it leads the managers.")]
    reachability: Annotated[str | None, Column("Of a manager: whether the leader reaches it.")]
    state: Annotated[str, Column("Whether it is up: ready, down or unknown.")]
    availability: Annotated[str, Column("Whether it takes tasks: active, pause or drain.")]
    engine: Annotated[str, Column("The version of its Docker Engine.")]
    os: Annotated[str, Column("Its operating system.")]
    architecture: Annotated[str, Column("Its processor's.")]
    cpus: Annotated[float, Column("What it has for tasks.", unit="cores")]
    memory_gib: Annotated[float, Column("What it has for tasks.", unit="GiB")]
    address: Annotated[str, Column("The address the swarm knows it by.")]
    created_at: Annotated[datetime, Column("When it joined.")]
    node_id: Annotated[str, Column("The swarm's id of it.")]
    labels: Annotated[dict[str, str], Column("Its labels.")]


class ConfigsRow(Row, frozen=True, kw_only=True):
    """A row of the configs view: one version of a config, declared, stored or both."""

    server: Annotated[str, Column("The server, as abra names it.")]
    stack: Annotated[str | None, Column("The stack its name begins with.")]
    app: Annotated[str | None, Column("The app of this stack.")]
    config: Annotated[str, Column("Its name, without stack and version.")]
    version: Annotated[str | None, Column("What its name ends with.")]
    swarm_name: Annotated[str, Column("Its whole name: <stack>_<config>_<version>.")]
    declared: Annotated[bool, Column("Whether an app's files name this version.")]
    observed: Annotated[
        bool | None, Column("Whether it is in the swarm; NA where nobody could read that.")
    ]
    used_by: Annotated[list[str], Column("Services whose current spec names it.")]
    created_at: Annotated[datetime | None, Column("When the swarm stored it.")]
    config_id: Annotated[str | None, Column("The swarm's id of it.")]
    labels: Annotated[dict[str, str], Column("Its labels in the swarm.")]


class NetworksRow(Row, frozen=True, kw_only=True):
    """A row of the networks view: one network that a server's manager knows."""

    server: Annotated[str, Column("The server, as abra names it.")]
    network: Annotated[str, Column("Its name.")]
    stack: Annotated[str | None, Column("The stack it is labelled with.")]
    driver: Annotated[str, Column("What carries it, such as overlay.")]
    scope: Annotated[str, Column("swarm or local.")]
    encrypted: Annotated[bool, Column("Whether traffic between nodes is encrypted.")]
    attachable: Annotated[bool, Column("Whether containers outside of services may join.")]
    internal: Annotated[bool, Column("Whether it leads nowhere else.")]
    ingress: Annotated[bool, Column("Whether it takes in what comes to published ports.")]
    created_at: Annotated[datetime | None, Column("When it was made.")]
    network_id: Annotated[str, Column("The engine's id of it.")]
    labels: Annotated[dict[str, str], Column("Its labels.")]


class VolumesRow(Row, frozen=True, kw_only=True):
    """A row of the volumes view: one volume on the node behind a server's context."""

    server: Annotated[str, Column("The server, as abra names it.")]
    volume: Annotated[str, Column("Its name.")]
    stack: Annotated[str | None, Column("The stack it is labelled with.")]
    driver: Annotated[str, Column("What stores it, such as local.")]
    mountpoint: Annotated[str | None, Column("Where it is on the node.")]
    created_at: Annotated[str | None, Column("When it was made, as the engine writes it.")]
    labels: Annotated[dict[str, str], Column("Its labels.")]


def _nodes_rows(part: Part) -> Iterator[NodesRow]:
    for node in part.read.nodes if part.read else ():
        manager, what = node.manager_status, node.description
        yield NodesRow(
            server=part.server,
            node=what.hostname,
            role=node.spec.role,
            leader=manager is not None and manager.leader,
            reachability=manager.reachability if manager else None,
            state=node.status.state,
            availability=node.spec.availability,
            engine=what.engine.engine_version,
            os=what.platform.os,
            architecture=what.platform.architecture,
            cpus=what.resources.nano_cpus / _NANO,
            memory_gib=what.resources.memory_bytes / _GIB,
            address=node.status.addr,
            created_at=node.created_at,
            node_id=node.id,
            labels=node.spec.labels or {},
        )


NODES = Table(
    row=NodesRow,
    rows=_nodes_rows,
    about=lambda facts, _: about(
        facts, "nodes", "server", "node", "role", "leader", "state", "availability", "engine",
        "cpus", "memory_gib", key="node_id",
        goes=("engine", "memory_gib", "cpus", "server", "leader"),
    ),
)  # fmt: skip
"""The nodes view: one `NodesRow` per node."""


def _configs_rows(part: Part) -> Iterator[ConfigsRow]:
    apps, seen = part.apps, part.seen
    declared = {c.swarm_name: (app, c) for app in reversed(apps) for c in app.configs}
    # Of a swarm that several servers lead to, each tells what its own apps declare.
    elsewhere = {c.swarm_name for app in part.around.together for c in app.configs}
    stored = {
        c.spec.name: c
        for c in (seen.configs if seen else ())
        if c.spec.name in declared or c.spec.name not in elsewhere
    }
    users = _config_users(seen) if seen else {}
    is_known = part.read is not None and "configs" not in part.read.unread
    stacks = {app.stack: app for app in reversed(apps)}
    for name in [*stored, *(n for n in declared if n not in stored)]:
        there = stored.get(name)
        if name in declared:
            app, config = declared[name]
            stack, short, version = app.stack, config.name, config.version
        else:
            stack = longest_prefix(name, stacks)
            app = stacks.get(stack)
            short, version = split_version(name[len(stack) + 1 :] if stack else name)
        yield ConfigsRow(
            server=part.server,
            stack=stack or None,
            app=app.name if app else None,
            config=short,
            version=version or None,
            swarm_name=name,
            declared=name in declared,
            observed=there is not None if is_known else None,
            used_by=users.get(there.id, []) if there else [],
            created_at=there.created_at if there else None,
            config_id=there.id if there else None,
            labels=(there.spec.labels or {}) if there else {},
        )


CONFIGS = Table(
    row=ConfigsRow,
    rows=_configs_rows,
    about=lambda facts, _: about(
        facts, "configs", "server", "app", "config", "version", "declared", "observed", "used_by",
        "created_at", key="swarm_name",
        goes=("created_at", "used_by", "server", "observed", "declared"),
    ),
)  # fmt: skip
"""The configs view: one `ConfigsRow` per version, declared or observed."""


def _config_users(seen: Observation) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for service in seen.services:
        container = service.spec.task_template.container_spec
        for reference in (container and container.configs) or ():
            found.setdefault(reference.config_id, []).append(service.spec.name)
    return found


def _networks_rows(part: Part) -> Iterator[NetworksRow]:
    for network in part.read.networks if part.read else ():
        yield NetworksRow(
            server=part.server,
            network=network.name,
            stack=stack_of(network.labels) or None,
            driver=network.driver,
            scope=network.scope,
            encrypted="encrypted" in (network.options or {}),
            attachable=network.attachable,
            internal=network.internal,
            ingress=network.ingress,
            created_at=network.created,
            network_id=network.id,
            labels=network.labels or {},
        )


NETWORKS = Table(
    row=NetworksRow,
    rows=_networks_rows,
    about=lambda facts, _: about(
        facts, "networks", "server", "network", "stack", "driver", "scope", "encrypted",
        key="network_id", goes=("stack", "scope", "server", "driver"),
    ),
)  # fmt: skip
"""The networks view: one `NetworksRow` per network."""


def _volumes_rows(part: Part) -> Iterator[VolumesRow]:
    for volume in part.read.volumes if part.read else ():
        yield VolumesRow(
            server=part.server,
            volume=volume.name,
            stack=stack_of(volume.labels) or None,
            driver=volume.driver,
            mountpoint=volume.mountpoint or None,
            created_at=volume.created_at or None,
            labels=volume.labels or {},
        )


VOLUMES = Table(
    row=VolumesRow,
    rows=_volumes_rows,
    about=lambda facts, _: about(
        facts, "volumes", "server", "volume", "stack", "driver", "created_at",
        key="volume", goes=("created_at", "stack", "server", "driver"),
    ),
)  # fmt: skip
"""The volumes view: one `VolumesRow` per volume."""
