"""What ``opskit demo`` does with a fleet: start it, let something use it, stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.demo.real import load_sample
from opskit.errors import InputError

EngineKind = Literal["embedded", "dockerd"]

_FOREIGN = ("DOCKER_HOST", "DOCKER_CONTEXT")
"""Would lead away from the fleet."""
_SHELL_BASE = 128
"""A shell's status for a command that a signal ended is this and the signal's number."""


def run_demo(
    engine: EngineKind,
    servers: int,
    *,
    ssh: bool,
    command: Sequence[str],
    look: Callable[[], None],
) -> int:
    """Start a demo fleet with the sample on it, use it, and stop it, whatever happens.

    Parameters
    ----------
    engine
        Embedded engines, or real private Docker daemons.
    servers
        How many real ones; the embedded fleet is always the whole sample.
    ssh
        Reach the real ones over ssh.
    command
        Runs with the fleet in its environment; may be empty.
    look
        Called without a command, while this process's environment names the fleet.

    Returns
    -------
    int
        The command's status, as a shell would have it; 0 without a command.

    Raises
    ------
    InputError
        The command does not exist, or ssh is asked of embedded engines.
    OpskitError
        The fleet did not start.
    """
    with _stopping_in_order(), _sample_fleet(engine, servers, ssh=ssh) as environment:
        if command:
            return _run(command, environment)
        before = dict(os.environ)
        try:
            _become(environment)
            look()
        finally:
            _become(before)
        return 0


@contextmanager
def _sample_fleet(engine: EngineKind, servers: int, *, ssh: bool) -> Generator[Mapping[str, str]]:
    """Run a fleet, and give the environment that leads to it."""
    here = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    if engine == "dockerd":
        with DockerdFleet(servers, ssh=ssh) as real:
            load_sample(real)
            yield here | real.env
        return
    if ssh:
        raise InputError("--ssh needs real servers.", remedy="Add --engine dockerd.")
    with DemoFleet() as fleet:
        yield here | fleet.env


@contextmanager
def _stopping_in_order() -> Generator[None]:
    """End by way of the fleet's own stop when told to end or when the terminal closes."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(_SHELL_BASE + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    # Whether or not its virtual environment is activated, `opskit` is this one.
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, environment.get("PATH", os.defpath)])
    # As in a shell, Ctrl-C is for the command; a handler, unlike SIG_IGN, is not inherited by it.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        status = subprocess.run(command, env={**environment, "PATH": path}, check=False).returncode
    except OSError as error:
        raise InputError(
            f"cannot run {command[0]!r} ({error.strerror}).", remedy="Check its name and PATH."
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)
    return _SHELL_BASE - status if status < 0 else status


def _become(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
