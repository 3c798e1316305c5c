"""What shows that services work: their tasks, and answers to questions from outside."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, assert_never
from urllib.parse import urlsplit

import msgspec

from opskit.arguments import check_choice, check_count, names_in
from opskit.errors import EngineError, InputError, VerifyError
from opskit.facts.places import is_alive
from opskit.steps.base import StepContext
from opskit.swarm import model
from opskit.swarm.engine import Engine

_SECRETS = "/run/secrets"
_SCRATCH = "/tmp"  # noqa: S108 (of a container)
_TO_END = frozenset({"shutdown", "remove"})


def lost(tasks: Iterable[model.Task], nodes: Iterable[model.Node]) -> dict[str, str]:
    """Return the tasks that Swarm told to end on nodes that are down: their ids, and the nodes.

    Swarm shows them as running until the node is back or removed, a day at most. Nothing can
    be learnt by waiting for them, and they may in truth still run.
    """
    down = {
        node.id: node.description.hostname or node.id
        for node in nodes
        if node.status.state == "down"
    }
    return {
        task.id: down[task.node_id]
        for task in tasks
        if task.node_id in down and is_alive(task) and task.desired_state in _TO_END
    }


def about_lost(found: Mapping[str, str]) -> str:
    """Return which nodes are down and what that means; nothing when no task is lost on one."""
    if not found:
        return ""
    names = sorted(set(found.values()))
    which = f"node {names[0]} is" if len(names) == 1 else f"nodes {', '.join(names)} are"
    return f"{which} down, and whether its old task there has ended cannot be told"


def without_secrets(
    engine: Engine, services: Sequence[model.Service], tasks: Collection[str]
) -> tuple[str, str] | None:
    """Return a service, and a container of these tasks that was started without its secrets.

    Docker notes on disk what a container is to have only as it starts it. When the engine is
    killed between making and starting one, the next start is without, and Swarm calls the task
    running (measured on 20.10). A secret's file leaves its place in the container's own file
    system. Whatever may hide the place counts for the service, as do containers of other nodes,
    which cannot be asked, and runtimes other than runc, which may leave none.
    """
    watched = {one.id: (one.spec.name, place) for one in services if (place := _place(one))}
    if not watched or engine.info().default_runtime != "runc":
        return None
    bare = {
        container.id: name
        for container in engine.containers()
        if container.task_id in tasks and container.service_id in watched
        for name, place in [watched[container.service_id]]
        if _lacks(engine, container.id, place)
    }
    # Unless they have ended meanwhile.
    there = engine.containers() if bare else ()
    return next(((bare[one.id], one.id) for one in there if one.id in bare), None)


def _place(service: model.Service) -> str:
    """Return where a container of a service has a secret's file, if that can be seen."""
    spec = service.spec.task_template.container_spec
    files = [secret.file.name for secret in (spec and spec.secrets) or () if secret.file]
    # Of what is mounted, the engine looks into all but what is in memory only; and that may lie
    # over the place under another name, as links of the image lead.
    hidden = any(
        mount.type == "tmpfs" and mount.target.rstrip("/") != _SCRATCH
        for mount in (spec and spec.mounts) or ()
    )
    return "" if hidden or not files else str(PurePosixPath(_SECRETS, files[0]))


def _lacks(engine: Engine, container: str, place: str) -> bool:
    try:
        return not engine.has_file(container, place)
    except EngineError:
        # What it does not tell is not known.
        return False


_PAUSE_S = 1.0

_TARGETS = {
    "http": "one address, such as https://cloud.example.org/status",
    "tcp": "one address with a port, such as 127.0.0.1:5432",
    "command": "a program and its arguments",
}


class PlannedProbe(msgspec.Struct, frozen=True, kw_only=True):
    """A question from outside, as a plan says: unlike a `Probe`, not checked when it is read."""

    kind: Literal["http", "tcp", "command"]
    target: tuple[str, ...]
    status: int = 200


class Probe(PlannedProbe, frozen=True, kw_only=True):
    """A question from outside: an HTTP status, an open TCP port, or a command's exit status.

    Raises
    ------
    InputError
        It could never be asked; says what its target may be.
    """

    def __post_init__(self) -> None:
        check_choice("the probe's kind", self.kind, _TARGETS)
        names_in("the probe's target", self.target, empty=True)
        check_count("the probe's status", self.status, least=100)
        if not _is_askable(self.kind, self.target):
            raise InputError(
                f"the probe {self.kind} cannot be asked of {' '.join(self.target) or 'nothing'!r}.",
                remedy=f"Its target is {_TARGETS[self.kind]}.",
            )


def ask(ctx: StepContext, probe: PlannedProbe, until: float) -> None:
    """Ask until the answer is right or the time is up.

    Raises
    ------
    VerifyError
        The answer stayed wrong.
    """
    why = "not tried"
    while True:
        try:
            why = _answer(probe, max(1.0, min(10.0, until - time.monotonic())))
        except (
            OSError,
            ValueError,
            http.client.HTTPException,
            subprocess.SubprocessError,
        ) as error:
            why = str(error) or type(error).__name__
        if not why:
            return
        if time.monotonic() >= until:
            raise VerifyError(f"the probe {probe.kind} {' '.join(probe.target)} failed: {why}.")
        ctx.keep_lock()
        ctx.wait(_PAUSE_S)


def _answer(probe: PlannedProbe, seconds: float) -> str:
    """Ask once; give nothing when the answer is right, else what is wrong with it."""
    match probe.kind:
        case "http":
            status = http_status(probe.target[0], seconds)
            return "" if status == probe.status else f"status {status}, not {probe.status}"
        case "tcp":
            address = urlsplit(f"//{probe.target[0]}")
            socket.create_connection((address.hostname, address.port), seconds).close()
            return ""
        case "command":
            ended = subprocess.run(
                list(probe.target), stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds,
                check=False,
            )  # fmt: skip
            return "" if ended.returncode == 0 else f"exit status {ended.returncode}"
        case _ as unknown:
            assert_never(unknown)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Takes a reply that leads elsewhere for the answer."""

    def redirect_request(
        self, req: object, fp: object, code: int, msg: str, headers: object, newurl: str
    ) -> None:
        """Go nowhere."""


def http_status(url: str, seconds: float, *, follows: bool = True) -> int:
    """Return the status that an address answers with; where it leads elsewhere, that one's.

    Raises
    ------
    OSError, ValueError, http.client.HTTPException
        It does not answer.
    """
    opener = urllib.request.build_opener(*(() if follows else (_Stay(),)))
    try:
        with opener.open(url, timeout=seconds) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        # It is the reply, with its connection.
        with error:
            return error.code


def _is_askable(kind: str, target: tuple[str, ...]) -> bool:
    if not target or kind == "command":
        return bool(target)
    try:
        address = urlsplit(target[0] if kind == "http" else f"//{target[0]}")
        port = address.port
    except ValueError:
        return False
    if len(target) > 1 or not address.hostname:
        return False
    return address.scheme in ("http", "https") if kind == "http" else bool(port)
