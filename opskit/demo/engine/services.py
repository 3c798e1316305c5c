"""Services and their tasks: what is asked for, and the record of what was done about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from msgspec import field

from opskit.demo.engine.objects import (
    Json,
    Raft,
    Resource,
    Table,
    exists,
    new_id,
    precondition,
    stamp,
    unimplemented,
)
from opskit.demo.engine.specs import (
    ServiceShape,
    check_spec,
    completed,
    converted,
    encoded,
    shape_of,
    task_spec,
)

HISTORY = 5
"""Tasks kept of one slot, the live one included (Swarm's TaskHistoryRetentionLimit)."""
_HAS_RUNNING = ("starting", "running")
"""The states of a task whose container runs."""


class UpdateStatus(msgspec.Struct, kw_only=True, gc=False, rename="pascal", omit_defaults=True):
    """How a rollout stands."""

    state: str
    started_at: str
    completed_at: str = ""
    message: str


class Service(Resource, kw_only=True):
    """What an operator asked for."""

    spec: msgspec.Raw
    previous_spec: msgspec.Raw | None = None
    endpoint: Json
    update_status: UpdateStatus | None = None
    job_status: Json | None = None

    @property
    def job_iteration(self) -> Json | None:
        """How often the spec of a job changed, as its tasks have it."""
        return self.job_status["JobIteration"] if self.job_status else None


class TaskStatus(msgspec.Struct, kw_only=True, gc=False, rename="pascal", omit_defaults=True):
    """Where a task stands."""

    timestamp: str
    state: str
    message: str
    err: str = ""
    container_status: Json | None = None
    port_status: Json


class Task(Resource, kw_only=True):
    """One container of a service, past or present."""

    labels: dict[str, str]
    spec: msgspec.Raw
    service_id: str = field(name="ServiceID")
    slot: int = 0
    node_id: str = field(name="NodeID", default="")
    status: TaskStatus
    desired_state: str
    job_iteration: Json | None = None

    @property
    def key(self) -> int | str:
        """The place it fills: a number for replicated services, a node for global ones."""
        return self.slot or self.node_id

    @property
    def container_id(self) -> str:
        """The id of its container."""
        return self.id.encode().hex().ljust(64, "0")[:64]


class Listener(Protocol):
    """Who brings about what services ask for."""

    def changed(self, service: Service) -> None:
        """Note that a service is new or has another spec."""

    def removed(self, service: Service) -> None:
        """Note that a service is gone."""


class ServiceTable(Table[Service]):
    """The services of a swarm, and their tasks.

    Parameters
    ----------
    raft
        The log of the swarm.
    check_links
        Refuses a spec that names what this swarm does not have.
    network_id
        Gives a network's id by its name or id.
    """

    def __init__(
        self,
        raft: Raft,
        *,
        check_links: Callable[[ServiceShape], None],
        network_id: Callable[[str], str],
    ) -> None:
        super().__init__("service", raft)
        self.tasks: Table[Task] = Table("task", raft)
        self.listener: Listener | None = None
        self._check_links, self._network_id = check_links, network_id
        self._by_service: dict[str, list[Task]] = {}

    # -- what an operator does ----------------------------------------------------------------

    def create(self, spec: Json) -> Service:
        """Create a service and have it brought up, or say what is wrong with its spec."""
        service = self.seed(spec)
        if self.listener is not None:
            self.listener.changed(service)
        return service

    def seed(self, spec: Json, created_at: str | None = None) -> Service:
        """Add a service of any age, without tasks, or say what is wrong with its spec."""
        stored = self._checked(spec | {"Name": spec.get("Name") or f"unnamed_{new_id(8)}"})
        name = shape_of(stored).name
        if self.named(name) is not None:
            raise exists(f"name conflicts with an existing object: service {name} already exists")
        when = created_at or stamp()
        service = Service(
            id=new_id(),
            version=self._raft.next(),
            created_at=when,
            updated_at=when,
            spec=stored,
            endpoint=_endpoint(stored),
            job_status=_job_status({}) if shape_of(stored).is_job else None,
        )
        self._by_service[service.id] = []
        self.add(service, name)
        return service

    def update(self, ident: str, version: int, spec: Json, *, rollback: bool = False) -> None:
        """Replace a service's spec; or, with `rollback`, go back to the one before."""
        stored = self._checked(spec)
        service = self.find(ident)
        before, after = shape_of(service.spec), shape_of(stored)
        if after.name != before.name:
            raise unimplemented("renaming services is not supported")
        if after.mode_name != before.mode_name:
            raise unimplemented("service mode change is not allowed")
        if rollback:
            if service.previous_spec is None:
                raise precondition(f"service {service.id} does not have a previous spec")
            stored = service.previous_spec
        self.touch(service, version)
        service.previous_spec, service.spec = service.spec, stored
        service.endpoint = _endpoint(stored)
        service.update_status = None
        if service.job_iteration is not None:
            done = service.job_iteration.get("Index", 0)
            service.job_status = _job_status({"Index": done + 1})
        if rollback:
            self.set_update(service, "rollback_started", "manually requested rollback")
        if self.listener is not None:
            self.listener.changed(service)

    def remove(self, ident: str) -> None:
        """Remove a service and its tasks."""
        service = self.find(ident)
        if self.listener is not None:
            self.listener.removed(service)
        for task in self._by_service.pop(service.id):
            self._drop(task)
        self.drop(service, shape_of(service.spec).name)

    def users(self, noun: str, ident: str) -> list[str]:
        """Name the services whose current spec refers to a secret, config or network."""
        found: list[str] = []
        for service in self:
            shape = shape_of(service.spec)
            used = {
                "secret": [reference.id for reference in shape.container.secrets],
                "config": [reference.id for reference in shape.container.configs],
                "network": [one.target for one in shape.task_template.networks],
            }
            if ident in used[noun]:
                found.append(shape.name)
        return found

    # -- what the orchestrator writes ---------------------------------------------------------

    def tasks_of(self, ident: str) -> list[Task]:
        """Return a service's tasks, the newest first."""
        return list(reversed(self._by_service.get(ident, [])))

    def set_update(self, service: Service, state: str, message: str) -> None:
        """Write how a rollout stands; as in Swarm this moves the service's version index."""
        before = service.update_status
        service.update_status = UpdateStatus(
            state=state,
            started_at=before.started_at if before else stamp(),
            completed_at=stamp() if state in ("completed", "rollback_completed") else "",
            message=message,
        )
        self.touch(service)

    def roll_back(self, service: Service, message: str) -> None:
        """Return to the previous spec; as in Swarm there is then none to go back to again."""
        assert service.previous_spec is not None, "an update left one"
        service.spec, service.previous_spec = service.previous_spec, None
        service.endpoint = _endpoint(service.spec)
        self.set_update(service, "rollback_started", message)

    def add_task(
        self, service: Service, *, slot: int, node: str, desired: str, when: str | None = None
    ) -> Task:
        """Add a task of a service's current spec, and forget the oldest of its slot."""
        when = when or stamp()
        task = Task(
            id=new_id(),
            version=self._raft.next(),
            created_at=when,
            updated_at=when,
            labels={},
            spec=task_spec(service.spec),
            service_id=service.id,
            slot=slot,
            node_id="" if slot else node,
            status=TaskStatus(timestamp=when, state="new", message="created", port_status={}),
            desired_state=desired,
            job_iteration=service.job_iteration,
        )
        tasks = self._by_service[service.id]
        same = [one for one in tasks if one.key == task.key]
        past = [one for one in same if one.desired_state in ("shutdown", "complete")]
        for old in past[: max(0, len(same) + 1 - HISTORY)]:
            self.forget(old)
        tasks.append(task)
        self.tasks.add(task, task.id)
        return task

    def set_task(self, task: Task, state: str, message: str, *, err: str = "") -> None:
        """Write where a task stands, and tell what became of its container."""
        was = task.status.state
        container: Json | None = None
        if state in ("starting", "running", "complete", "failed", "shutdown"):
            code = err.partition("(")[2].partition(")")[0] if state == "failed" else ""
            container = {
                "ContainerID": task.container_id,
                "PID": 1 if state == "running" else 0,
                "ExitCode": int(code) if code.isdigit() else 0,
            }
        task.status = TaskStatus(
            timestamp=stamp(),
            state=state,
            message=message,
            err=err,
            container_status=container,
            port_status={},
        )
        self.tasks.touch(task)
        if state == "starting":
            self._tell(task, "create")
            self._tell(task, "start")
        elif was in _HAS_RUNNING and state not in _HAS_RUNNING:
            self._tell(task, "die")

    def set_desired(self, task: Task, desired: str) -> None:
        """Write what becomes of a task."""
        task.desired_state = desired
        self.tasks.touch(task)

    def assign(self, task: Task, node: str) -> None:
        """Write which node runs a task."""
        task.node_id = node
        self.set_task(task, "assigned", "scheduler assigned task to node")

    def forget_slot(self, service: Service, key: int | str) -> None:
        """Forget all tasks of a slot that is no longer wanted."""
        for task in [t for t in self._by_service.get(service.id, []) if t.key == key]:
            self.forget(task)

    def counts(self, service: Service, wanted: int) -> Mapping[str, int]:
        """Count a service's tasks as ``status=true`` shows them."""
        tasks = self._by_service[service.id]
        states = [t.status.state for t in tasks if t.job_iteration == service.job_iteration]
        job, is_job = shape_of(service.spec).mode.replicated_job, service.job_status is not None
        # Of a job on every node, those count that have not ended.
        left = max(0, wanted - states.count("complete")) if is_job else wanted
        return {
            "RunningTasks": states.count("running"),
            "DesiredTasks": job.max_concurrent if job else left,
            "CompletedTasks": states.count("complete") if is_job else 0,
        }

    def forget(self, task: Task) -> None:
        """Forget a task."""
        self._by_service[task.service_id].remove(task)
        self._drop(task)

    def _drop(self, task: Task) -> None:
        self.tasks.drop(task, task.id)
        if task.status.state in _HAS_RUNNING:
            self._tell(task, "die")
        if task.status.container_status is not None:
            self._tell(task, "destroy")

    def _tell(self, task: Task, action: str) -> None:
        labels = {"com.docker.swarm.task.id": task.id,
                  "com.docker.swarm.service.id": task.service_id,
                  "com.docker.swarm.node.id": task.node_id}  # fmt: skip
        self._raft.events.tell("container", action, task.container_id, scope="local", **labels)

    def _checked(self, spec: Json) -> msgspec.Raw:
        shape = converted(spec)
        check_spec(shape)
        self._check_links(shape)
        whole = completed(spec)
        for network in whole["TaskTemplate"].get("Networks", []):
            network["Target"] = self._network_id(network["Target"])
        return encoded(whole)


def _job_status(iteration: Json) -> Json:
    return {"JobIteration": iteration, "LastExecution": stamp()}


def _endpoint(spec: msgspec.Raw) -> Json:
    asked: Json = msgspec.json.decode(spec).get("EndpointSpec", {})
    ports: list[Json] = asked.get("Ports", [])
    return {"Spec": asked, "Ports": ports} if ports else {"Spec": asked}
