"""A running demo fleet: files, contexts, and embedded engines in a child process."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from opskit.demo.sample import SERVERS, UNREACHABLE
from opskit.demo.tree import write_abra, write_store
from opskit.errors import OpskitError

ANNOUNCED = "OPSKIT_DEMO"
"""Names the running demo fleet's folder, so that kernels and terminals share one fleet."""
STORE = "password-store"
"""The folder of the fleet's password store."""


class DemoFleet:
    """The embedded demo fleet.

    Parameters
    ----------
    many
        Instead of the sample, so many synthetic servers.
    secrets
        On each synthetic server.
    latency_ms
        Added to every answer of every engine.

    The engines live in a child process that ends, and takes the folder along, when the process
    that started it ends, however that comes about.
    """

    def __init__(self, *, many: int = 0, secrets: int = 300, latency_ms: float = 0.0) -> None:
        self._many, self._secrets, self._latency_ms = many, secrets, latency_ms
        self._process: subprocess.Popen[bytes] | None = None
        self.root = Path()

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to see this fleet and no other."""
        return environment(self.root)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the engines; returns when they answer.

        Raises
        ------
        OpskitError
            The child process did not start.
        """
        self.root = Path(tempfile.mkdtemp(prefix="opskit-demo-"))
        arguments = [str(self.root), str(self._many), str(self._secrets), str(self._latency_ms)]
        self._process = subprocess.Popen(
            # -P: a file of the working folder must not pass for a module.
            [sys.executable, "-P", "-m", "opskit.demo.swarms", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for whoever uses the fleet; the fleet ends with its parent.
            start_new_session=True,
        )
        assert self._process.stdout is not None, "stdout is a pipe"
        if not self._process.stdout.readline():
            self.stop()
            raise OpskitError("the embedded engines did not start; see the message above.")

    def stop(self) -> None:
        """End the engines and remove their folder."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # It does so itself, unless it was killed or never got that far.
        shutil.rmtree(self.root, ignore_errors=True)


def environment(root: Path) -> dict[str, str]:
    """Return the environment variables of a demo fleet in a folder."""
    store = root / STORE
    return {
        "ABRA_DIR": str(root / "abra"),
        "DOCKER_CONFIG": str(root / "docker"),
        "OPSKIT_STATE_DIR": str(root / "state"),
        ANNOUNCED: str(root),
    } | ({"PASSWORD_STORE_DIR": str(store)} if store.is_dir() else {})


def start() -> Path:
    """Make this process use a demo fleet: the announced one, else a new one of its own.

    Returns
    -------
    Path
        The fleet's folder; ``Fleet.from_abra()`` now reads it.
    """
    announced = os.environ.get(ANNOUNCED)
    if announced and (Path(announced) / "abra").is_dir():
        os.environ.update(environment(Path(announced)))
        return Path(announced)
    fleet = DemoFleet()
    fleet.start()
    atexit.register(fleet.stop)
    os.environ.update(fleet.env)
    return fleet.root


def write_contexts(docker_config: Path, hosts: Mapping[str, str]) -> None:
    """Write Docker contexts as the docker CLI stores them: server name → host address."""
    docker_config.mkdir(parents=True, exist_ok=True)
    (docker_config / "config.json").write_text("{}\n")
    for name, host in hosts.items():
        folder = docker_config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        meta = {
            "Name": name,
            "Metadata": {"Description": "opskit demo"},
            "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}},
        }
        (folder / "meta.json").write_text(json.dumps(meta))


def write_sample(root: Path) -> dict[str, str]:
    """Write the sample's files below `root`; give each server's socket address."""
    write_abra(root / "abra")
    write_store(root / STORE, root / "abra")
    sockets = root / "s"
    sockets.mkdir()
    hosts = {name: f"unix://{sockets / name.partition('.')[0]}" for name in SERVERS}
    # Not in the fleet's own folder: the error would name another one at each look.
    hosts[UNREACHABLE] = "unix:///nonexistent/nobody-listens-here"
    write_contexts(root / "docker", hosts)
    return hosts
