"""One server's state: its place in a swarm and, on a manager, everything in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec import field

from opskit.demo.engine.local import NetworkRequest, NetworkTable, VolumeTable
from opskit.demo.engine.objects import (
    Events,
    Json,
    Raft,
    Refusal,
    Resource,
    Role,
    Table,
    invalid,
    new_id,
    not_manager,
    stamp,
)
from opskit.demo.engine.services import Service, ServiceTable
from opskit.demo.engine.specs import ServiceShape, completed, encoded, shape_of
from opskit.demo.engine.stored import StoredTable

ENGINE_VERSION = "20.10.24"


class Node(Resource, kw_only=True):
    """A machine of the swarm."""

    spec: Json
    description: Json
    status: Json
    manager_status: Json | None = field(default=None)

    @property
    def hostname(self) -> str:
        """The machine's own name."""
        return self.description["Hostname"]

    @property
    def usable(self) -> bool:
        """Whether it takes tasks."""
        return self.status["State"] == "ready" and self.spec["Availability"] == "active"


def make_node(raft: Raft, hostname: str, *, number: int, role: str, state: str) -> Node:
    """Make a node; the first, number 1, leads the swarm."""
    address = f"10.0.0.{number + 1}"
    when = stamp()
    return Node(
        id=new_id(),
        version=raft.next(),
        created_at=when,
        updated_at=when,
        spec={"Labels": {}, "Role": role, "Availability": "active"},
        description={
            "Hostname": hostname,
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 4_294_967_296},
            "Engine": {"EngineVersion": ENGINE_VERSION},
        },
        status={"State": state, "Addr": address},
        manager_status={
            "Leader": number == 1,
            "Reachability": "reachable",
            "Addr": f"{address}:2377",
        }
        if role == "manager"
        else None,
    )


def suitable(shape: ServiceShape, nodes: Table[Node]) -> list[Node]:
    """Return the nodes that may run a service's tasks."""
    constraints = shape.task_template.placement.constraints
    return [node for node in nodes if node.usable and _satisfies(node, constraints)]


def no_suitable_node(nodes: Table[Node]) -> str:
    """Return why a task waits for a node."""
    count = sum(node.usable for node in nodes)
    where = f"{count} node{'s' if count != 1 else ''}"
    return f"no suitable node (scheduling constraints not satisfied on {where})"


def _satisfies(node: Node, constraints: Sequence[str]) -> bool:
    facts = {
        "node.id": node.id,
        "node.hostname": node.hostname,
        "node.role": node.spec["Role"],
        "node.platform.os": node.description["Platform"]["OS"],
        "node.platform.arch": node.description["Platform"]["Architecture"],
    }
    facts |= {f"node.labels.{key}": value for key, value in node.spec["Labels"].items()}
    for constraint in constraints:
        wants = "==" in constraint
        key, _, value = constraint.partition("==" if wants else "!=")
        if (facts.get(key.strip()) == value.strip()) != wants:
            return False
    return True


_MAX_SECRET, _MAX_CONFIG = 512_000, 1_024_000


