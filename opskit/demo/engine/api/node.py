"""Routes of an engine and its own node: networks, volumes, containers, commands in them."""

from __future__ import annotations

from pathlib import PurePosixPath

from opskit.demo.engine.api.call import (
    Call,
    Reply,
    contains,
    equals,
    identity,
    matches,
    parsed,
    reply,
    route,
)
from opskit.demo.engine.execs import ExecRequest
from opskit.demo.engine.local import Network, NetworkRequest, VolumeRequest
from opskit.demo.engine.objects import REFUSALS, Event, Json, Refusal, new_id, stamp
from opskit.demo.engine.services import Task
from opskit.demo.engine.specs import shape_of
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
    """Return the engine's account of itself and its part in the swarm."""
    swarm = call.swarm
    running = sum(task.status.state == "running" for task in swarm.services.tasks)
    content: Json = {
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
        "ServerVersion": call.edition.version,
        "SecurityOptions": [],
        "Swarm": _part(swarm),
        "Warnings": None,
    }
    return reply(content)


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


_NETWORK_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
_VOLUME_FILTERS = ("dangling", "driver", "label", "name")
_CONTAINER_FILTERS = ("id", "label", "name", "status")


def _list_networks(call: Call) -> Reply:
    filters = parsed(call.query.get("filters", ""), _NETWORK_FILTERS)
    manages = call.swarm.role == "manager"

    def passes(network: Network) -> bool:
        tests = identity(network.id, network.name, network.labels) | {
            "name": contains(network.name),
            "driver": equals(network.driver),
            "scope": equals(network.scope),
        }
        return (manages or network.scope == "local") and matches(filters, tests)

    return reply([network for network in call.swarm.networks if passes(network)])


def _create_network(call: Call) -> Reply:
    request = call.json(NetworkRequest)
    if request.driver == "overlay":
        call.swarm.check_manager()
    network = call.swarm.networks.create(request)
    return reply({"Id": network.id, "Warning": ""}, 201)


def _remove_network(call: Call) -> Reply:
    call.swarm.networks.remove(call.ident)
    return Reply(status=204)


def _list_volumes(call: Call) -> Reply:
    filters = parsed(call.query.get("filters", ""), _VOLUME_FILTERS)
    used = _mounted(call.swarm)
    found = [
        volume
        for volume in call.swarm.volumes
        if matches(
            filters,
            identity("", volume.name, volume.labels)
            | {"dangling": contains("0 false" if volume.name in used else "1 true")},
        )
    ]
    return reply({"Volumes": found, "Warnings": None})


def _create_volume(call: Call) -> Reply:
    request = call.json(VolumeRequest)
    return reply(call.swarm.volumes.ensure(request.name or new_id(), request.labels), 201)


def _remove_volume(call: Call) -> Reply:
    call.swarm.volumes.remove(call.ident, _mounted(call.swarm).get(call.ident, []))
    return Reply(status=204)


def _mounted(swarm: Swarm) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for service in swarm.services:
        for mount in shape_of(service.spec).container.mounts:
            if mount.type == "volume":
                running = [t.container_id for t in _running(swarm) if t.service_id == service.id]
                found.setdefault(mount.source, []).extend(running)
    return {name: users for name, users in found.items() if users}


def _running(swarm: Swarm) -> list[Task]:
    return [
        task
        for task in swarm.services.tasks
        if task.status.state == "running" and task.node_id == swarm.node_id
    ]


def _container(swarm: Swarm, task: Task) -> Json:
    service = swarm.services.find(task.service_id)
    shape = shape_of(service.spec)
    name = f"{shape.name}.{task.key}.{task.id}"
    return {
        "Id": task.container_id,
        "Names": [f"/{name}"],
        "Image": shape.container.image,
        "ImageID": f"sha256:{'0' * 64}",
        "Command": " ".join([*shape.container.command, *shape.container.args]),
        "Created": int(swarm.created_at.timestamp()),
        "Ports": [],
        "Labels": {
            "com.docker.swarm.node.id": task.node_id,
            "com.docker.swarm.service.id": service.id,
            "com.docker.swarm.service.name": shape.name,
            "com.docker.swarm.task": "",
            "com.docker.swarm.task.id": task.id,
            "com.docker.swarm.task.name": name,
        },
        "State": "running",
        "Status": "Up",
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    }


def _list_containers(call: Call) -> Reply:
    filters = parsed(call.query.get("filters", ""), _CONTAINER_FILTERS)
    found = [_container(call.swarm, task) for task in _running(call.swarm)]
    return reply(
        [
            one
            for one in found
            if matches(
                filters,
                identity(one["Id"], one["Names"][0], one["Labels"])
                | {"name": contains(one["Names"][0]), "status": equals("running")},
            )
        ]
    )


def _find_container(call: Call) -> Task:
    for task in _running(call.swarm):
        name = _container(call.swarm, task)["Names"][0]
        if task.container_id.startswith(call.ident) or name == f"/{call.ident}":
            return task
    raise Refusal(404, f"No such container: {call.ident}")


def _inspect_container(call: Call) -> Reply:
    task = _find_container(call)
    listed = _container(call.swarm, task)
    config = {"Image": listed["Image"], "Labels": listed["Labels"], "Tty": False}
    state = {"Status": "running", "Running": True, "Paused": False}
    name = listed["Names"][0]
    created = task.created_at
    return reply(
        {"Id": listed["Id"], "Created": created, "Name": name, "State": state, "Config": config}
    )


def _stat_in_container(call: Call) -> Reply:
    """Return whether there is a file, for those of secrets: no others are known of a container."""
    service = call.swarm.services.find(_find_container(call).service_id)
    references = shape_of(service.spec).container.secrets
    places = [PurePosixPath("/run/secrets", one.file.name) for one in references if one.file]
    if PurePosixPath(call.query.get("path", "")) not in places:
        raise Refusal(404, "Could not find the file in the container")
    return Reply()


def _create_exec(call: Call) -> Reply:
    task = _find_container(call)
    return reply({"Id": call.execs.create(task, call.json(ExecRequest)).id}, 201)


def _start_exec(call: Call) -> Reply:
    return Reply(stream=call.execs.find(call.ident))


def _no_registry(_: Call) -> Reply:
    raise Refusal(404, "there is no registry here")


ROUTES = (
    route("GET", "/_ping", _ping),
    route("HEAD", "/_ping", _ping),
    route("GET", "/version", _version),
    route("GET", "/info", _info),
    route("GET", "/events", _events),
    route("GET", "/swarm", lambda call: reply(_cluster(call.swarm)), managed=True),
    route("GET", "/networks", _list_networks),
    route("POST", "/networks/create", _create_network),
    route("GET", "/networks/{}", lambda call: reply(call.swarm.networks.find(call.ident))),
    route("DELETE", "/networks/{}", _remove_network),
    route("GET", "/volumes", _list_volumes),
    route("POST", "/volumes/create", _create_volume),
    route("GET", "/volumes/{}", lambda call: reply(call.swarm.volumes.find(call.ident))),
    route("DELETE", "/volumes/{}", _remove_volume),
    route("GET", "/containers/json", _list_containers),
    route("GET", "/containers/{}/json", _inspect_container),
    route("HEAD", "/containers/{}/archive", _stat_in_container),
    route("POST", "/containers/{}/exec", _create_exec),
    route("POST", "/exec/{}/start", _start_exec),
    route("GET", "/exec/{}/json", lambda call: reply(call.execs.find(call.ident).describe())),
    route("GET", "/distribution/(.+)/json", _no_registry),
)
