"""An engine without Docker: a swarm in memory that speaks the Engine HTTP API.

It answers what opskit and the docker CLI ask of a swarm, with the statuses and texts of Docker
Engine 20.10, and rolls services out as Swarm does. No container ever runs: how a task behaves is
read from its spec (see `opskit.demo.engine.behaviour`).
"""

from opskit.demo.engine.state import Refusal, Swarm

__all__ = ["Refusal", "Swarm"]
