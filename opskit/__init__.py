"""opskit: see and safely change many small Docker Swarm servers, from notebooks and terminals.

``Fleet.from_abra().snapshot()`` reads every server at once; its views are DataFrames.
"""

from opskit.errors import OpskitError
from opskit.fleet import Fleet
from opskit.snapshot import Snapshot

__all__ = ["Fleet", "OpskitError", "Snapshot"]
