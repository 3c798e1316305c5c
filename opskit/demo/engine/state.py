"""The state of one swarm and its rules, without I/O and without time."""

# The Engine API's JSON is kept as it is on the wire.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import base64
import binascii
import copy
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

Object = dict[str, Any]
Role = Literal["manager", "worker", "none", "locked", "expired", "no-leader"]

ENGINE_VERSION = "20.10.24"
MAX_SECRET, MAX_CONFIG = 512_000, 1_024_000
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9])?")
_SERVICE_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")

_NOT_MANAGER = "This node is not a swarm manager. "
REFUSALS: Mapping[str, str] = {
    "worker": _NOT_MANAGER + "Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager.",
    "none": _NOT_MANAGER + 'Use "docker swarm init" or "docker swarm join" to connect this node '
    "to swarm and try again.",
    "locked": "Swarm is encrypted and needs to be unlocked before it can be used. Please use "
    '"docker swarm unlock" to unlock it.',
    "expired": "Swarm certificates have expired. To replace them, leave the swarm and join again.",
    "no-leader": "rpc error: code = Unknown desc = The swarm does not have a leader. It's "
    "possible that too few managers are online. Make sure more than half of the managers are "
    "online.",
}


class Refusal(Exception):  # noqa: N818 (what the engine calls it on the wire is a message)
    """A reply with a status of 400 or more and the engine's own words."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


def invalid(message: str) -> Refusal:
    """Make the refusal for a bad request, as swarmkit words it."""
    return Refusal(400, f"rpc error: code = InvalidArgument desc = {message}")


def new_id() -> str:
    """Make an id as swarmkit does: 25 characters of base 36."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(25))


