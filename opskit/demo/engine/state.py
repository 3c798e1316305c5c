"""One server's state: its place in a swarm and, on a manager, everything in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from opskit.demo.engine.events import Events
from opskit.demo.engine.local import NetworkRequest, NetworkTable, VolumeTable
from opskit.demo.engine.nodes import Node, make_node, suitable
from opskit.demo.engine.objects import Json, Raft, Table, new_id, stamp
from opskit.demo.engine.refusal import Role, not_manager
from opskit.demo.engine.services import Service, ServiceTable
from opskit.demo.engine.specs import ServiceShape, completed, encoded, shape_of
from opskit.demo.engine.stored import StoredTable
from opskit.demo.engine.validate import check_links

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
        check_links(shape, self.secrets, self.configs, lambda name: self.networks.find(name).id)

    def _service_ids(self, noun: str, ident: str) -> list[str]:
        return [self.services.find(name).id for name in self.services.users(noun, ident)]
