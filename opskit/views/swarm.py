"""Views of what runs and is stored in the swarms: one function per list."""

from __future__ import annotations

from collections.abc import Iterator

from opskit.facts import Facts
from opskit.join import longest_prefix, split_version, stack_of
from opskit.swarm import model
from opskit.swarm.observe import Observation
from opskit.views.frame import Columns, View, about

SERVICES = {
    "server": "string",
    "stack": "string",
    "app": "string",
    "service": "string",
    "image": "string",
    "mode": "string",
    "running": "Int64",
    "desired": "Int64",
    "update_state": "string",
    "update_message": "string",
    "secrets": "object",
    "configs": "object",
    "created_at": "time",
    "updated_at": "time",
    "service_id": "string",
    "labels": "object",
}

TASKS = {
    "server": "string",
    "stack": "string",
    "service": "string",
    "slot": "Int64",
    "node": "string",
    "state": "string",
    "desired_state": "string",
    "since": "time",
    "message": "string",
    "error": "string",
    "image": "string",
    "created_at": "time",
    "task_id": "string",
}

NODES = {
    "server": "string",
    "node": "string",
    "role": "string",
    "leader": "bool",
    "reachability": "string",
    "state": "string",
    "availability": "string",
    "engine": "string",
    "os": "string",
    "architecture": "string",
    "cpus": "float",
    "memory_gib": "float",
    "address": "string",
    "created_at": "time",
    "node_id": "string",
    "labels": "object",
}

CONFIGS = {
    "server": "string",
    "stack": "string",
    "app": "string",
    "config": "string",
    "version": "string",
    "swarm_name": "string",
    "declared": "bool",
    "observed": "bool",
    "used_by": "object",
    "created_at": "time",
    "config_id": "string",
    "labels": "object",
}

NETWORKS = {
    "server": "string",
    "network": "string",
    "stack": "string",
    "driver": "string",
    "scope": "string",
    "encrypted": "bool",
    "attachable": "bool",
    "internal": "bool",
    "ingress": "bool",
    "created_at": "time",
    "network_id": "string",
    "labels": "object",
}

VOLUMES = {
    "server": "string",
    "volume": "string",
    "stack": "string",
    "driver": "string",
    "mountpoint": "string",
    "created_at": "string",
    "labels": "object",
}

_GIB = 2**30
_NANO = 1_000_000_000


def _readable(facts: Facts) -> Iterator[Observation]:
    return (
        facts.seen[s] for s in facts.apps_by_server if s in facts.seen and facts.seen[s].manager
    )


def _app_names(facts: Facts, server: str) -> dict[str, str]:
    return {app.stack: app.name for app in reversed(facts.apps_by_server.get(server, ()))}


def services_view(facts: Facts) -> View:
    """Build the services view: one row per service, with running and desired task counts."""
    columns = Columns(SERVICES)
    for seen in _readable(facts):
        apps = _app_names(facts, seen.server)
        for service in seen.services:
            stack = stack_of(service.spec.labels)
            container = service.spec.task_template.container_spec or model.ContainerSpec()
            status, update = service.service_status, service.update_status
            columns.add(
                seen.server,
                stack or None,
                apps.get(stack),
                service.spec.name,
                container.image,
                _mode(service.spec.mode),
                status.running_tasks if status else None,
                status.desired_tasks if status else None,
                (update.state if update else None) or None,
                (update.message if update else None) or None,
                [reference.secret_name for reference in container.secrets or ()],
                [reference.config_name for reference in container.configs or ()],
                service.created_at,
                service.updated_at,
                service.id,
                service.spec.labels or {},
            )
    return columns.view(
        about(
            facts, "services", "server", "stack", "service", "image", "running", "desired",
            "update_state", "secrets",
        )
    )  # fmt: skip


def _mode(mode: model.ServiceMode) -> str:
    if mode.replicated is not None:
        return "replicated"
    if mode.global_ is not None:
        return "global"
    return "replicated-job" if mode.replicated_job is not None else "global-job"


