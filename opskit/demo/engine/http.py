"""The Engine HTTP API over one swarm's state."""

# The Engine API's JSON is kept as it is on the wire.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tornado import web

from opskit.demo.engine.state import ENGINE_VERSION, Object, Refusal, Swarm, stamp

API_VERSION, MIN_API_VERSION = "1.41", "1.24"
_PREFIX = re.compile(r"/v(\d+)\.(\d+)(?=/)")

Reply = tuple[int, Any]
Route = tuple[str, re.Pattern[str], Callable[["EngineHandler", re.Match[str]], Reply]]


class EngineHandler(web.RequestHandler):
    """Answers every path; the swarm is the server's own."""

    swarm: Swarm
    latency: float
    lists: dict[str, tuple[int, bytes]]

    def initialize(self, swarm: Swarm, latency: float, lists: dict[str, tuple[int, bytes]]) -> None:
        """Take the swarm, the delay before each answer in seconds, and the cache of lists."""
        self.swarm, self.latency, self.lists = swarm, latency, lists

    def set_default_headers(self) -> None:
        """Say what every engine says."""
        self.set_header("Api-Version", API_VERSION)
        self.set_header("Ostype", "linux")
        self.set_header("Docker-Experimental", "false")
        self.set_header("Server", f"Docker/{ENGINE_VERSION} (linux)")

    async def prepare(self) -> None:
        """Delay as asked, then answer whatever was asked."""
        if self.latency:
            await asyncio.sleep(self.latency)
        try:
            status, body = self._answer()
        except Refusal as refusal:
            status, body = refusal.status, {"message": refusal.message}
        except json.JSONDecodeError as error:
            status, body = 400, {"message": f"invalid JSON: {error}"}
        self.set_status(status)
        if isinstance(body, bytes):
            self.set_header("Content-Type", "application/json")
            self.finish(body)
        elif isinstance(body, str):
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(body)
        elif body is None:
            self.finish()
        else:
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps(body) + "\n")

    def _answer(self) -> Reply:
        path = self.request.path
        match = _PREFIX.match(path)
        if match:
            asked = int(match[1]), int(match[2])
            newest = tuple(map(int, API_VERSION.split(".")))
            if asked > newest:
                raise Refusal(
                    400,
                    f"client version {match[1]}.{match[2]} is too new. Maximum supported API "
                    f"version is {API_VERSION}",
                )
            path = path[match.end() :]
        for method, pattern, handle in ROUTES:
            found = pattern.fullmatch(path)
            if found and method == self.request.method:
                return handle(self, found)
        raise Refusal(404, "page not found")

    # -- requests -----------------------------------------------------------------------------

    def body(self) -> Object:
        """Give the request's JSON."""
        return json.loads(self.request.body or b"{}")

    def version(self) -> int:
        """Give the version index the request names."""
        text = self.get_query_argument("version", "")
        if not text.isdigit():
            raise Refusal(400, f"invalid version '{text}'")
        return int(text)

    def filters(self) -> dict[str, list[str]]:
        """Give the request's filters; both spellings of the API are in use."""
        text = self.get_query_argument("filters", "") or "{}"
        return {
            key: list(value) if isinstance(value, dict) else value
            for key, value in json.loads(text).items()
        }

    def listed(self, kind: str) -> Reply:
        """Give a list of secrets, configs or nodes; encoded once until the swarm changes."""
        self.swarm.check_manager()
        wanted = self.filters()
        objects = list(getattr(self.swarm, kind).values())
        if wanted:
            return 200, [o for o in objects if _matches(o, wanted)]
        revision, encoded = self.lists.get(kind, (-1, b""))
        if revision != self.swarm.revision:
            encoded = json.dumps(objects).encode()
            self.lists[kind] = (self.swarm.revision, encoded)
        return 200, encoded

    def services(self) -> Reply:
        """Give the services, with task counts when asked."""
        self.swarm.check_manager()
        wanted = self.filters()
        found = [s for s in self.swarm.services.values() if _matches(s, wanted)]
        if self.get_query_argument("status", "") in ("true", "1"):
            found = [{**service, "ServiceStatus": self._status(service["ID"])} for service in found]
        return 200, found

    def _status(self, ident: str) -> Object:
        tasks = self.swarm.tasks[ident]
        return {
            "RunningTasks": sum(t["Status"]["State"] == "running" for t in tasks),
            "DesiredTasks": self.swarm.wanted(ident),
            "CompletedTasks": 0,
        }

    def tasks(self) -> Reply:
        """Give the tasks, of some services when asked."""
        self.swarm.check_manager()
        wanted = self.filters()
        services = wanted.pop("service", [])
        states = wanted.pop("desired-state", [])
        idents = [self.swarm.find("services", name)["ID"] for name in services]
        return 200, [
            task
            for ident, tasks in self.swarm.tasks.items()
            if not idents or ident in idents
            for task in tasks
            if not states or task["DesiredState"] in states
        ]

    def task(self, ident: str) -> Reply:
        """Give one task."""
        self.swarm.check_manager()
        for tasks in self.swarm.tasks.values():
            for task in tasks:
                if task["ID"] == ident:
                    return 200, task
        raise Refusal(404, f"task {ident} not found")

    def network(self, ident: str) -> Reply:
        """Give one network."""
        networks = self.swarm.networks
        for key, network in networks.items():
            if ident in (key, network["Name"]):
                return 200, network
        raise Refusal(404, f"network {ident} not found")

    def info(self) -> Reply:
        """Give the engine's account of itself and its part in the swarm."""
        swarm = self.swarm
        manager = swarm.role in ("manager", "no-leader")
        state = {"none": "inactive", "locked": "locked", "expired": "error"}.get(
            swarm.role, "active"
        )
        part: Object = {
            "NodeID": swarm.node_id if swarm.role != "none" else "",
            "NodeAddr": "10.0.0.2" if swarm.role != "none" else "",
            "LocalNodeState": state,
            "ControlAvailable": manager,
            "Error": "swarm certificate has expired" if swarm.role == "expired" else "",
            "RemoteManagers": None,
        }
        if manager:
            part |= {"Nodes": len(swarm.nodes), "Managers": 1, "Cluster": self._cluster()}
        return 200, {
            "ID": swarm.node_id,
            "Name": swarm.name,
            "ServerVersion": ENGINE_VERSION,
            "OperatingSystem": "opskit embedded engine",
            "OSType": "linux",
            "Architecture": "x86_64",
            "NCPU": 2,
            "MemTotal": 4_294_967_296,
            "Containers": 0,
            "ContainersRunning": sum(
                t["Status"]["State"] == "running" for tasks in swarm.tasks.values() for t in tasks
            ),
            "Images": 1,
            "SystemTime": stamp(datetime.now(UTC)),
            "Swarm": part,
            "Warnings": None,
        }

    def _cluster(self) -> Object:
        when = stamp(self.swarm.created_at)
        return {
            "ID": self.swarm.node_id[::-1],
            "Version": {"Index": 10},
            "CreatedAt": when,
            "UpdatedAt": when,
            "Spec": {
                "Name": "default",
                "Labels": {},
                "Orchestration": {"TaskHistoryRetentionLimit": 5},
                "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000},
                "EncryptionConfig": {"AutoLockManagers": self.swarm.autolock},
            },
            "RootRotationInProgress": False,
        }

    def managed(self, act: Callable[[], Any]) -> Any:
        """Do something only a manager may."""
        self.swarm.check_manager()
        return act()


