"""Routes of secrets and configs."""

from __future__ import annotations

from opskit.demo.engine.api.call import Call, Reply, Route, reply, route
from opskit.demo.engine.filters import identity, matches, parsed
from opskit.demo.engine.refusal import Refusal
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


ROUTES = (*_routes("secret"), *_routes("config"))
