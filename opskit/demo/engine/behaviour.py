"""How a simulated task behaves, read from the spec fields that would decide it for real."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from opskit.demo.engine.specs import ServiceShape

Kind = Literal["runs", "completes", "crashes", "unhealthy", "no-image", "no-secret"]

FATE = "opskit.demo.fate"
"""A service label: what becomes of its tasks, whatever they run (one of `Kind`)."""
FAILS_WITH = "opskit.demo.fails-with"
"""A service label: tasks crash when they mount the secret of this name."""

_EXIT = re.compile(r"(?:exit (\d+)|false)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a task.

    Parameters
    ----------
    kind
        How it ends, or that it runs.
    complaint
        The error its status will show.
    after
        For an unhealthy task, nanoseconds until the engine gives up on it.
    """

    kind: Kind
    complaint: str = ""
    after: int = 0


def fate(shape: ServiceShape, has_object: Callable[[str, str], bool]) -> Fate:
    """Tell what becomes of a task of this service.

    Parameters
    ----------
    shape
        The service.
    has_object
        Whether a ``secret`` or ``config`` of an id still exists.
    """
    container = shape.container
    chosen = shape.labels.get(FATE, "")
    if chosen == "no-image" or (not chosen and _is_missing(container.image)):
        return Fate(kind="no-image", complaint=f"No such image: {container.image}")
    for noun, references in (("secret", container.secrets), ("config", container.configs)):
        for reference in references:
            if not has_object(noun, reference.id):
                return Fate(kind="no-secret", complaint=_not_in_store(noun, reference.id))
    code = _exit_code([*container.command, *container.args])
    culprit = shape.labels.get(FAILS_WITH)
    if chosen == "crashes" or (culprit and culprit in [r.name for r in container.secrets]):
        code = code or 1
    if code and chosen in ("", "crashes"):
        return Fate(kind="crashes", complaint=f"task: non-zero exit ({code})")
    if code == 0 or chosen == "completes":
        return Fate(kind="completes")
    if chosen == "unhealthy" or _is_unhealthy(shape):
        check = container.healthcheck
        wait = check.start_period + check.interval * check.retries if check else 0
        text = "task: non-zero exit (137): dockerexec: unhealthy container"
        return Fate(kind="unhealthy", complaint=text, after=wait)
    return Fate(kind="runs")


def _is_missing(image: str) -> bool:
    name = image.rpartition("/")[2].partition(":")[0]
    return name == "missing"


def _is_unhealthy(shape: ServiceShape) -> bool:
    check = shape.container.healthcheck
    return check is not None and bool(check.test) and _exit_code(check.test) not in (None, 0)


def _exit_code(command: list[str]) -> int | None:
    """Tell how a command ends at once; ``None`` when it goes on or cannot be told."""
    last = command[-1].strip() if command else ""
    if last in ("true", "exit"):
        return 0
    found = _EXIT.search(last)
    return None if found is None else int(found[1] or 1)


def _not_in_store(noun: str, ident: str) -> str:
    return (
        f"starting container failed: unable to get {noun} from {noun} store: "
        f"{noun} {ident} not found"
    )
