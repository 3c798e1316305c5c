"""Routes of the engine itself: ping, version, info, swarm."""

from __future__ import annotations

from opskit.demo.engine.api.call import Call, Edition, Reply, reply, route
from opskit.demo.engine.events import Event
from opskit.demo.engine.filters import equals, matches, parsed
from opskit.demo.engine.objects import Json, stamp
from opskit.demo.engine.refusal import REFUSALS, Refusal
from opskit.demo.engine.state import Swarm

_NEVER = "0001-01-01T00:00:00Z"
_STATES = {"none": "inactive", "locked": "locked", "expired": "error"}


def _ping(_: Call) -> Reply:
    return Reply(body=b"OK", content_type="text/plain; charset=utf-8")


def _version(call: Call) -> Reply:
    edition = call.edition
    details = {"ApiVersion": edition.api, "MinAPIVersion": edition.oldest_api}
    return reply(
        {
            "Platform": {"Name": ""},
            "Components": [{"Name": "Engine", "Version": edition.version, "Details": details}],
            "Version": edition.version,
            "ApiVersion": edition.api,
            "MinAPIVersion": edition.oldest_api,
            "GitCommit": "embedded",
            "GoVersion": "none",
            "Os": "linux",
            "Arch": "amd64",
            "KernelVersion": "embedded",
            "BuildTime": stamp(call.swarm.created_at),
        }
    )


def _info(call: Call) -> Reply:
    return reply(engine_info(call.swarm, call.edition))


def engine_info(swarm: Swarm, edition: Edition) -> Json:
    """Return the engine's account of itself and its part in the swarm."""
    running = sum(task.status.state == "running" for task in swarm.services.tasks)
    return {
        "ID": swarm.id,
        "Containers": running,
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": 0,
        "Images": 1,
        "Driver": "overlay2",
        "DriverStatus": [],
        "SystemTime": stamp(),
        "DefaultRuntime": "runc",
        "LoggingDriver": "json-file",
        "KernelVersion": "embedded",
        "OperatingSystem": "opskit embedded engine",
        "OSType": "linux",
        "Architecture": "x86_64",
        "NCPU": 2,
        "MemTotal": 4_294_967_296,
        "DockerRootDir": "/var/lib/docker",
        "Name": swarm.name,
        "Labels": [],
        "ServerVersion": edition.version,
        "SecurityOptions": [],
        "Swarm": _part(swarm),
        "Warnings": None,
    }


def _part(swarm: Swarm) -> Json:
    manages = swarm.role in ("manager", "no-leader")
    member = manages or swarm.role == "worker"
    part: Json = {
        "NodeID": swarm.node_id if member else "",
        "NodeAddr": "" if swarm.role == "none" else "10.0.0.2",
        "LocalNodeState": _STATES.get(swarm.role, "active"),
        "ControlAvailable": manages,
        "Error": "" if swarm.role in ("manager", "worker", "none") else REFUSALS[swarm.role],
        "RemoteManagers": [{"NodeID": swarm.node_id, "Addr": "10.0.0.2:2377"}] if member else None,
    }
    if swarm.role == "manager":
        managers = sum(node.spec["Role"] == "manager" for node in swarm.nodes)
        part |= {"Nodes": len(swarm.nodes), "Managers": managers, "Cluster": _cluster(swarm)}
    elif swarm.role == "no-leader":
        # Without a leader the engine shows a cluster of nothing but zeros.
        spec = {"EncryptionConfig": {"AutoLockManagers": False}, "CAConfig": {}}
        part["Cluster"] = {"ID": "", "CreatedAt": _NEVER, "UpdatedAt": _NEVER, "Spec": spec}
    return part


def _cluster(swarm: Swarm) -> Json:
    when = stamp(swarm.created_at)
    return {
        "ID": swarm.node_id[::-1],
        "Version": {"Index": 10},
        "CreatedAt": when,
        "UpdatedAt": when,
        "Spec": {
            "Name": "default",
            "Labels": {},
            "Orchestration": {"TaskHistoryRetentionLimit": 5},
            "Dispatcher": {"HeartbeatPeriod": 5_000_000_000},
            "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000},
            "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": swarm.autolock},
        },
        "RootRotationInProgress": False,
        "SubnetSize": 24,
        "DataPathPort": 4789,
    }


def _events(call: Call) -> Reply:
    filters = parsed(call.query.get("filters", ""), None)
    if "since" in call.query or "until" in call.query:
        raise Refusal(501, "this engine tells only what happens from now on")

    def passes(event: Event) -> bool:
        tests = {"type": equals(event.type), "event": equals(event.action)}
        return matches(filters, tests | {"scope": equals(event.scope)})

    return Reply(events=passes)


ROUTES = (
    route("GET", "/_ping", _ping),
    route("HEAD", "/_ping", _ping),
    route("GET", "/version", _version),
    route("GET", "/info", _info),
    route("GET", "/events", _events),
    route("GET", "/swarm", lambda call: reply(_cluster(call.swarm)), managed=True),
)
