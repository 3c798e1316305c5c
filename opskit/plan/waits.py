"""How long the steps of a plan wait, and what a deploy makes of numbers set by hand.

The rule is `opskit.pace`'s; here it meets what can be known beforehand: the services that run,
and the compose files that will be deployed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from opskit.abra.deployment import Deployment
from opskit.facts.join import stack_of
from opskit.pace import longest
from opskit.steps.deploy import Scaled
from opskit.steps.pacing import asked_for, pace_of, runs_once_more
from opskit.swarm import model
from opskit.swarm.observe import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Seconds to wait for services.

    `timeout` is what the operator, or the recipe if that is more, gives the app; `planned` is what
    its services need as well.
    """

    timeout: float
    planned: float


def waits(
    seen: Observation,
    stack: str,
    patience: float,
    services: Iterable[model.Service],
    found: Deployment | None = None,
) -> Waits:
    """Return how long to wait for services of a stack.

    Parameters
    ----------
    seen
        Their server.
    stack
        Any service of it may carry the recipe's label ``timeout``.
    patience
        Seconds that the operator gives them.
    services
        Those that are waited for.
    found
        The compose files that are deployed, if they are.
    """
    labelled = [asked_for(one) for one in seen.services if stack_of(one.spec.labels) == stack]
    timeout = max([patience, *labelled, found.timeout if found else 0.0])
    paces = [pace_of(one.spec) for one in services]
    paces += found.paces.values() if found else ()
    return Waits(timeout=timeout, planned=longest(timeout, paces, nodes=len(seen.nodes)))


def rescaled(services: Iterable[model.Service], found: Deployment) -> tuple[Scaled, ...]:
    """Return the services whose number of tasks is not what compose files say."""
    changed: list[Scaled] = []
    for service in services:
        mode = service.spec.mode.replicated
        pace = found.paces.get(service.spec.name.removeprefix(f"{found.stack}_"))
        if mode is None or pace is None or pace.tasks is None or mode.replicas == pace.tasks:
            continue
        changed.append(Scaled(service=service.spec.name, before=mode.replicas, after=pace.tasks))
    return tuple(changed)


def about_jobs(seen: Observation, stack: str, services: Iterable[str]) -> str:
    """Name the services, of those given, that are done and run once more when they change."""
    names = set(services)
    rerun = [
        one.spec.name.removeprefix(f"{stack}_")
        for one in seen.services
        if one.spec.name in names and runs_once_more(one, seen.tasks)
    ]
    if not rerun:
        return ""
    return f"{' and '.join(sorted(rerun))} {'runs' if len(rerun) == 1 else 'run'} once more"
