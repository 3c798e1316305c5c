"""What a task that does not run says of it: its error, its healthcheck's and its own last words."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from opskit.errors import OpskitError
from opskit.facts.places import has_failed, is_alive
from opskit.secrets.redact import redact, unfinished
from opskit.secrets.unknown import mask_unknown
from opskit.swarm import model
from opskit.swarm.engine import Engine
from opskit.swarm.logs import last_words, lines_of

_LINES = 3
_READ = 100
"""More than are shown: a value of several lines is known as one only whole."""
_LONGEST_LINE = 200


def complaint(engine: Engine, tasks: Sequence[model.Task], *, quotes: bool = True) -> str:
    """Return what the latest task that failed says, or of one that is not up yet.

    To be asked while the tasks are there: with its service, all that a task said is gone.

    Parameters
    ----------
    engine
        The server. What a container's healthcheck said is known to the node it runs on only.
    tasks
        Those that may know.
    quotes
        Whether to repeat what programs wrote, masked where it is or may be a value.
    """
    failed = [task for task in tasks if task.status.err or has_failed(task)]
    coming = [task for task in tasks if is_alive(task) and task.status.state != "running"]
    if not failed and not coming:
        return "no task complains"
    last = max(failed or coming, key=lambda task: task.created_at)
    status = last.status
    said = status.err or (status.message if failed else f"a task is still {status.state}")
    return "; ".join([said or status.state, *(_quoted(engine, last) if quotes else ())])


def _quoted(engine: Engine, task: model.Task) -> list[str]:
    """Return what its healthcheck and the task itself wrote last, as far as that can be had."""
    found: list[str] = []
    container = task.status.container_status
    if container is not None and container.container_id:
        # On another node, or cleared away.
        with suppress(OpskitError):
            found += _about_health(engine.health(container.container_id))
        with suppress(OpskitError):
            wrote = _fit(last_words(engine, task.id, tail=_READ))
            found += [f"it wrote: {wrote}"] if wrote else []
    return found


def _about_health(health: model.Health | None) -> list[str]:
    if health is None or health.status == "healthy":
        return []
    failing = [one for one in health.log or () if one.exit_code]
    if not failing:
        return []
    # The engine ends the last one together with the container.
    told = next((one for one in reversed(failing) if one.output.strip()), failing[0])
    # The engine cuts long output off: half a value would not be known as one.
    said = _fit(lines_of(told.output[: unfinished(told.output)]))
    return [f"its healthcheck fails (exit status {told.exit_code}){f': {said}' if said else ''}"]


def _fit(lines: Sequence[str]) -> str:
    # Masked before anything is cut, as half a value would not be known as one.
    masked = mask_unknown(redact("\n".join(lines))).splitlines()
    short = [
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
        for line in map(str.strip, masked)
        if line
    ]
    return " | ".join(short[-_LINES:])
