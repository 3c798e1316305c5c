"""Listening: one unix socket per server, all in one event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from opskit.demo.engine.api.call import Edition
from opskit.demo.engine.execs import Execute, shell_words
from opskit.demo.engine.http import Faults, Site, application
from opskit.demo.engine.life import Pace
from opskit.demo.engine.rollout import Orchestrator
from opskit.demo.engine.state import Swarm

_BACKLOG = 512
_MAX_BODY = 4 * 1024 * 1024


class Server:
    """An embedded engine that answers on a unix socket, in the running event loop.

    Parameters
    ----------
    swarm
        Its state.
    path
        Where it listens.
    latency
        Seconds before each answer.
    pace
        How fast simulated time passes.
    edition
        Which Docker Engine it passes for.
    execute
        Decides what a command in a container comes to.
    """

    def __init__(
        self,
        swarm: Swarm,
        path: Path,
        *,
        latency: float = 0.0,
        pace: Pace | None = None,
        edition: Edition | None = None,
        execute: Execute = shell_words,
    ) -> None:
        self.swarm, self.path = swarm, path
        self._site = Site(
            swarm=swarm, latency=latency, edition=edition or Edition(), execute=execute
        )
        self._orchestrator = Orchestrator(swarm, pace or Pace())
        self._http = HTTPServer(application(self._site), max_body_size=_MAX_BODY)
        self._http.add_socket(bind_unix_socket(str(path), backlog=_BACKLOG))

    @property
    def host(self) -> str:
        """Its address, as DOCKER_HOST names it."""
        return f"unix://{self.path}"

    @property
    def faults(self) -> Faults:
        """What is to go wrong on purpose."""
        return self._site.faults

    async def close(self) -> None:
        """Stop answering, and everything that runs."""
        self._http.stop()
        await self._http.close_all_connections()
        await self._orchestrator.close()
        self.path.unlink(missing_ok=True)


def serve(
    sockets: Mapping[Path, Swarm], *, latency: float = 0.0, pace: Pace | None = None
) -> list[Server]:
    """Serve swarms on unix sockets in the running event loop.

    Parameters
    ----------
    sockets
        Where each swarm listens.
    latency
        Seconds before each answer.
    pace
        How fast simulated time passes.
    """
    return [Server(swarm, path, latency=latency, pace=pace) for path, swarm in sockets.items()]


async def serve_until_orphaned(sockets: Mapping[Path, Swarm], *, latency: float = 0.0) -> None:
    """Serve until stdin ends: the parent holds its other end, so this process dies with it."""
    servers = serve(sockets, latency=latency)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    for server in servers:
        await server.close()
