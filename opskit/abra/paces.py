"""How long a service may take to come up, as compose files say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from opskit.abra.interpolate import interpolate
from opskit.pace import HEALTH_INTERVAL_S, HEALTH_RETRIES, Pace

_MODE, _REPLICAS = "deploy.mode", "deploy.replicas"
_UPDATE = "deploy.update_config."
_HEALTH = "healthcheck."
_GRACE = "stop_grace_period"
PACE = (
    _MODE,
    _REPLICAS,
    _GRACE,
    *(_UPDATE + name for name in ("parallelism", "delay", "monitor", "order")),
    *(_HEALTH + name for name in ("test", "disable", "interval", "retries", "start_period")),
)
"""What is read of a service, by path."""

GRACE_S = 10.0
"""What Swarm gives a task to stop when nothing is said."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def pace_of(found: Mapping[str, str], variables: Mapping[str, str]) -> Pace:
    """Return the pace of a service whose fields of `PACE` a compose file gives.

    What docker would refuse counts as not given: docker says so itself.

    Examples
    --------
    >>> from opskit.abra.paces import pace_of
    >>> said = {"deploy.replicas": "3", "deploy.update_config.delay": "2m50s"}
    >>> pace_of(said, {}).delay, pace_of(said, {}).pauses(nodes=1)
    (170.0, 510.0)
    """
    said = {path: interpolate(text, variables).text for path, text in found.items()}
    mode = said.get(_MODE, "")
    if mode in ("global-job", "replicated-job"):
        # No update replaces their tasks in turns.
        return Pace(healthy=_healthy(said), grace=seconds(said.get(_GRACE, ""), GRACE_S))
    return Pace(
        tasks=None if mode == "global" else count(said.get(_REPLICAS, ""), 1),
        healthy=_healthy(said),
        grace=seconds(said.get(_GRACE, ""), GRACE_S),
        parallelism=count(said.get(_UPDATE + "parallelism", ""), 1),
        delay=seconds(said.get(_UPDATE + "delay", "")),
        monitor=seconds(said.get(_UPDATE + "monitor", "")),
        order=_order(said.get(_UPDATE + "order", "")),
    )


def seconds(text: str, default: float = 0.0) -> float:
    """Return what a duration comes to, written as Go and Compose do.

    >>> from opskit.abra.paces import seconds
    >>> seconds("1m30s"), seconds("250ms"), seconds("soon")
    (90.0, 0.25, 0.0)
    """
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return default
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def count(text: str, default: int) -> int:
    """Return a number of tasks."""
    return int(text) if text.isdecimal() and text.isascii() else default


def _healthy(said: Mapping[str, str]) -> float:
    if said.get(_HEALTH + "disable", "").lower() == "true" or _HEALTH + "test" not in said:
        return 0.0
    interval = seconds(said.get(_HEALTH + "interval", "")) or HEALTH_INTERVAL_S
    retries = count(said.get(_HEALTH + "retries", ""), 0) or HEALTH_RETRIES
    return seconds(said.get(_HEALTH + "start_period", "")) + interval * retries


def _order(text: str) -> Literal["stop-first", "start-first"]:
    return "start-first" if text == "start-first" else "stop-first"
