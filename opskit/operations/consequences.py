"""What a plan does to people and services, read off its steps: every skin shows and asks the same.

Nothing here is stored beside the steps. A plan that was approved or saved, by whatever opskit,
has the consequences of the steps it holds, and several plans joined have those of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from opskit.operations.plan import PlanData, Unit

_NAMED = 4
"""So many services are named in a sentence, and the rest counted."""


class Consequences(msgspec.Struct, frozen=True, kw_only=True):
    """What skins show beside a plan's changes, and ask before it is applied.

    Parameters
    ----------
    irreversible
        Whether something of it can never be taken back.
    confirm
        What somebody types before it is applied; empty when a yes will do.
    warnings
        Sentences about what is gone or down afterwards.
    impact
        Sentences about everything else that is touched.
    restarts, removes
        Services, each after its app's name.
    servers, stacks
        Where; a stack is named after its server.
    touches_pass
        Whether entries of the password store are written or removed.
    longest_wait
        Seconds that the steps of one stack may wait for it, at most.
    """

    irreversible: bool
    confirm: str
    warnings: tuple[str, ...]
    impact: tuple[str, ...]
    restarts: tuple[str, ...]
    removes: tuple[str, ...]
    servers: tuple[str, ...]
    stacks: tuple[str, ...]
    touches_pass: bool
    longest_wait: float

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is to be read before somebody agrees, the gravest first."""
        return (*self.warnings, *self.impact)


def consequences_of(plan: PlanData) -> Consequences:
    """Read off a plan's steps what applying it does."""
    units, steps = plan.units, [step for unit in plan.units for step in unit.steps]
    restarts = _distinct(f"{u.app} {name}" for u in units for name in restarted(u))
    removes = _distinct(f"{u.app} {name}" for u in units for name in removed(u))
    warnings = _distinct(step.warning() for step in steps)
    servers = _distinct(unit.server for unit in units)
    stacks = _distinct(f"{unit.server}/{unit.stack}" for unit in units)
    touches_pass = any(step.touches_pass() for step in steps)
    waits = [sum(step.longest_wait() for step in unit.steps) for unit in units]
    longest = max(waits, default=0.0)
    services = [
        *_counted("Removes", removes),
        *_counted("Restarts", restarts),
        *_distinct(step.impact() for step in steps),
    ]
    impact = [*(services or ["Restarts nothing."])]
    if len(stacks) > 1:
        where = servers[0] if len(servers) == 1 else f"{len(servers)} servers"
        impact.append(f"Changes {len(stacks)} stacks on {where}.")
    if touches_pass:
        impact.append("Changes entries of your password store.")
    if longest:
        each = " of each stack" if len(stacks) > 1 else ""
        impact.append(f"Waits for services{each}, at most {longest:,.0f} s.")
    return Consequences(
        irreversible=any(step.is_irreversible() for step in steps),
        confirm=_word(plan) if warnings else "",
        warnings=warnings,
        impact=tuple(impact),
        restarts=restarts,
        removes=removes,
        servers=servers,
        stacks=stacks,
        touches_pass=touches_pass,
        longest_wait=longest,
    )


def removed(unit: Unit) -> tuple[str, ...]:
    """Return the services that a unit takes away, named without their stack."""
    return _short(unit, (name for step in unit.steps for name in step.removes_services()))


def restarted(unit: Unit) -> tuple[str, ...]:
    """Return the services that a unit gives new tasks, named without their stack."""
    gone = removed(unit)
    names = _short(unit, (name for change in unit.changes for name in change.services))
    return tuple(name for name in names if name not in gone)


def _short(unit: Unit, names: Iterable[str]) -> tuple[str, ...]:
    return _distinct(name.removeprefix(f"{unit.stack}_") for name in names)


def _word(plan: PlanData) -> str:
    """Return the app's name, or the number of changes when several apps are concerned."""
    apps = {unit.app for unit in plan.units}
    count = sum(len(unit.changes) for unit in plan.units)
    return apps.pop() if len(apps) == 1 else f"{plan.kind} {count}"


def _counted(verb: str, services: tuple[str, ...]) -> list[str]:
    if not services:
        return []
    many = len(services) > _NAMED
    return [f"{verb} {f'{len(services)} services, named above' if many else ', '.join(services)}."]


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
