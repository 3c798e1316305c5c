"""Routes of what a swarm has: secrets, configs, services, tasks, nodes."""

from __future__ import annotations

import msgspec

from opskit.demo.engine.api.call import (
    Call,
    Reply,
    Route,
    equals,
    identity,
    matches,
    parsed,
    reply,
    route,
)
from opskit.demo.engine.objects import Json, Refusal
from opskit.demo.engine.services import Service, Task
from opskit.demo.engine.specs import encoded, shape_of, with_defaults
from opskit.demo.engine.stored import StoredRequest, StoredTable

_FILTERS = ("id", "label", "name", "names")


def _table(call: Call, noun: str) -> StoredTable:
    return call.swarm.secrets if noun == "secret" else call.swarm.configs


def _list(call: Call, noun: str) -> Reply:
    filters = parsed(call.query.get("filters", ""), _FILTERS)
    table = _table(call, noun)
    if not filters:
        return Reply(body=table.encoded())
    return reply(
        [one for one in table if matches(filters, identity(one.id, one.spec.name, one.spec.labels))]
    )


def _create(call: Call, noun: str) -> Reply:
    one = _table(call, noun).create(call.json(StoredRequest))
    return reply({"ID": one.id}, 201)


def _update(call: Call, noun: str) -> Reply:
    request = call.json(StoredRequest)
    version = call.query.get("version", "")
    if not version.isdecimal():
        raise Refusal(400, f"invalid {noun} version")
    _table(call, noun).relabel(call.ident, int(version), request)
    return Reply()


def _remove(call: Call, noun: str) -> Reply:
    _table(call, noun).remove(call.ident)
    return Reply(status=204)


def _routes(noun: str) -> list[Route]:
    path = f"/{noun}s"
    return [
        route("GET", path, lambda call: _list(call, noun), managed=True),
        route("POST", f"{path}/create", lambda call: _create(call, noun), managed=True),
        route(
            "GET", f"{path}/{{}}", lambda call: reply(_table(call, noun).find(call.ident)),
            managed=True,
        ),
        route("POST", f"{path}/{{}}/update", lambda call: _update(call, noun), managed=True),
        route("DELETE", f"{path}/{{}}", lambda call: _remove(call, noun), managed=True),
    ]  # fmt: skip


_SERVICE_FILTERS = ("id", "label", "mode", "name", "runtime")
_TASK_FILTERS = ("_up-to-date", "desired-state", "id", "label", "name", "node", "service")
_NODE_FILTERS = ("id", "label", "membership", "name", "node.label", "role")
_DESIRED = ("accepted", "running", "shutdown")


class _Counted(Service, kw_only=True):
    """A service with its task counts."""

    service_status: Json | None = None


def _shown(call: Call, service: Service, *, counted: bool, defaults: bool) -> Service:
    fields = {name: getattr(service, name) for name in Service.__struct_fields__}
    if counted:
        wanted = len(call.swarm.wanted(service))
        fields["service_status"] = call.swarm.services.counts(service, wanted)
    if defaults:
        for name in ("spec", "previous_spec"):
            if fields[name] is not None:
                fields[name] = encoded(with_defaults(msgspec.json.decode(fields[name])))
    return _Counted(**fields)


def _list_services(call: Call) -> Reply:
    filters = parsed(call.query.get("filters", ""), _SERVICE_FILTERS)
    counted, defaults = call.flag("status"), call.flag("insertDefaults")
    if not (filters or counted or defaults):
        return Reply(body=call.swarm.services.encoded())
    found: list[Service] = []
    for service in call.swarm.services:
        shape = shape_of(service.spec)
        tests = identity(service.id, shape.name, shape.labels)
        tests |= {"mode": equals(shape.mode_name)}
        if matches(filters, tests):
            found.append(_shown(call, service, counted=counted, defaults=defaults))
    return reply(found)


def _inspect_service(call: Call) -> Reply:
    service = call.swarm.services.find(call.ident)
    return reply(_shown(call, service, counted=False, defaults=call.flag("insertDefaults")))


def _create_service(call: Call) -> Reply:
    return reply({"ID": call.swarm.services.create(call.json(Json)).id}, 201)


def _update_service(call: Call) -> Reply:
    spec = call.json(Json)
    version, rollback = call.query.get("version", ""), call.query.get("rollback", "")
    if not version.isdecimal():
        text = f"invalid service version '{version}': strconv.ParseUint: parsing \"{version}\""
        raise Refusal(400, f"{text}: invalid syntax")
    if rollback not in ("", "previous"):
        raise Refusal(500, f"unrecognized rollback option {rollback}")
    call.swarm.services.update(call.ident, int(version), spec, rollback=bool(rollback))
    return reply({"Warnings": None})


def _remove_service(call: Call) -> Reply:
    call.swarm.services.remove(call.ident)
    return Reply()


def _service_logs(call: Call) -> Reply:
    call.swarm.services.find(call.ident)
    if not (call.flag("stdout") or call.flag("stderr")):
        raise Refusal(500, "Bad parameters: you must choose at least one stream")
    # Nothing runs, so nothing was ever written.
    return Reply(content_type="application/octet-stream")


def _list_tasks(call: Call) -> Reply:
    swarm = call.swarm
    filters = parsed(call.query.get("filters", ""), _TASK_FILTERS)
    if not filters:
        return Reply(body=swarm.services.tasks.encoded())
    for desired in filters.get("desired-state", ()):
        if desired not in _DESIRED:
            raise Refusal(500, f"Invalid desired-state filter: '{desired}'")
    services = {swarm.services.find(name).id for name in filters.get("service", ())}
    nodes = {swarm.nodes.find(name).id for name in filters.get("node", ())}
    shapes = {service.id: shape_of(service.spec) for service in swarm.services}

    def passes(task: Task) -> bool:
        if (services and task.service_id not in services) or (nodes and task.node_id not in nodes):
            return False
        shape = shapes[task.service_id]
        tests = identity(task.id, f"{shape.name}.{task.key}.{task.id}", shape.labels)
        return matches(filters, tests | {"desired-state": equals(task.desired_state)})

    return reply([task for task in swarm.services.tasks if passes(task)])


def _list_nodes(call: Call) -> Reply:
    filters = parsed(call.query.get("filters", ""), _NODE_FILTERS)
    return reply(
        [
            node
            for node in call.swarm.nodes
            if matches(
                filters,
                identity(node.id, node.hostname, {}) | {"role": equals(node.spec["Role"])},
            )
        ]
    )


ROUTES = (
    *_routes("secret"),
    *_routes("config"),
    route("GET", "/services", _list_services, managed=True),
    route("POST", "/services/create", _create_service, managed=True),
    route("GET", "/services/{}", _inspect_service, managed=True),
    route("POST", "/services/{}/update", _update_service, managed=True),
    route("DELETE", "/services/{}", _remove_service, managed=True),
    route("GET", "/services/{}/logs", _service_logs, managed=True),
    route("GET", "/tasks", _list_tasks, managed=True),
    route(
        "GET",
        "/tasks/{}",
        lambda call: reply(call.swarm.services.tasks.find(call.ident)),
        managed=True,
    ),
    route("GET", "/nodes", _list_nodes, managed=True),
    route("GET", "/nodes/{}", lambda call: reply(call.swarm.nodes.find(call.ident)), managed=True),
)
