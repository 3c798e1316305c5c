"""Networks and volumes, as the engine that was asked sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import field

from opskit.demo.engine.objects import Events, Json, Refusal, hex_id, new_id, precondition, stamp

_PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}


class Network(msgspec.Struct, kw_only=True, gc=False, rename="pascal"):
    """A network; an overlay belongs to the swarm, all others to this node."""

    name: str
    id: str
    created: str
    scope: str
    driver: str
    enable_ipv6: bool = field(name="EnableIPv6", default=False)
    ipam: Json = field(name="IPAM")
    internal: bool
    attachable: bool
    ingress: bool
    config_from: dict[str, str]
    config_only: bool = False
    containers: Json | None
    options: dict[str, str]
    labels: dict[str, str] | None


class Volume(msgspec.Struct, kw_only=True, gc=False, rename="pascal"):
    """A volume of this node."""

    created_at: str
    driver: str = "local"
    labels: dict[str, str] | None
    mountpoint: str
    name: str
    options: dict[str, str] | None = None
    scope: str = "local"


class NetworkRequest(msgspec.Struct, kw_only=True, gc=False, rename="pascal"):
    """The body of a request to create a network."""

    name: str = ""
    driver: str = "bridge"
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    check_duplicate: bool = False


class VolumeRequest(msgspec.Struct, kw_only=True, gc=False, rename="pascal"):
    """The body of a request to create a volume."""

    name: str = ""
    labels: dict[str, str] | None = None


class NetworkTable:
    """The networks of a server.

    Parameters
    ----------
    events
        Told of each that comes or goes.
    users
        Gives the ids of the services attached to a network.
    """

    def __init__(self, events: Events, users: Callable[[str], list[str]]) -> None:
        self._events, self._users = events, users
        self._networks: dict[str, Network] = {}
        for name, driver in _PREDEFINED.items():
            self.create(NetworkRequest(name=name, driver=driver))

    def __iter__(self):
        return iter(self._networks.values())

    def create(self, request: NetworkRequest, *, created_at: str | None = None) -> Network:
        """Create a network, or say what is wrong with the request."""
        overlay = request.driver == "overlay"
        same = [one for one in self if one.name == request.name]
        if not request.name:
            raise Refusal(500, "invalid name: ")
        if same and (overlay or request.check_duplicate):
            raise Refusal(409, f"network with name {request.name} already exists")
        number = len(self._networks)
        subnet = {"Subnet": f"10.0.{number}.0/24", "Gateway": f"10.0.{number}.1"}
        vxlan = {"com.docker.network.driver.overlay.vxlanid_list": str(4096 + number)}
        network = Network(
            name=request.name,
            id=new_id() if overlay else hex_id(),
            created=created_at or stamp(),
            scope="swarm" if overlay else "local",
            driver=request.driver,
            ipam={"Driver": "default", "Options": None, "Config": [subnet] if overlay else []},
            internal=request.internal,
            attachable=request.attachable,
            ingress=request.ingress,
            config_from={"Network": ""},
            containers=None if overlay else {},
            options=(request.options or {}) | (vxlan if overlay else {}),
            labels=request.labels if overlay else request.labels or {},
        )
        self._networks[network.id] = network
        self._tell("create", network)
        return network

    def find(self, ident: str) -> Network:
        """Find a network by id, name or the start of its id, or refuse with 404."""
        named = [one for one in self if one.name == ident]
        starting = [one for key, one in self._networks.items() if key.startswith(ident)]
        for found in (named, starting):
            if len(found) > 1:
                text = f"{len(found)} matches found based on name: network {ident} is ambiguous"
                raise Refusal(400, text)
            if found:
                return found[0]
        raise Refusal(404, f"network {ident} not found")

    def remove(self, ident: str) -> None:
        """Remove a network, unless it is built in or a service is attached to it."""
        network = self.find(ident)
        if network.name in _PREDEFINED:
            text = f"{network.name} is a pre-defined network and cannot be removed"
            raise Refusal(403, text)
        users = self._users(network.id)
        if users:
            raise precondition(f"network {network.id} is in use by service {users[0]}")
        del self._networks[network.id]
        self._tell("remove" if network.scope == "swarm" else "destroy", network)

    def _tell(self, action: str, network: Network) -> None:
        self._events.tell(
            "network", action, network.id, scope=network.scope,
            name=network.name, type=network.driver,
        )  # fmt: skip


class VolumeTable:
    """The volumes of a server.

    Parameters
    ----------
    events
        Told of each that comes or goes.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._volumes: dict[str, Volume] = {}

    def __iter__(self):
        return iter(self._volumes.values())

    def ensure(
        self, name: str, labels: Mapping[str, str] | None, *, created_at: str | None = None
    ) -> Volume:
        """Return the volume of this name, made if it is not there."""
        if name not in self._volumes:
            self._volumes[name] = Volume(
                created_at=f"{(created_at or stamp())[:19]}Z",
                labels=dict(labels) if labels else None,
                mountpoint=f"/var/lib/docker/volumes/{name}/_data",
                name=name,
            )
            self._events.tell("volume", "create", name, scope="local", driver="local")
        return self._volumes[name]

    def find(self, name: str) -> Volume:
        """Find a volume, or refuse with 404."""
        if name not in self._volumes:
            raise Refusal(404, f"get {name}: no such volume")
        return self._volumes[name]

    def remove(self, name: str, users: list[str]) -> None:
        """Remove a volume that no container uses."""
        self.find(name)
        if users:
            raise Refusal(409, f"remove {name}: volume is in use - [{', '.join(users)}]")
        del self._volumes[name]
        self._events.tell("volume", "destroy", name, scope="local", driver="local")
