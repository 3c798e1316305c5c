"""Listening: one unix socket per swarm, all in one process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from opskit.demo.engine.http import application
from opskit.demo.engine.rollout import Orchestrator
from opskit.demo.engine.state import Swarm

_BACKLOG = 512


def listen(sockets: Mapping[Path, Swarm], *, latency: float = 0.0, start: float = 0.05) -> None:
    """Serve swarms on unix sockets in the running event loop.

    Parameters
    ----------
    sockets
        Where each swarm listens.
    latency
        Seconds before each answer.
    start
        Seconds a task takes to start.
    """
    for path, swarm in sockets.items():
        Orchestrator(swarm, start=start)
        server = HTTPServer(application(swarm, latency), max_body_size=4 * 1024 * 1024)
        server.add_socket(bind_unix_socket(str(path), backlog=_BACKLOG))


async def serve_until_orphaned(
    sockets: Mapping[Path, Swarm], *, latency: float = 0.0, start: float = 0.05
) -> None:
    """Serve until stdin ends: the parent holds its other end, so this process dies with it."""
    listen(sockets, latency=latency, start=start)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
