"""A demo fleet for each test that changes one, at a third of what starting one anew takes.

Its files are copied, and its process is forked from one that has everything imported.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from opskit.demo import swarms
from opskit.demo.fleet import DemoFleet, write_contexts
from tests.processes import PROCESSES
from tests.waiting import LIMIT


class CopiedFleet(DemoFleet):
    """The sample's fleet.

    Parameters
    ----------
    files
        As `opskit.demo.fleet.write_sample` writes them.
    hosts
        What it returns.
    """

    def __init__(self, files: Path, hosts: Mapping[str, str]) -> None:
        super().__init__()
        self._files, self._hosts = files, hosts
        self._forked: tuple[BaseProcess, Connection] | None = None

    def start(self) -> None:
        """Copy the files, and have engines serve them."""
        self.root = Path(tempfile.mkdtemp(prefix="opskit-demo-"))
        shutil.copytree(self._files, self.root, symlinks=True, dirs_exist_ok=True)
        hosts = {
            name: host.replace(str(self._files), str(self.root))
            for name, host in self._hosts.items()
        }
        write_contexts(self.root / "docker", hosts)
        begun, ready = PROCESSES.Pipe(duplex=False)
        orphaned, alive = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=_serve, args=(self.root, hosts, orphaned, ready))
        process.start()
        self._forked = process, alive
        for one in (orphaned, ready):
            one.close()
        with open(begun.fileno(), closefd=False) as said:
            assert said.readline() == "ready\n"
        begun.close()

    def stop(self) -> None:
        """End the engines, which takes the files along."""
        assert self._forked is not None
        process, alive = self._forked
        alive.close()
        process.join(LIMIT)
        assert process.exitcode == 0
        process.close()


def _serve(root: Path, hosts: dict[str, str], orphaned: Connection, ready: Connection) -> None:
    sys.stdin = open(orphaned.fileno(), closefd=False)  # noqa: SIM115 (until the process ends)
    sys.stdout = open(ready.fileno(), "w", closefd=False)  # noqa: SIM115
    swarms.write_sample = lambda _root: hosts
    swarms.main(root, many=0, secrets=0, latency_ms=0)
