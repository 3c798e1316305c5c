"""What the tasks of a service tell: which live, which failed, and which nobody can stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from opskit.swarm import model

_FAILED_STATES = frozenset({"failed", "rejected"})
_ENDED_STATES = _FAILED_STATES | {"complete", "shutdown", "remove", "orphaned"}
_TO_END = frozenset({"shutdown", "remove"})


def is_alive(task: model.Task) -> bool:
    """Tell whether a task has not ended, as far as Swarm knows."""
    return task.status.state not in _ENDED_STATES


def has_failed(task: model.Task) -> bool:
    """Tell whether a task has failed."""
    return task.status.state in _FAILED_STATES


def complaint(tasks: Sequence[model.Task]) -> str:
    """Give the latest thing a task complained of."""
    said = [task for task in tasks if task.status.err or has_failed(task)]
    if not said:
        return "no task complains"
    last = max(said, key=lambda task: task.created_at)
    return last.status.err or last.status.message or last.status.state


def lost(tasks: Iterable[model.Task], nodes: Iterable[model.Node]) -> dict[str, str]:
    """Give the tasks that Swarm told to end on nodes that are down: their ids, and the nodes.

    Swarm shows them as running until the node is back or removed, a day at most. Nothing can
    be learnt by waiting for them, and they may in truth still run.
    """
    down = {
        node.id: node.description.hostname or node.id
        for node in nodes
        if node.status.state == "down"
    }
    return {
        task.id: down[task.node_id]
        for task in tasks
        if task.node_id in down and is_alive(task) and task.desired_state in _TO_END
    }


def about_lost(found: Mapping[str, str]) -> str:
    """Say which nodes are down and what that means; nothing when no task is lost on one."""
    if not found:
        return ""
    names = sorted(set(found.values()))
    which = f"node {names[0]} is" if len(names) == 1 else f"nodes {', '.join(names)} are"
    return f"{which} down, and whether its old task there has ended cannot be told"