class Swarm:
    """A server in memory: no I/O, no HTTP, no passing of time.

    Parameters
    ----------
    name
        The host's name.
    role
        ``manager``, or why it cannot show a swarm; may be changed at any time.
    autolock
        Whether managers start locked.
    """

    def __init__(
        self, name: str = "demo", role: Role = "manager", *, autolock: bool = False
    ) -> None:
        self.name, self.autolock = name, autolock
        self.role: Role = role
        self.created_at = datetime.now(UTC)
        self.id = new_id()
        self.events = Events()
        """What happens here, for whoever listens."""
        raft = Raft(self.events)
        self.nodes: Table[Node] = Table("node", raft)
        self.secrets = StoredTable("secret", raft, limit=_MAX_SECRET, readable=False)
        self.configs = StoredTable("config", raft, limit=_MAX_CONFIG, readable=True)
        self.networks = NetworkTable(self.events, lambda ident: self._service_ids("network", ident))
        self.volumes = VolumeTable(self.events)
        self.services = ServiceTable(
            raft,
            check_links=self._check_links,
            network_id=lambda target: self.networks.find(target).id,
        )
        self.secrets.users = lambda ident: self.services.users("secret", ident)
        self.configs.users = lambda ident: self.services.users("config", ident)
        self._raft = raft
        self.node_id = self.add_node(name, role="manager")
        self.networks.create(NetworkRequest(name="docker_gwbridge"))
        self.networks.create(NetworkRequest(name="ingress", driver="overlay", ingress=True))

    # -- seeding ------------------------------------------------------------------------------

    def add_network(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        created_at: datetime | None = None,
    ) -> str:
        """Add an overlay network and give its id."""
        request = NetworkRequest(name=name, driver="overlay", labels=dict(labels or {}))
        return self.networks.create(request, created_at=stamp(created_at or self.created_at)).id

    def add_volume(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        created_at: datetime | None = None,
    ) -> None:
        """Add a volume on the server itself."""
        self.volumes.ensure(name, labels, created_at=stamp(created_at or self.created_at))

    def add_node(self, hostname: str, *, role: str = "worker", state: str = "ready") -> str:
        """Add a node and give its id."""
        node = make_node(self._raft, hostname, number=len(self.nodes) + 1, role=role, state=state)
        self.nodes.add(node, hostname)
        return node.id

    def add_service(
        self,
        spec: Json,
        *,
        created_at: datetime | None = None,
        converged: bool = True,
        previous: Json | None = None,
    ) -> str:
        """Add a service as if it had been there for a while, and give its id.

        Parameters
        ----------
        spec, previous
            Its spec as the Engine API has it, and the one before.
        created_at
            When it was created, by default with the server.
        converged
            Whether its tasks run; if not, they are brought up once the server is served.
        """
        when = stamp(created_at or self.created_at)
        service = self.services.seed(spec, when)
        if previous is not None:
            service.previous_spec = encoded(completed(previous))
        for key in self.wanted(service) if converged else ():
            slot, node = (key, self.node_id) if isinstance(key, int) else (0, key)
            task = self.services.add_task(
                service, slot=slot, node=node, desired="running", when=when
            )
            task.node_id = node
            self.services.set_task(task, "running", "started")
            task.status.timestamp = task.updated_at = when
        return service.id

    def secret_id(self, name: str) -> str:
        """Return a secret's id by its name."""
        return self.secrets.find(name).id

    # -- asking -------------------------------------------------------------------------------

    def check_manager(self) -> None:
        """Refuse what only a manager of a working swarm can answer."""
        if self.role != "manager":
            raise not_manager(self.role)

    def wanted(self, service: Service) -> list[int | str]:
        """Return the places a service's tasks should fill: slots, or nodes for a global one."""
        shape = shape_of(service.spec)
        if shape.is_global:
            return [node.id for node in suitable(shape, self.nodes)]
        if shape.mode.replicated_job is not None:
            return list(range(shape.mode.replicated_job.total_completions))
        replicas = shape.mode.replicated.replicas if shape.mode.replicated else 1
        return list(range(1, replicas + 1))

    def has_object(self, noun: str, ident: str) -> bool:
        """Return whether a ``secret`` or ``config`` exists."""
        table = self.secrets if noun == "secret" else self.configs
        return table.get(ident) is not None

    def _check_links(self, shape: ServiceShape) -> None:
        """Refuse a spec that names what this swarm does not have."""
        for network in (*shape.networks, *shape.task_template.networks):
            try:
                self.networks.find(network.target)
            except Refusal as refusal:
                raise Refusal(500, refusal.message) from None
        for table, references in (
            (self.secrets, shape.container.secrets),
            (self.configs, shape.container.configs),
        ):
            for reference in references:
                one = table.get(reference.id)
                if one is None or one.spec.name != reference.name:
                    raise invalid(f"{table.noun} not found: {reference.name}")

    def _service_ids(self, noun: str, ident: str) -> list[str]:
        return [self.services.find(name).id for name in self.services.users(noun, ident)]
