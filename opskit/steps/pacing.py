"""What a service's spec says of its tasks: whether they run again, how long they take."""

from __future__ import annotations

from collections.abc import Sequence

from opskit.abra.names import label
from opskit.facts.join import stack_of
from opskit.facts.places import has_ended_well, is_alive, may_end
from opskit.pace import HEALTH_INTERVAL_S, HEALTH_RETRIES, Pace, seconds_of
from opskit.swarm import model

_GRACE_S = 10.0
"""What Swarm gives a task to stop when its spec does not say."""


def runs_once_more(service: model.Service, tasks: Sequence[model.Task]) -> bool:
    """Return whether a change of its spec makes a finished task run again.

    Jobs always do so; others when nothing of them runs any more because it ended well.
    """
    own = [task for task in tasks if task.service_id == service.id]
    finished = may_end(service) and any(map(has_ended_well, own)) and not any(map(is_alive, own))
    return service.spec.mode.is_job or finished


def ran(service: model.Service) -> bool:
    """Return whether all its tasks run, as far as the engine's counts tell."""
    counts = service.service_status
    return counts is None or may_end(service) or counts.running_tasks >= counts.desired_tasks


def asked_for(service: model.Service) -> float:
    """Return the seconds that a recipe's label asks for, 0 without."""
    labels = service.spec.labels or {}
    return seconds_of(labels.get(label(stack_of(labels), "timeout"), ""))


def pace_of(spec: model.ServiceSpec, *, undoing: bool = False) -> Pace:
    """Return how a service's tasks come up and are replaced; `undoing` also by Swarm itself."""
    container = spec.task_template.container_spec
    check = container.healthcheck if container else None
    grace = container.stop_grace_period if container else None
    healthy = 0.0
    if check is not None:
        interval = check.interval / 1e9 or HEALTH_INTERVAL_S
        healthy = check.start_period / 1e9 + interval * (check.retries or HEALTH_RETRIES)
    pace = Pace(healthy=healthy, grace=_GRACE_S if grace is None else grace / 1e9)
    if spec.mode.is_job:
        return pace
    tasks = spec.mode.replicated.replicas if spec.mode.replicated else None
    # Without a word on updates, Swarm replaces one after the other.
    updates = [spec.update_config or model.UpdateConfig(parallelism=1)]
    if undoing and spec.rollback_config is not None:
        updates.append(spec.rollback_config)
    return max(
        (
            Pace(
                tasks=tasks,
                healthy=pace.healthy,
                grace=pace.grace,
                parallelism=update.parallelism,
                delay=update.delay / 1e9,
                monitor=update.monitor / 1e9,
                order="start-first" if update.order == "start-first" else "stop-first",
            )
            for update in updates
        ),
        key=lambda one: one.pauses(nodes=1),
    )
