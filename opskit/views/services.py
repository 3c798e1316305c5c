"""Views of what runs in the swarms: services and their tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated

from opskit.facts.facts import Facts, Part
from opskit.facts.join import stack_of
from opskit.facts.places import tally
from opskit.swarm import model
from opskit.swarm.observe import Observation
from opskit.views.columns import Column, Row
from opskit.views.table import About, Table, about


class ServicesRow(Row, frozen=True, kw_only=True):
    """A row of the services view: one service of a swarm."""

    server: Annotated[str, Column("The server, as abra names it.")]
    stack: Annotated[str | None, Column("The stack it is labelled with.")]
    app: Annotated[str | None, Column("The app that is deployed under this stack's name.")]
    service: Annotated[str, Column("Its whole name: <stack>_<service>.")]
    image: Annotated[str, Column("The image of its spec, as the engine resolved it.")]
    mode: Annotated[str, Column("replicated, global, replicated-job or global-job.")]
    running: Annotated[int | None, Column("How many of its tasks run.")]
    desired: Annotated[int | None, Column("How many of its tasks are to run, without those done.")]
    completed: Annotated[
        int | None, Column("How many have done their work, where they are there to end.")
    ]
    update_state: Annotated[str | None, Column("How its last rollout stands.")]
    update_message: Annotated[str | None, Column("What the engine says of that rollout.")]
    secrets: Annotated[list[str], Column("Secrets of its spec, by their whole names.")]
    configs: Annotated[list[str], Column("Configs of its spec, by their whole names.")]
    created_at: Annotated[datetime, Column("When it was made.")]
    updated_at: Annotated[datetime | None, Column("When it last changed.")]
    service_id: Annotated[str, Column("The swarm's id of it.")]
    labels: Annotated[dict[str, str], Column("Its labels.")]


class TasksRow(Row, frozen=True, kw_only=True):
    """A row of the tasks view: one container of a service, past ones as the engine keeps them."""

    server: Annotated[str, Column("The server, as abra names it.")]
    stack: Annotated[str | None, Column("The stack its service is labelled with.")]
    service: Annotated[str, Column("Its service; the id when that is gone.")]
    slot: Annotated[int | None, Column("Which of the replicas it is, from 1.")]
    node: Annotated[str | None, Column("The node it is on; the id when that is gone.")]
    state: Annotated[str, Column("Where it stands, such as running or failed.")]
    desired_state: Annotated[str, Column("Where the swarm wants it, such as running or shutdown.")]
    since: Annotated[datetime | None, Column("When it came to this state.")]
    message: Annotated[str | None, Column("What the engine says of the state.")]
    error: Annotated[str | None, Column("Why it failed.")]
    image: Annotated[str | None, Column("The image it was begun with.")]
    created_at: Annotated[datetime, Column("When it was made.")]
    task_id: Annotated[str, Column("The swarm's id of it.")]


def tasks_by_service(seen: Observation) -> Mapping[str, Sequence[model.Task]]:
    """Return the tasks of a swarm by the id of their service."""
    found: defaultdict[str, list[model.Task]] = defaultdict(list)
    for task in seen.tasks:
        found[task.service_id].append(task)
    return found


def _services_rows(part: Part) -> Iterator[ServicesRow]:
    seen = part.read
    if seen is None:
        return
    apps = {app.stack: app.name for app in reversed(part.apps)}
    tasks = tasks_by_service(seen)
    for service in sorted(seen.services, key=lambda one: one.spec.name):
        stack = stack_of(service.spec.labels)
        container = service.spec.task_template.container_spec or model.ContainerSpec()
        counts, update = tally(service, tasks[service.id]), service.update_status
        yield ServicesRow(
            server=part.server,
            stack=stack or None,
            app=apps.get(stack),
            service=service.spec.name,
            image=container.image,
            mode=_mode(service.spec.mode),
            running=counts.running if counts else None,
            desired=counts.desired if counts else None,
            completed=counts.completed if counts else None,
            update_state=(update.state if update else None) or None,
            update_message=(update.message if update else None) or None,
            secrets=[reference.secret_name for reference in container.secrets or ()],
            configs=[reference.config_name for reference in container.configs or ()],
            created_at=service.created_at,
            updated_at=service.updated_at,
            service_id=service.id,
            labels=service.spec.labels or {},
        )


def _about_services(facts: Facts, says: Callable[[str], bool]) -> About:
    # Few fleets have any.
    done = ("completed",) if says("completed") else ()
    return about(
        facts, "services", "server", "stack", "service", "image", "running", "desired", *done,
        "update_state", "secrets", key="service",
        goes=("secrets", "stack", "update_state", "server", "image"),
    )  # fmt: skip


SERVICES = Table(row=ServicesRow, rows=_services_rows, about=_about_services)
"""The services view: one `ServicesRow` per service."""


def _mode(mode: model.ServiceMode) -> str:
    if mode.replicated is not None:
        return "replicated"
    if mode.global_ is not None:
        return "global"
    return "replicated-job" if mode.replicated_job is not None else "global-job"


def _tasks_rows(part: Part) -> Iterator[TasksRow]:
    seen = part.read
    if seen is None:
        return
    services = {service.id: service.spec for service in seen.services}
    nodes = {node.id: node.description.hostname for node in seen.nodes}
    names = {one: spec.name for one, spec in services.items()}
    for task in sorted(seen.tasks, key=lambda one: (names.get(one.service_id, ""), one.slot)):
        spec = services.get(task.service_id)
        container = task.spec.container_spec
        yield TasksRow(
            server=part.server,
            stack=(stack_of(spec.labels) or None) if spec else None,
            service=spec.name if spec else task.service_id,
            slot=task.slot or None,
            node=nodes.get(task.node_id) or task.node_id or None,
            state=task.status.state,
            desired_state=task.desired_state,
            since=task.status.timestamp,
            message=task.status.message or None,
            error=task.status.err or None,
            image=container.image if container else None,
            created_at=task.created_at,
            task_id=task.id,
        )


TASKS = Table(
    row=TasksRow,
    rows=_tasks_rows,
    about=lambda facts, _: about(
        facts, "tasks", "server", "service", "slot", "node", "state", "desired_state", "since",
        "error", key="task_id", goes=("desired_state", "node", "since", "server", "slot"),
    ),
)  # fmt: skip
"""The tasks view: one `TasksRow` per task, past ones included."""
