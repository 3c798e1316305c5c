"""Serving swarms: one unix socket a server, versions, latency, raw streams, faults on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from weakref import WeakSet

import msgspec
from tornado import web
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_unix_socket

from opskit.demo.engine.api import find_route
from opskit.demo.engine.api.call import Call, Edition, Reply
from opskit.demo.engine.execs import Exec, ExecTable, Execute, Outcome, shell_words
from opskit.demo.engine.life import Pace
from opskit.demo.engine.objects import Event, Refusal
from opskit.demo.engine.rollout import Orchestrator
from opskit.demo.engine.state import Swarm

_BACKLOG = 512
_MAX_BODY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with requests of one kind.

    Parameters
    ----------
    effect
        ``drop-before`` closes the connection without acting, ``drop-after`` acts and closes it,
        ``delay`` answers late, ``refuse`` answers with `status` and does not act.
    method, path
        Which requests: a method, empty for any, and a pattern for the whole path.
    times
        How often.
    seconds
        How late.
    status, message
        The answer of a refusal.
    """

    effect: Literal["drop-before", "drop-after", "delay", "refuse"]
    method: str = ""
    path: str = ".*"
    times: int = 1
    seconds: float = 0.0
    status: int = 500
    message: str = "refused on purpose"


class Faults:
    """The faults one server has yet to show."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Let something go wrong."""
        self._waiting.append((fault, fault.times))

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault this request meets, and count it."""
        for at, (fault, left) in enumerate(self._waiting):
            if fault.method in ("", method) and re.fullmatch(fault.path, path):
                if left > 1:
                    self._waiting[at] = (fault, left - 1)
                else:
                    del self._waiting[at]
                return fault
        return None


_PREFIX = re.compile(r"/v(\d+)\.(\d+)(?=/)")
_RAW_STREAM = "application/vnd.docker.raw-stream"


class Server:
    """An embedded engine that answers on a unix socket, in the running event loop.

    Parameters
    ----------
    swarm
        Its state.
    path
        Where it listens.
    latency
        Seconds before each answer; those to requests that came together pass together.
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
        self.swarm, self.path, self.latency = swarm, path, latency
        self.edition = edition or Edition()
        self.execs = ExecTable(swarm, execute)
        self.faults = Faults()
        """What is to go wrong on purpose."""
        self.delayed = WeakSet[IOStream]()
        """Connections whose next request came with one that was delayed."""
        self._orchestrator = Orchestrator(swarm, pace or Pace())
        routes = [(r".*", _Handler, {"server": self})]
        application = web.Application(routes, log_function=_say_nothing)
        self._http = HTTPServer(application, max_body_size=_MAX_BODY)
        self._http.add_socket(bind_unix_socket(str(path), backlog=_BACKLOG))

    @property
    def host(self) -> str:
        """Its address, as DOCKER_HOST names it."""
        return f"unix://{self.path}"

    async def close(self) -> None:
        """Stop answering, and everything that runs."""
        self._http.stop()
        await self._http.close_all_connections()
        await self._orchestrator.close()
        self.path.unlink(missing_ok=True)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Reply:
        """Answer one request; the state changes here and nowhere else."""
        try:
            route, parts = find_route(method, self._without_version(path))
            if route.managed:
                self.swarm.check_manager()
            call = Call(swarm=self.swarm, execs=self.execs, edition=self.edition, parts=parts,
                        query=query, body=body)  # fmt: skip
            return route.answer(call)
        except Refusal as refusal:
            return _refused(refusal)

    def _without_version(self, path: str) -> str:
        found = _PREFIX.match(path)
        if found is None:
            return path
        asked = f"{found[1]}.{found[2]}"
        if _number(asked) > _number(self.edition.api):
            raise Refusal(
                400,
                f"client version {asked} is too new. Maximum supported API version is "
                f"{self.edition.api}",
            )
        if _number(asked) < _number(self.edition.oldest_api):
            raise Refusal(
                400,
                f"client version {asked} is too old. Minimum supported API version is "
                f"{self.edition.oldest_api}, please upgrade your client to a newer version",
            )
        return path[found.end() :]