def stamp(when: datetime) -> str:
    """Write a time as Go does."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class Swarm:
    """One server: its place in a swarm and, if it is a manager, everything in it.

    Parameters
    ----------
    name
        The host's name.
    role
        ``manager``, or why it cannot show a swarm.
    autolock
        Whether managers start locked.
    """

    def __init__(
        self, name: str = "demo", role: Role = "manager", *, autolock: bool = False
    ) -> None:
        self.name, self.role, self.autolock = name, role, autolock
        self.created_at = datetime.now(UTC)
        self.revision = 0
        self.secrets: dict[str, Object] = {}
        self.configs: dict[str, Object] = {}
        self.services: dict[str, Object] = {}
        self.tasks: dict[str, list[Object]] = {}
        self.nodes: dict[str, Object] = {}
        self.networks: dict[str, Object] = {}
        self.volumes: dict[str, Object] = {}
        self._data: dict[str, bytes] = {}
        self._index = 10
        self._by_name: dict[tuple[str, str], str] = {}
        self.node_id = new_id()
        self.on_service: Callable[[str], None] = lambda _: None
        self._add_defaults()

    # -- seeding ------------------------------------------------------------------------------

    def add_secret(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        created_at: datetime | None = None,
        data: bytes = b"x",
    ) -> str:
        """Add a secret with a chosen age and give its id."""
        spec = {"Name": name, "Labels": dict(labels or {})}
        return self._store("secrets", spec, data, created_at)

    def add_config(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        created_at: datetime | None = None,
        data: bytes = b"x",
    ) -> str:
        """Add a config with a chosen age and give its id."""
        spec = {"Name": name, "Labels": dict(labels or {})}
        return self._store("configs", spec, data, created_at)

    def add_network(self, name: str, *, labels: Mapping[str, str] | None = None) -> str:
        """Add an overlay network and give its id."""
        return self.create_network(
            {"Name": name, "Driver": "overlay", "Labels": dict(labels or {})}
        )

    def add_volume(self, name: str, *, labels: Mapping[str, str] | None = None) -> None:
        """Add a volume on the server itself."""
        self.volumes[name] = {
            "CreatedAt": self.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Driver": "local",
            "Labels": dict(labels or {}) or None,
            "Mountpoint": f"/var/lib/docker/volumes/{name}/_data",
            "Name": name,
            "Options": None,
            "Scope": "local",
        }
        self._moved()

    def secret_id(self, name: str) -> str:
        """Give a secret's id by its name."""
        return self._by_name["secrets", name]

    # -- secrets and configs ------------------------------------------------------------------

    def create(self, kind: str, body: Object) -> str:
        """Create a secret or config from an API request and give its id."""
        noun, limit = (("secret", MAX_SECRET), ("config", MAX_CONFIG))[kind == "configs"]
        name = body.get("Name") or ""
        if not _NAME.fullmatch(name):
            raise invalid(
                "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end "
                "character must be [a-zA-Z0-9]"
            )
        try:
            data = base64.b64decode(body.get("Data") or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refusal(400, f"illegal base64 data: {error}") from None
        if not 1 <= len(data) < limit:
            raise invalid(f"{noun} data must be larger than 0 and less than {limit} bytes")
        if (kind, name) in self._by_name:
            raise Refusal(
                409, f"rpc error: code = AlreadyExists desc = {noun} {name} already exists"
            )
        spec: Object = {"Name": name, "Labels": dict(body.get("Labels") or {})}
        return self._store(kind, spec, data, None)

    def relabel(self, kind: str, ident: str, version: int, body: Object) -> None:
        """Replace the labels of a secret or config, the only part that may change."""
        found = self.find(kind, ident)
        data = body.get("Data")
        same_data = data is None or base64.b64decode(data) == self._data[found["ID"]]
        if found["Version"]["Index"] != version:
            raise Refusal(500, "rpc error: code = Unknown desc = update out of sequence")
        if body.get("Name", found["Spec"]["Name"]) != found["Spec"]["Name"] or not same_data:
            raise invalid("only updates to Labels are allowed")
        found["Spec"]["Labels"] = dict(body.get("Labels") or {})
        self._touch(found)

    def remove(self, kind: str, ident: str) -> None:
        """Remove a secret or config, unless a service's current spec names it."""
        found = self.find(kind, ident)
        field, noun = ("SecretID", "secret") if kind == "secrets" else ("ConfigID", "config")
        users = [
            service["Spec"]["Name"]
            for service in self.services.values()
            if any(r.get(field) == found["ID"] for r in _references(service["Spec"], kind))
        ]
        name = found["Spec"]["Name"]
        if users:
            which = "services" if len(users) > 1 else "service"
            raise invalid(f"{noun} '{name}' is in use by the following {which}: {', '.join(users)}")
        self._drop(kind, found)

    def data_of(self, ident: str) -> bytes:
        """Give a secret's or config's data, for what a task would see mounted."""
        return self._data[ident]

    # -- services -----------------------------------------------------------------------------

    def add_service(
        self,
        spec: Object,
        *,
        created_at: datetime | None = None,
        converged: bool = True,
        previous: Object | None = None,
    ) -> str:
        """Add a service as if it had been there for a while; its tasks run if `converged`."""
        when = created_at or self.created_at
        ident = self.create_service(spec, created_at=when)
        if previous is not None:
            self.services[ident]["PreviousSpec"] = copy.deepcopy(previous)
        if converged:
            for slot in range(1, self.wanted(ident) + 1):
                self.add_task(ident, slot, state="running", when=when)
        return ident

    def create_service(self, spec: Object, *, created_at: datetime | None = None) -> str:
        """Create a service and give its id; the orchestrator brings up its tasks."""
        spec = self._checked(spec)
        if ("services", spec["Name"]) in self._by_name:
            raise Refusal(
                409,
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object: "
                f"service {spec['Name']} already exists",
            )
        ident = new_id()
        service = self._object(ident, spec, created_at)
        service["Endpoint"] = {"Spec": {}}
        self.services[ident] = service
        self.tasks[ident] = []
        self._by_name["services", spec["Name"]] = ident
        self._moved()
        if created_at is None:
            self.on_service(ident)
        return ident

    def update_service(
        self, ident: str, version: int, spec: Object, *, rollback: bool = False
    ) -> None:
        """Replace a service's spec, or go back to its previous one."""
        service = self.find("services", ident)
        if service["Version"]["Index"] != version:
            raise Refusal(500, "rpc error: code = Unknown desc = update out of sequence")
        if rollback:
            previous = service.get("PreviousSpec")
            if previous is None:
                raise Refusal(
                    400,
                    "rpc error: code = FailedPrecondition desc = service does not have a "
                    "previous spec",
                )
            spec = copy.deepcopy(previous)
        spec = self._checked(spec)
        if spec["Name"] != service["Spec"]["Name"]:
            raise Refusal(
                501,
                "rpc error: code = Unimplemented desc = renaming services is not supported",
            )
        service["PreviousSpec"], service["Spec"] = service["Spec"], spec
        service.pop("UpdateStatus", None)
        self._touch(service)
        self.on_service(service["ID"])

    def remove_service(self, ident: str) -> None:
        """Remove a service and its tasks."""
        service = self.find("services", ident)
        del self.tasks[service["ID"]]
        self._drop("services", service)

    def update_status(self, ident: str, state: str, message: str) -> None:
        """Write how a rollout stands; like Swarm, this moves the service's version index."""
        service = self.services[ident]
        now = stamp(datetime.now(UTC))
        status: Object = {"State": state, "StartedAt": now, "Message": message}
        if state in ("completed", "rollback_completed"):
            status["CompletedAt"] = now
        service["UpdateStatus"] = status
        self._touch(service)

    def wanted(self, ident: str) -> int:
        """Count the tasks a service should have."""
        mode = self.services[ident]["Spec"].get("Mode") or {}
        if "Replicated" in mode:
            return int((mode["Replicated"] or {}).get("Replicas", 1))
        return 1

    # -- tasks --------------------------------------------------------------------------------

    def add_task(
        self, ident: str, slot: int, *, state: str, when: datetime | None = None
    ) -> Object:
        """Add a task of a service's current spec."""
        when = when or datetime.now(UTC)
        spec = self.services[ident]["Spec"]
        task: Object = {
            "ID": new_id(),
            "Version": {"Index": self._next()},
            "CreatedAt": stamp(when),
            "UpdatedAt": stamp(when),
            "Labels": {},
            "Spec": copy.deepcopy(spec["TaskTemplate"]),
            "ServiceID": ident,
            "Slot": slot,
            "NodeID": self.node_id,
            "Status": {"Timestamp": stamp(when), "State": state, "Message": "started",
                       "PortStatus": {}},
            "DesiredState": "running",
        }  # fmt: skip
        self.tasks[ident].insert(0, task)
        history = [t for t in self.tasks[ident] if t["Slot"] == slot]
        for old in history[5:]:
            self.tasks[ident].remove(old)
        self._moved()
        return task

    def set_task(
        self, task: Object, *, state: str, desired: str = "", message: str = "", error: str = ""
    ) -> None:
        """Move a task to another state."""
        status: Object = {"Timestamp": stamp(datetime.now(UTC)), "State": state,
                          "Message": message or state, "PortStatus": {}}  # fmt: skip
        if error:
            status["Err"] = error
        if state in ("running", "failed", "shutdown", "complete"):
            status["ContainerStatus"] = {
                "ContainerID": task["ID"] * 2,
                "PID": 1 if state == "running" else 0,
                "ExitCode": 1 if state == "failed" else 0,
            }
        task["Status"] = status
        task["DesiredState"] = desired or task["DesiredState"]
        self._touch(task)

    # -- networks -----------------------------------------------------------------------------

    def create_network(self, body: Object) -> str:
        """Create a network and give its id."""
        name = body.get("Name") or ""
        if any(network["Name"] == name for network in self.networks.values()):
            raise Refusal(409, f"network with name {name} already exists")
        ident = new_id()
        self.networks[ident] = {
            "Name": name,
            "Id": ident,
            "Created": stamp(datetime.now(UTC)),
            "Scope": "swarm" if body.get("Driver") == "overlay" else "local",
            "Driver": body.get("Driver") or "bridge",
            "EnableIPv6": False,
            "IPAM": {"Driver": "default", "Options": None, "Config": []},
            "Internal": bool(body.get("Internal")),
            "Attachable": bool(body.get("Attachable")),
            "Ingress": bool(body.get("Ingress")),
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": None,
            "Options": body.get("Options") or {},
            "Labels": dict(body.get("Labels") or {}),
        }
        self._moved()
        return ident

    # -- looking things up --------------------------------------------------------------------

    def check_manager(self) -> None:
        """Refuse what only a manager of a working swarm can answer."""
        if self.role != "manager":
            raise Refusal(503, REFUSALS[self.role])

    def find(self, kind: str, ident: str) -> Object:
        """Find an object by id, name or unambiguous start of its id."""
        objects: dict[str, Object] = getattr(self, kind)
        if ident in objects:
            return objects[ident]
        if (kind, ident) in self._by_name:
            return objects[self._by_name[kind, ident]]
        named = [o for o in objects.values() if o.get("Name") == ident]
        starting = [o for key, o in objects.items() if key.startswith(ident)]
        for found in (named, starting):
            if len(found) == 1 and ident:
                return found[0]
        raise Refusal(404, f"{kind.removesuffix('s')} {ident} not found")

    # -- inside -------------------------------------------------------------------------------

    def _add_defaults(self) -> None:
        node = self._object(self.node_id, {"Labels": {}, "Role": "manager",
                                           "Availability": "active"}, None)  # fmt: skip
        node["Description"] = {
            "Hostname": self.name,
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 4_294_967_296},
            "Engine": {"EngineVersion": ENGINE_VERSION},
        }
        node["Status"] = {"State": "ready", "Addr": "10.0.0.2"}
        node["ManagerStatus"] = {"Leader": True, "Reachability": "reachable",
                                 "Addr": "10.0.0.2:2377"}  # fmt: skip
        self.nodes[self.node_id] = node
        self.create_network({"Name": "ingress", "Driver": "overlay", "Ingress": True})

    def _checked(self, spec: Object) -> Object:
        spec = copy.deepcopy(spec)
        if not _SERVICE_NAME.fullmatch(spec.get("Name") or ""):
            raise invalid("name must be valid as a DNS name component")
        spec.setdefault("Labels", {})
        container = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
        if not container.get("Image"):
            raise invalid("ContainerSpec: image reference must be provided")
        spec.setdefault("Mode", {"Replicated": {"Replicas": 1}})
        for kind, field, noun in (("secrets", "Secret", "secret"), ("configs", "Config", "config")):
            targets: dict[str, str] = {}
            for reference in _references(spec, kind):
                name = reference.get(f"{field}Name", "")
                if reference.get(f"{field}ID") not in getattr(self, kind):
                    raise invalid(f"{noun} not found: {name}")
                target = (reference.get("File") or {}).get("Name", "")
                if target in targets:
                    raise invalid(
                        f"{noun} references '{targets[target]}' and '{name}' have a conflicting "
                        f"target: '{target}'"
                    )
                targets[target] = name
        return spec

    def _store(self, kind: str, spec: Object, data: bytes, created_at: datetime | None) -> str:
        ident = new_id()
        found = self._object(ident, spec, created_at)
        if kind == "configs":
            found["Spec"]["Data"] = base64.b64encode(data).decode()
        getattr(self, kind)[ident] = found
        self._data[ident] = data
        self._by_name[kind, spec["Name"]] = ident
        self._moved()
        return ident

    def _object(self, ident: str, spec: Object, created_at: datetime | None) -> Object:
        when = stamp(created_at or datetime.now(UTC))
        return {
            "ID": ident,
            "Version": {"Index": self._next()},
            "CreatedAt": when,
            "UpdatedAt": when,
            "Spec": spec,
        }

    def _drop(self, kind: str, found: Object) -> None:
        del getattr(self, kind)[found["ID"]]
        del self._by_name[kind, found["Spec"]["Name"]]
        self._data.pop(found["ID"], None)
        self._moved()

    def _touch(self, found: Object) -> None:
        found["Version"] = {"Index": self._next()}
        found["UpdatedAt"] = stamp(datetime.now(UTC))
        self._moved()

    def _next(self) -> int:
        self._index += 1
        return self._index

    def _moved(self) -> None:
        self.revision += 1


def _references(spec: Object, kind: str) -> list[Object]:
    container: Object = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
    found: list[Object] | None = container.get("Secrets" if kind == "secrets" else "Configs")
    return found or []
