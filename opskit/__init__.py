"""opskit: see and safely change many small Docker Swarm servers, from notebooks and terminals.

``Fleet.from_abra().snapshot()`` reads every server at once; its views are DataFrames.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from opskit.errors import OpskitError

if TYPE_CHECKING:
    from opskit.fleet import Fleet
    from opskit.operations.options import Options
    from opskit.operations.run import Plan, Run
    from opskit.secrets.value import Secret
    from opskit.snapshot import Snapshot

__all__ = ["Fleet", "OpskitError", "Options", "Plan", "Run", "Secret", "Snapshot"]

# Loaded when first used: pandas takes half a second, and `opskit --help` needs none of it.
_HOMES = {
    "Fleet": "opskit.fleet",
    "Options": "opskit.operations.options",
    "Plan": "opskit.operations.run",
    "Run": "opskit.operations.run",
    "Secret": "opskit.secrets.value",
    "Snapshot": "opskit.snapshot",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'opskit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
