"""Suspending a run at any moment, before and after every write, and waking it later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import opskit
from opskit.errors import OpskitError
from opskit.files import atomic
from opskit.journal.runs import Journal
from opskit.secrets.passstore import PassStore
from opskit.swarm.engine import Engine
from tests.processes import PROCESSES
from tests.run.killing import PLANS
from tests.waiting import LIMIT, eventually

_STORE_WRITES = {"insert", "rm"}


@dataclass(slots=True, kw_only=True)
class Suspended:
    """A process that stands still in the middle of a run.

    `at` is what it was about to do or had just done; `said` is where it writes what it says.
    """

    process: BaseProcess
    at: str
    others: tuple[int, ...]
    said: Path

    def wake(self) -> tuple[int, str]:
        """Let it go on to its end, and give its exit status and what it said."""
        (self.said.parent / "woken").touch()
        for pid in (*self.others, self.process.pid or 0):
            os.kill(pid, signal.SIGCONT)
        self.process.join(LIMIT)
        assert self.process.exitcode is not None, "it did not end"
        return self.process.exitcode, self.said.read_text()


@contextmanager
def suspended(
    environ: Mapping[str, str], folder: Path, kind: str, moment: int | str
) -> Generator[Suspended | None]:
    """Carry out an operation in a process that suspends itself at a moment.

    Parameters
    ----------
    environ
        Added to this process's environment.
    folder
        Where the process writes at what it was suspended, and what it says.
    kind
        One of `PLANS`.
    moment
        Counts from 1; or the name of one, at its first time.

    Yields
    ------
    Suspended or None
        None when it ended before.
    """
    folder.mkdir()
    process = PROCESSES.Process(
        target=_apply, args=({**os.environ, **environ}, folder, kind, moment)
    )
    process.start()
    try:
        eventually(partial(_stands_still, process), f"{kind} to stand still or end")
        at = folder / "at"
        if at.exists():
            name, *others = at.read_text().splitlines()
            pids = tuple(int(pid) for pid in others)
            yield Suspended(process=process, at=name, others=pids, said=folder / "said")
        else:
            yield None
    finally:
        if process.is_alive():
            process.kill()
        process.join(LIMIT)


def _stands_still(process: BaseProcess) -> bool:
    if not process.is_alive():
        return True
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
    except FileNotFoundError:
        # It ended meanwhile.
        return True
    return stat.rpartition(")")[2].split()[0] == "T"


def _apply(environ: Mapping[str, str], folder: Path, kind: str, moment: int | str) -> None:
    os.environ.clear()
    os.environ.update(environ)
    plan = PLANS[kind](opskit.Fleet.from_abra())
    left = moment if isinstance(moment, int) else 1

    def tick(name: str, *others: int) -> None:
        nonlocal left
        if isinstance(moment, str) and name != moment:
            return
        left -= 1
        if left == 0:
            for pid in others:
                os.kill(pid, signal.SIGSTOP)
            (folder / "at").write_text("\n".join([name, *map(str, others)]))
            os.kill(os.getpid(), signal.SIGSTOP)
            # The signal stops one thread after the other: this one must not go on meanwhile.
            eventually((folder / "woken").exists, "somebody to wake this process")

    def untick() -> None:
        nonlocal left
        # Once it has been suspended, it never is again.
        if left > 0:
            left += isinstance(moment, int)

    def ticking(
        owner: Any, name: str, is_write: Callable[..., object] = lambda *_, **__: True
    ) -> None:
        make = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if not is_write(*arguments, **named):
                return make(*arguments, **named)
            what = " ".join(filter(None, [name, named.get("action", "")]))
            tick(f"before {what}")
            try:
                made = make(*arguments, **named)
            except OpskitError:
                # How often Swarm refuses, while a task ends, is not the run's own doing.
                untick()
                raise
            tick(f"after {what}")
            return made

        setattr(owner, name, call)

    # Below the questions for the lock: between one that was answered and the write itself.
    ticking(Engine, "_call", lambda *_, is_read, **__: not is_read)
    ticking(atomic, "_exchange")
    ticking(PassStore, "_run", lambda _, verb, *__, **___: verb in _STORE_WRITES)
    for name in ("intent", "outcome"):
        ticking(Journal, name)

    class Program(subprocess.Popen[str]):
        def __init__(self, arguments: list[str], **more: Any) -> None:
            super().__init__(arguments, **more)
            if "deploy" in arguments:
                tick("during deploy", self.pid)

    subprocess.Popen = Program  # type: ignore[misc]
    run = plan.apply()
    (folder / "said").write_text(" ".join([*run.errors, *run.notes]))
    sys.exit(0 if run.status == "done" else 1)