def tasks_view(facts: Facts) -> View:
    """Build the tasks view: one row per task, past ones included as the engine keeps them."""
    columns = Columns(TASKS)
    for seen in _readable(facts):
        services = {service.id: service.spec for service in seen.services}
        nodes = {node.id: node.description.hostname for node in seen.nodes}
        for task in seen.tasks:
            spec = services.get(task.service_id)
            container = task.spec.container_spec
            columns.add(
                seen.server,
                (stack_of(spec.labels) or None) if spec else None,
                spec.name if spec else task.service_id,
                task.slot or None,
                nodes.get(task.node_id) or task.node_id or None,
                task.status.state,
                task.desired_state,
                task.status.timestamp,
                task.status.message or None,
                task.status.err or None,
                container.image if container else None,
                task.created_at,
                task.id,
            )
    return columns.view(
        about(
            facts, "tasks", "server", "service", "slot", "node", "state", "desired_state",
            "since", "error",
        )
    )  # fmt: skip


def nodes_view(facts: Facts) -> View:
    """Build the nodes view: one row per node; ``memory_gib`` in GiB, ``cpus`` in cores."""
    columns = Columns(NODES)
    for seen in _readable(facts):
        for node in seen.nodes:
            manager, what = node.manager_status, node.description
            columns.add(
                seen.server,
                what.hostname,
                node.spec.role,
                manager is not None and manager.leader,
                manager.reachability if manager else None,
                node.status.state,
                node.spec.availability,
                what.engine.engine_version,
                what.platform.os,
                what.platform.architecture,
                what.resources.nano_cpus / _NANO,
                what.resources.memory_bytes / _GIB,
                node.status.addr,
                node.created_at,
                node.id,
                node.spec.labels or {},
            )
    return columns.view(
        about(
            facts, "nodes", "server", "node", "role", "leader", "state", "availability",
            "engine", "cpus", "memory_gib",
        )
    )  # fmt: skip


def configs_view(facts: Facts) -> View:
    """Build the configs view: one row per config version, declared and observed joined."""
    columns = Columns(CONFIGS)
    for server, apps in facts.apps_by_server.items():
        declared = {c.swarm_name: (app, c) for app in reversed(apps) for c in app.configs}
        seen = facts.seen.get(server)
        stored = {c.spec.name: c for c in seen.configs} if seen else {}
        users = _config_users(seen) if seen else {}
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
            columns.add(
                server,
                stack or None,
                app.name if app else None,
                short,
                version or None,
                name,
                name in declared,
                there is not None,
                users.get(there.id, []) if there else [],
                there.created_at if there else None,
                there.id if there else None,
                (there.spec.labels or {}) if there else {},
            )
    return columns.view(
        about(
            facts, "configs", "server", "app", "config", "version", "declared", "observed",
            "used_by", "created_at",
        )
    )  # fmt: skip


def _config_users(seen: Observation) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for service in seen.services:
        container = service.spec.task_template.container_spec
        for reference in (container and container.configs) or ():
            found.setdefault(reference.config_id, []).append(service.spec.name)
    return found


def networks_view(facts: Facts) -> View:
    """Build the networks view: one row per network that a server's manager knows."""
    columns = Columns(NETWORKS)
    for seen in _readable(facts):
        for network in seen.networks:
            columns.add(
                seen.server,
                network.name,
                stack_of(network.labels) or None,
                network.driver,
                network.scope,
                "encrypted" in (network.options or {}),
                network.attachable,
                network.internal,
                network.ingress,
                network.created,
                network.id,
                network.labels or {},
            )
    return columns.view(
        about(facts, "networks", "server", "network", "stack", "driver", "scope", "encrypted")
    )


def volumes_view(facts: Facts) -> View:
    """Build the volumes view: one row per volume of the node behind each context."""
    columns = Columns(VOLUMES)
    for seen in _readable(facts):
        for volume in seen.volumes:
            columns.add(
                seen.server,
                volume.name,
                stack_of(volume.labels) or None,
                volume.driver,
                volume.mountpoint or None,
                volume.created_at or None,
                volume.labels or {},
            )
    return columns.view(
        about(facts, "volumes", "server", "volume", "stack", "driver", "created_at")
    )
