"""Routes of what a node itself has: networks, volumes, containers, commands in them."""

from __future__ import annotations

from pathlib import PurePosixPath

from opskit.demo.engine.api.call import Call, Reply, reply, route
from opskit.demo.engine.execs import ExecRequest
from opskit.demo.engine.filters import contains, equals, identity, matches, parsed
from opskit.demo.engine.local import Network, NetworkRequest, VolumeRequest
from opskit.demo.engine.objects import Json, new_id
from opskit.demo.engine.refusal import Refusal
from opskit.demo.engine.services import Task
from opskit.demo.engine.specs import shape_of
from opskit.demo.engine.state import Swarm

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
    """Say whether there is a file, for those of secrets: no others are known of a container."""
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
