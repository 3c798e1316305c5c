"""An engine without Docker: a swarm in memory that speaks the Engine HTTP API.

It answers what opskit and the docker CLI ask of a swarm, with the statuses and texts of Docker
Engine 20.10, and rolls services out as Swarm does. No container ever runs: how a task behaves is
read from its spec (see `opskit.demo.engine.life`).

The layers, each knowing only those before it::

    objects                 what all objects share, how an engine refuses, what it tells
    stored, services …      one kind of object each, with its rules
    state                   Swarm: all of them together, without I/O and without time
    life, rollout           the passing of time: tasks live and die, updates roll out, jobs end
    execs, api              requests in, replies out, without sockets
    serve                   unix sockets
"""

from opskit.demo.engine.objects import Refusal, Role
from opskit.demo.engine.state import Swarm

__all__ = ["Refusal", "Role", "Swarm"]