class _Handler(web.RequestHandler):
    """Takes every request of one server."""

    server: Server
    _telling: asyncio.Task[None] | None = None

    def initialize(self, server: Server) -> None:
        """Take what the server's requests share, and say what every engine says."""
        self.server = server
        edition = server.edition
        self.set_header("Api-Version", edition.api)
        self.set_header("Docker-Experimental", "false")
        self.set_header("Ostype", "linux")
        self.set_header("Server", f"Docker/{edition.version} (linux)")

    def compute_etag(self) -> str | None:
        """Return no tag: engines send no tags, and hashing long lists costs time."""
        return None

    async def prepare(self) -> None:
        """Answer, whatever the method."""
        fault = self.server.faults.take(self.request.method or "", self.request.path)
        effect = fault.effect if fault else ""
        delay = self._latency() + (fault.seconds if fault else 0.0)
        if delay:
            await asyncio.sleep(delay)
        if effect == "drop-before":
            self.detach().close()
            return
        if fault is not None and effect == "refuse":
            reply = _refused(Refusal(fault.status, fault.message))
        else:
            reply = self._answer()
        if effect == "drop-after":
            self.detach().close()
        elif reply.stream is not None:
            await self._hand_over(reply.stream)
        elif reply.events is not None:
            await self._tell(reply.events)
        else:
            await self._send(reply)

    def _latency(self) -> float:
        """Return how long this request is on its way; not again, if it came with the one before."""
        if not self.server.latency:
            return 0.0
        stream, delayed = (
            cast("HTTP1Connection", self.request.connection).stream,
            self.server.delayed,
        )
        assert stream is not None, "the request came over it"
        latency = 0.0 if stream in delayed else self.server.latency
        # Tornado has read what came together, and takes it up one by one.
        has_more = stream._read_buffer_size > 0  # pyright: ignore[reportPrivateUsage]
        (delayed.add if has_more else delayed.discard)(stream)
        return latency

    def _answer(self) -> Reply:
        request = self.request
        query = {name: self.get_query_argument(name) for name in request.query_arguments}
        return self.server.answer(request.method or "", request.path, query, request.body)

    async def _send(self, reply: Reply) -> None:
        self.set_status(reply.status)
        if reply.body:
            self.set_header("Content-Type", reply.content_type)
        elif reply.status == 200:
            self.set_header("Content-Length", "0")
        await self.finish(reply.body or None)

    async def _tell(self, wanted: Callable[[Event], bool]) -> None:
        """Send each event as it happens, until the client leaves."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue[Event]()
        on_its_way = self.server.latency / 2

        def send(event: Event) -> None:
            if wanted(event):
                loop.call_soon_threadsafe(loop.call_later, on_its_way, arrived.put_nowait, event)

        self.set_header("Content-Type", "application/json")
        stop, self._telling = self.server.swarm.events.listen(send), asyncio.current_task()
        try:
            await self.flush()
            while True:
                self.write(msgspec.json.encode(await arrived.get()) + b"\n")
                await self.flush()
        except (StreamClosedError, asyncio.CancelledError):
            self._finished = True
        finally:
            stop()

    def on_connection_close(self) -> None:
        """Send no events to one who has left."""
        if self._telling is not None:
            self._telling.cancel()

    async def _hand_over(self, one: Exec) -> None:
        """Leave HTTP: run the command, its input and output on the bare connection."""
        upgrade = self.request.headers.get("Upgrade")
        status = "101 UPGRADED" if upgrade else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Type: {_RAW_STREAM}\r\n"
        if upgrade:
            head += f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n"
        stream = self.detach()
        assert stream.socket is not None, "the request came over it"
        # Tornado closes a stream at the end of its input; the answer still has to go out.
        with (
            contextlib.suppress(StreamClosedError, OSError),
            contextlib.closing(stream),
            contextlib.closing(stream.socket.dup()) as answer,
        ):
            await stream.write(f"{head}\r\n".encode())
            stdin = await _read_to_end(stream) if one.request.attach_stdin else b""
            output = _framed(self._run(one, stdin), tty=one.request.tty)
            await asyncio.get_running_loop().sock_sendall(answer, output)

    def _run(self, one: Exec, stdin: bytes) -> Outcome:
        try:
            return self.server.execs.run(one, stdin)
        except Refusal as refusal:
            return Outcome(code=1, stdout=f"{refusal.message}\r\n".encode())


async def _read_to_end(stream: IOStream) -> bytes:
    read = b""
    try:
        while True:
            read += await stream.read_bytes(65_536, partial=True)
    except StreamClosedError:
        # The client closed its side for writing: this is how an end of input looks.
        return read


def _framed(outcome: Outcome, *, tty: bool) -> bytes:
    if tty:
        return outcome.stdout + outcome.stderr
    parts = ((1, outcome.stdout), (2, outcome.stderr))
    return b"".join(struct.pack(">BxxxL", kind, len(text)) + text for kind, text in parts if text)


def _refused(refusal: Refusal) -> Reply:
    body = msgspec.json.encode({"message": refusal.message}) + b"\n"
    return Reply(status=refusal.status, body=body)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _say_nothing(_: web.RequestHandler) -> None:
    """Log no request: its body can hold a secret."""


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