def _matches(found: Object, wanted: dict[str, list[str]]) -> bool:
    spec = found.get("Spec", found)
    labels = spec.get("Labels") or {}
    for key, values in wanted.items():
        match key:
            case "name" | "names":
                exact = key == "names"
                names = (v == spec.get("Name") if exact else spec.get("Name", "").startswith(v)
                         for v in values)  # fmt: skip
                if not any(names):
                    return False
            case "id":
                if not any(found.get("ID", "").startswith(value) for value in values):
                    return False
            case "label":
                for value in values:
                    name, sign, text = value.partition("=")
                    if name not in labels or (sign and labels[name] != text):
                        return False
            case _:
                pass
    return True


def _route(
    method: str, path: str, handle: Callable[[EngineHandler, re.Match[str]], Reply]
) -> Route:
    return method, re.compile(path), handle


def _version(_: EngineHandler, __: re.Match[str]) -> Reply:
    return 200, {
        "Platform": {"Name": ""},
        "Components": [
            {
                "Name": "Engine",
                "Version": ENGINE_VERSION,
                "Details": {"ApiVersion": API_VERSION, "MinAPIVersion": MIN_API_VERSION},
            }
        ],
        "Version": ENGINE_VERSION,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
        "Arch": "amd64",
        "KernelVersion": "embedded",
    }


def _swarm(h: EngineHandler, _: re.Match[str]) -> Reply:
    h.swarm.check_manager()
    return 200, h.info()[1]["Swarm"]["Cluster"]


