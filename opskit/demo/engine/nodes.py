"""The nodes of a swarm, and which of them may run a task."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import field

from opskit.demo.engine.objects import Json, Raft, Resource, Table, new_id, stamp
from opskit.demo.engine.specs import ServiceShape

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
