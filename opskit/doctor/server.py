"""One server, from its Docker context to its swarm: up to the first thing that is in the way."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from opskit.doctor.programs import after_refusal
from opskit.doctor.rows import CheckupRow, mend, told, well
from opskit.errors import LoginRefusedError, MissingToolError, OpskitError
from opskit.swarm import lists
from opskit.swarm.connection import Reply
from opskit.swarm.context import (
    Context,
    docker_arguments,
    find_context,
    ssh_target,
    without_password,
)
from opskit.swarm.model import Info
from opskit.swarm.reader import read_at_once
from opskit.swarm.refusal import not_managing, refusal
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT


def look_at(server: str, seconds: float) -> list[CheckupRow]:
    """Look at one server; the last row says what is in the way, if anything is.

    Parameters
    ----------
    server
        Its name, as abra has it.
    seconds
        Deadline for everything together.
    """
    return list(_looks(server, seconds))


def _looks(server: str, seconds: float) -> Iterator[CheckupRow]:
    try:
        context = find_context(server)
    except OpskitError as error:
        yield told("context", error, server=server)
        return
    yield well("context", without_password(context.host), server=server)
    deadline = Deadline(seconds, server)
    if context.address.scheme == "ssh":
        login = _log_in(context, deadline, seconds)
        yield login
        if login.state != "well":
            return
    yield from _engine(context, deadline)


def _log_in(context: Context, deadline: Deadline, seconds: float) -> CheckupRow:
    server = context.server
    try:
        TRANSPORT.log_in(context, deadline)
    except LoginRefusedError as error:
        return mend("ssh", error.what, after_refusal(context, seconds), server=server)
    except MissingToolError as error:
        return told("ssh", error, server=server)
    except OpskitError as error:
        words = [word for word in ssh_target(context) if word != "--"]
        see = f"See where it stops: {shlex.join(['ssh', '-v', *words])} true"
        return told("ssh", error, server=server, otherwise=see)
    return well("ssh", "logs in", server=server)


def _engine(context: Context, deadline: Deadline) -> Iterator[CheckupRow]:
    server = context.server
    see = f"See what it says: {shlex.join(['docker', *docker_arguments(server)])} info"
    paths = [lists.INFO.path, lists.NODES.path]
    replies, failure = read_at_once(TRANSPORT, context, paths, deadline)
    try:
        if not replies and failure is not None:
            raise failure
        info = lists.INFO.read(_body(replies[0], server), server)
    except OpskitError as error:
        yield told("engine", error, server=server, otherwise=see)
        return
    system = f" on {info.operating_system}" if info.operating_system else ""
    yield well("engine", f"Docker {info.server_version}{system}", server=server)
    try:
        yield _swarm(info, replies, failure, server)
    except OpskitError as error:
        yield told("swarm", error, server=server, otherwise=see)


def _swarm(
    info: Info, replies: list[Reply], failure: OpskitError | None, server: str
) -> CheckupRow:
    if not info.swarm.control_available:
        raise not_managing(info.swarm, server)
    if failure is not None:
        raise failure
    nodes = lists.NODES.read(_body(replies[1], server), server)
    rest = f" of {len(nodes)} nodes" if len(nodes) > 1 else ""
    return well("swarm", f"manager{rest}", server=server)


def _body(reply: Reply, server: str) -> bytes:
    if reply.status >= 400:
        raise refusal(reply.status, reply.body, server=server)
    return reply.body
