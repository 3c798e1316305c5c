"""Which places of a service are filled: by a task that runs, or by one that has done its work.

A job and a service that runs once have converged when their tasks ended well. Waiting and views
go by this one rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opskit.swarm import model

_FAILED_STATES = frozenset({"failed", "rejected"})
_ENDED_STATES = _FAILED_STATES | {"complete", "shutdown", "remove", "orphaned"}
_WANTED = frozenset({"running", "complete"})


def is_alive(task: model.Task) -> bool:
    """Return whether a task has not ended, as far as Swarm knows."""
    return task.status.state not in _ENDED_STATES


def has_failed(task: model.Task) -> bool:
    """Return whether a task has failed."""
    return task.status.state in _FAILED_STATES


def has_failed_by_itself(task: model.Task) -> bool:
    """Return whether a task has failed for what it runs.

    An engine that was restarted may miss the container of a task: that says nothing of it.
    """
    return has_failed(task) and not task.status.err.startswith("No such container")


def has_ended_well(task: model.Task) -> bool:
    """Return whether a task has done what it was for."""
    return task.status.state == "complete"


def is_wanted(task: model.Task) -> bool:
    """Return whether Swarm is not about to replace a task; of a job's it wants that it ends."""
    return task.desired_state in _WANTED


def may_end(service: model.Service) -> bool:
    """Return whether a task of it that ended well has done what it was for."""
    policy = service.spec.task_template.restart_policy
    condition = policy.condition if policy else ""
    return service.spec.mode.is_job or condition in ("none", "on-failure")


def is_there_to_end(
    service: model.Service, tasks: Sequence[model.Task], current: Sequence[model.Task]
) -> bool:
    """Return whether its tasks of now are there to end.

    Many apps that are to run for good are restarted on failure only: what ran until it was
    replaced was not there to end, so neither is its successor. A change that is undone at once
    replaces what had no time to end: then what ended before it tells, on the spec of now.
    """
    policy = service.spec.task_template.restart_policy
    others = [task for task in tasks if task not in current]
    latest = _newest(service, others)
    earlier = [
        one for one in current if one.created_at < latest.get(_place(service, one), one).created_at
    ]
    ran_for_good = any(one.status.state == "shutdown" for one in others) and not any(
        map(has_ended_well, [*others, *earlier])
    )
    on_failure = policy is not None and policy.condition == "on-failure"
    is_job = service.spec.mode.is_job
    return may_end(service) and (is_job or not (on_failure and ran_for_good))


def filled(
    service: model.Service, current: Sequence[model.Task], *, ends: bool
) -> dict[tuple[int, str], model.Task]:
    """Return each place that is filled, with the one of its right tasks that fills it."""
    return {
        _place(service, task): task
        for task in current
        if (task.status.state == "running" and is_wanted(task)) or (ends and has_ended_well(task))
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many tasks of a service run, how many are still to run, and how many are done."""

    running: int = 0
    desired: int = 0
    completed: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            running=self.running + other.running,
            desired=self.desired + other.desired,
            completed=self.completed + other.completed,
        )


def tally(service: model.Service, tasks: Sequence[model.Task]) -> Tally | None:
    """Return the counts of a service of these tasks; nothing when the engine gave none.

    The engine counts what a job completed, and wants its tasks for ever all the same. Of other
    services that run once it counts only what runs.
    """
    counts, mode = service.service_status, service.spec.mode
    if counts is None:
        return None
    completed, desired = counts.completed_tasks, counts.desired_tasks
    if mode.replicated_job is not None:
        desired = min(desired, max(0, mode.replicated_job.total_completions - completed))
    elif not mode.is_job:
        current = list(_newest(service, tasks).values())
        ends = is_there_to_end(service, tasks, current)
        found = filled(service, current, ends=ends).values()
        completed = sum(map(has_ended_well, found))
        desired = max(0, desired - completed)
    return Tally(running=counts.running_tasks, desired=desired, completed=completed)


def _newest(
    service: model.Service, tasks: Sequence[model.Task]
) -> dict[tuple[int, str], model.Task]:
    """Return each place with the newest of these tasks in it."""
    return {_place(service, task): task for task in sorted(tasks, key=lambda task: task.created_at)}


def _place(service: model.Service, task: model.Task) -> tuple[int, str]:
    mode = service.spec.mode
    by_node = mode.global_ is not None or mode.global_job is not None
    return task.slot, task.node_id if by_node else ""