def _stored(kind: str) -> list[Route]:
    return [
        _route("GET", f"/{kind}", lambda h, _: h.listed(kind)),
        _route(
            "POST", f"/{kind}/create",
            lambda h, _: (201, {"ID": h.managed(lambda: h.swarm.create(kind, h.body()))}),
        ),
        _route(
            "GET", f"/{kind}/([^/]+)",
            lambda h, m: (200, h.managed(lambda: h.swarm.find(kind, m[1]))),
        ),
        _route(
            "POST", f"/{kind}/([^/]+)/update",
            lambda h, m: (
                200, h.managed(lambda: h.swarm.relabel(kind, m[1], h.version(), h.body()))
            ),
        ),
        _route(
            "DELETE", f"/{kind}/([^/]+)",
            lambda h, m: (204, h.managed(lambda: h.swarm.remove(kind, m[1]))),
        ),
    ]  # fmt: skip


def _update_service(h: EngineHandler, m: re.Match[str]) -> Reply:
    h.swarm.check_manager()
    rollback = h.get_query_argument("rollback", "") == "previous"
    h.swarm.update_service(m[1], h.version(), h.body(), rollback=rollback)
    return 200, {"Warnings": None}


def _find(kind: str) -> Callable[[EngineHandler, re.Match[str]], Reply]:
    def handle(h: EngineHandler, m: re.Match[str]) -> Reply:
        name = h.swarm.node_id if (kind, m[1]) == ("nodes", "self") else m[1]
        return 200, h.managed(lambda: h.swarm.find(kind, name))

    return handle


def _create_service(h: EngineHandler, _: re.Match[str]) -> Reply:
    return 201, {"ID": h.managed(lambda: h.swarm.create_service(h.body()))}


def _remove_service(h: EngineHandler, m: re.Match[str]) -> Reply:
    return 200, h.managed(lambda: h.swarm.remove_service(m[1]))


def _networks(h: EngineHandler, _: re.Match[str]) -> Reply:
    wanted = h.filters()
    return 200, [n for n in h.swarm.networks.values() if _matches(n, wanted)]


def _create_network(h: EngineHandler, _: re.Match[str]) -> Reply:
    return 201, {"Id": h.swarm.create_network(h.body()), "Warning": ""}


def _remove_network(h: EngineHandler, m: re.Match[str]) -> Reply:
    h.swarm.networks.pop(h.network(m[1])[1]["Id"])
    return 204, None


def _volumes(h: EngineHandler, _: re.Match[str]) -> Reply:
    return 200, {"Volumes": list(h.swarm.volumes.values()), "Warnings": None}


def _no_registry(_: EngineHandler, __: re.Match[str]) -> Reply:
    return 404, {"message": "there is no registry here"}


ROUTES: list[Route] = [
    _route("GET", "/_ping", lambda _, __: (200, "OK")),
    _route("HEAD", "/_ping", lambda _, __: (200, None)),
    _route("GET", "/version", _version),
    _route("GET", "/info", lambda h, _: h.info()),
    _route("GET", "/swarm", _swarm),
    *_stored("secrets"),
    *_stored("configs"),
    _route("GET", "/nodes", lambda h, _: h.listed("nodes")),
    _route("GET", "/nodes/([^/]+)", _find("nodes")),
    _route("GET", "/services", lambda h, _: h.services()),
    _route("POST", "/services/create", _create_service),
    _route("GET", "/services/([^/]+)", _find("services")),
    _route("POST", "/services/([^/]+)/update", _update_service),
    _route("DELETE", "/services/([^/]+)", _remove_service),
    _route("GET", "/tasks", lambda h, _: h.tasks()),
    _route("GET", "/tasks/([^/]+)", lambda h, m: h.task(m[1])),
    _route("GET", "/networks", _networks),
    _route("POST", "/networks/create", _create_network),
    _route("GET", "/networks/([^/]+)", lambda h, m: h.network(m[1])),
    _route("DELETE", "/networks/([^/]+)", _remove_network),
    _route("GET", "/volumes", _volumes),
    _route("GET", "/containers/json", lambda _, __: (200, [])),
    _route("GET", "/distribution/(.+)/json", _no_registry),
]


def application(swarm: Swarm, latency: float = 0.0) -> web.Application:
    """Make the web application of one swarm."""
    settings: dict[str, Any] = {"swarm": swarm, "latency": latency, "lists": {}}
    return web.Application([(r".*", EngineHandler, settings)], log_function=_say_nothing)


def _say_nothing(_: web.RequestHandler) -> None:
    """Log no request: a body can hold a secret."""
