"""An engine behind ssh: the system's OpenSSH runs ``docker system dial-stdio`` over there.

OpenSSH resolves aliases, ports, jump hosts, agents and hardware keys as in the operator's
terminal. One authenticated connection per server (ControlMaster) carries all channels, since
sshd drops unauthenticated connections at random beyond ``MaxStartups`` (10 by default).
"""

from __future__ import annotations

import os
import random
import re
import shlex
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from opskit.errors import LoginRefusedError, UnreachableError
from opskit.swarm.context import Context, ssh_target
from opskit.swarm.masters import Way, not_started
from opskit.swarm.stream import Deadline, Stream

_REFUSED = "Permission denied ("
"""Before the ways that the server would have taken."""

_NO_RIGHTS = (
    "the ssh user may not use Docker there.",
    "Add it to the docker group: {terminal} 'sudo usermod -aG docker \"$USER\"'",
)
_NO_DAEMON = (
    "Docker is not running there, or not for this user.",
    "Start it: {terminal} sudo systemctl start docker",
)
_NO_DOCKER = (
    "the docker command is not installed there ({last}).",
    "Install it: {terminal} sudo apt-get install docker.io",
)
_EXPLANATIONS: tuple[tuple[str, str, str], ...] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its ssh host key has changed.",
        "Find out why; if the change is yours: ssh-keygen -R {known_as}, then {ssh} true to "
        "compare and accept the new key.",
    ),
    (
        "Host key verification failed",
        "its ssh host key is not known.",
        "Compare the fingerprint and accept it: {ssh} true",
    ),
    ("Could not resolve hostname", "its name cannot be resolved ({last}).", "Check: {ssh} true"),
    ("permission denied while trying to connect to the Docker daemon", *_NO_RIGHTS),
    ("connect: permission denied", *_NO_RIGHTS),
    (
        _REFUSED,
        "ssh refused the login ({last}).",
        "Check the key and agent: ssh-add -l, then {ssh} true",
    ),
    ("Cannot connect to the Docker daemon", *_NO_DAEMON),
    ("connect: no such file or directory", *_NO_DAEMON),
    ("connect: connection refused", *_NO_DAEMON),
    (
        "stdio forwarding failed",
        "its jump host does not get through to it ({last}).",
        "Check: {ssh} true",
    ),
    ("command not found", *_NO_DOCKER),
    ("not found", *_NO_DOCKER),
)
"""What stands in what ssh, or docker over there, wrote; what it means, and the next step."""

_SSH_FAILED = 255
"""ssh's own status; any other is that of what it ran."""
_MOST_SAID = 65_536

_AFTERMATH = re.compile(
    r"stdio forwarding failed|Connection closed by UNKNOWN port|Killed by signal|"
    r"Shared connection to \S+ closed"
)
"""What ssh says last, after it has said why."""

_DROPPED = (
    "kex_exchange_identification",
    "Connection reset by",
    "Connection closed by",
    "Session open refused by peer",
    "mux_client_request_session",
)
"""What ssh says when sshd sheds load before any byte of ours reached the engine."""


def dial_stdio(context: Context) -> str:
    """Return what the shell over there is to run: a pipe to the engine, at its socket if named."""
    path = context.address.path
    host = f"--host {shlex.quote(f'unix://{path}')} " if path else ""
    return f"docker {host}system dial-stdio"


def open_ssh(context: Context, deadline: Deadline, way: Way) -> Stream:
    """Start a channel to the engine behind an ``ssh://`` context.

    Returns
    -------
    Stream
        Connected to the ssh client; whether the far end answers shows at the first exchange.

    Raises
    ------
    UnreachableError
        It cannot be started, as when this process has too many files open.
    """
    command = _command(context, way, deadline, dial_stdio(context))
    try:
        with ExitStack() as opened:
            ours, theirs = socket.socketpair()
            opened.callback(ours.close)
            with theirs:
                # A file, not a pipe: the master that stays behind inherits it and would hold a
                # pipe open.
                stderr = opened.enter_context(tempfile.TemporaryFile())
                process = _start(command, theirs.fileno(), stderr)
            # From here on the stream closes them.
            opened.pop_all()
    except OSError as error:
        raise not_started(error, context) from error
    return Stream(
        ours,
        deadline,
        process=process,
        stderr=stderr,
        explain=lambda said: explain(said, context),
    )


def log_in(context: Context, deadline: Deadline, way: Way) -> None:
    """Log in to the server behind an ``ssh://`` context, and ask nothing of its engine.

    Raises
    ------
    UnreachableError
        It cannot be logged in to, or not in time; says why. A `LoginRefusedError` when it takes
        none of the keys.
    """
    command = _command(context, way, deadline, "true")
    try:
        with Path(os.devnull).open("r+b") as nothing, tempfile.TemporaryFile() as stderr:
            process = _start(command, nothing.fileno(), stderr)
            try:
                process.wait(deadline.remaining("logging in over ssh"))
            except subprocess.TimeoutExpired:
                raise deadline.passed("logging in over ssh") from None
            finally:
                process.kill()
                process.wait()
            stderr.seek(0)
            said = stderr.read(_MOST_SAID).decode(errors="replace")
    except OSError as error:
        raise not_started(error, context) from error
    # Any other status is that of a command over there, so the login went well.
    if process.returncode == _SSH_FAILED:
        what, remedy = explain(said, context)
        kind = LoginRefusedError if _REFUSED in said else UnreachableError
        raise kind(what, server=context.server, remedy=remedy)


def _command(context: Context, way: Way, deadline: Deadline, over_there: str) -> list[str]:
    seconds = max(1, int(deadline.remaining("starting ssh")))
    timeout = ("-o", f"ConnectTimeout={seconds}")
    return ["ssh", *way.options, *timeout, "-T", *ssh_target(context), over_there]


def _start(command: list[str], connected: int, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=connected,
        stdout=connected,
        stderr=stderr,
        # Ctrl-C in the terminal is for opskit, which then ends its channels in order.
        start_new_session=True,
    )


def explain(said: str, context: Context) -> tuple[str, str]:
    """Turn what ssh wrote to stderr into one sentence, and the next step where it is known."""
    address = context.address
    target = [word for word in ssh_target(context) if word != "--"]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not _AFTERMATH.match(line)] or lines
    known_as = f"[{address.host}]:{address.port}" if address.port else address.host
    words = {
        "ssh": shlex.join(["ssh", *target]),
        "terminal": shlex.join(["ssh", "-t", *target]),
        "last": lines[-1].rstrip(".") if lines else "without a word",
        "known_as": shlex.quote(known_as),
    }
    for sign, what, remedy in _EXPLANATIONS:
        if sign in said:
            return what.format(**words), remedy.format(**words)
    return f"ssh ended: {words['last']}.", ""


def was_dropped(error: UnreachableError) -> bool:
    """Return whether sshd shed the connection, in which case trying again soon is right."""
    return any(sign in str(error) for sign in _DROPPED)


def pause_before_retry(deadline: Deadline) -> None:
    """Wait a random moment, so that many clients do not come back at once."""
    time.sleep(min(random.uniform(0.05, 0.5), deadline.remaining("trying ssh again")))  # noqa: S311
