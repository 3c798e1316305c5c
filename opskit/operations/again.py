"""Whether a unit of an older run may still be worked on, or the world has gone past it."""

from __future__ import annotations

from collections.abc import Collection

from opskit.errors import OpskitError
from opskit.operations.plan import Unit
from opskit.operations.steps import Site, TakeLock
from opskit.secrets.redact import redact

_REMEDY = (
    "Roll back the later run first, or rotate to a new version. A run that stopped can be left as "
    "it is: opskit give-up"
)


def take_up(site: Site, unit: Unit, begun: Collection[int]) -> str:
    """Lock the stack again to go on with a unit, or say why it is not the run's any more.

    The lock may have run out since the run stopped, and another run have come and gone.
    """
    lock = unit.steps[0]
    try:
        if isinstance(lock, TakeLock):
            lock.do(site)
        why = _overtaken(site, unit, begun)
        if why and isinstance(lock, TakeLock):
            lock.undo(site)
    except OpskitError as error:
        return redact(str(error))
    return why


def hindrance(site: Site, unit: Unit, begun: Collection[int]) -> str:
    """Say what makes undoing a unit impossible, before anything of it is undone."""
    steps = (step for n, step in enumerate(unit.steps) if n in begun)
    try:
        why = _overtaken(site, unit, begun)
        return why or next((why for step in steps if (why := step.hindrance(site))), "")
    except OpskitError as error:
        return redact(str(error))


def _overtaken(site: Site, unit: Unit, begun: Collection[int]) -> str:
    steps = (step for n, step in enumerate(unit.steps) if n in begun)
    why = next((why for step in steps if (why := step.overtaken(site))), "")
    return f"{why} {_REMEDY} {site.run}" if why else ""
