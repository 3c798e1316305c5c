"""opskit: see and safely change many small Docker Swarm servers, from notebooks and terminals.

``Fleet.from_abra().snapshot()`` reads every server at once; its views are DataFrames.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from opskit.errors import OpskitError

if TYPE_CHECKING:
    from opskit.fleet import Fleet
    from opskit.snapshot import Snapshot

__all__ = ["Fleet", "OpskitError", "Snapshot"]

# Loaded when first used: pandas takes half a second, and `opskit --help` needs none of it.
_HOMES = {"Fleet": "opskit.fleet", "Snapshot": "opskit.snapshot"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'opskit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
