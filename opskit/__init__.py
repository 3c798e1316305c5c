"""opskit: see and safely change many small Docker Swarm servers, from notebooks and terminals.

``Fleet.from_abra().snapshot()`` reads every server at once; its views are DataFrames.
``%load_ext opskit`` masks secrets' values in a notebook's output; see `opskit.guard`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from opskit.errors import OpskitError

if TYPE_CHECKING:
    from opskit import forms, guard, pictures
    from opskit.fleet import Fleet
    from opskit.plan.options import Options
    from opskit.run.options import RunOptions
    from opskit.run.recovery import Rollback
    from opskit.run.run import Plan, Run
    from opskit.runbook.book import Runbook
    from opskit.secrets.generate import Policy
    from opskit.secrets.value import Secret
    from opskit.snapshot import Snapshot
    from opskit.steps.tasks import Probe

    __version__: str

__all__ = [
    "Fleet",
    "OpskitError",
    "Options",
    "Plan",
    "Policy",
    "Probe",
    "Rollback",
    "Run",
    "RunOptions",
    "Runbook",
    "Secret",
    "Snapshot",
    "__version__",
    "forms",
    "guard",
    "pictures",
]

# Loaded when first used: pandas takes half a second, and `opskit --help` needs none of it.
_HOMES = {
    "Fleet": "opskit.fleet",
    "Options": "opskit.plan.options",
    "Plan": "opskit.run.run",
    "Policy": "opskit.secrets.generate",
    "Probe": "opskit.steps.tasks",
    "Rollback": "opskit.run.recovery",
    "Run": "opskit.run.run",
    "RunOptions": "opskit.run.options",
    "Runbook": "opskit.runbook.book",
    "Secret": "opskit.secrets.value",
    "Snapshot": "opskit.snapshot",
    "forms": "opskit.forms",
    "guard": "opskit.guard",
    "pictures": "opskit.pictures",
    "load_ipython_extension": "opskit.guard",
    "unload_ipython_extension": "opskit.guard",
}
_MODULES = frozenset({"forms", "guard", "pictures"})


def __getattr__(name: str) -> object:
    if name == "__version__":
        # Loaded here, as everything is: it takes longer than the rest of this file.
        from importlib.metadata import version

        return version("opskit")
    if name not in _HOMES:
        raise AttributeError(f"module 'opskit' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if name in _MODULES else getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
