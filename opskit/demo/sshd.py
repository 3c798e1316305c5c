"""One private sshd for a real fleet: a host alias and port per server, keys made on the spot."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from opskit.demo.daemon import kill_below
from opskit.errors import OpskitError

_START_S = 60.0
_PORTS = 5
"""So many are tried: another process may take one between its choice and its use."""
_LOWEST, _HIGHEST = 20_000, 30_000
"""Below what the kernel hands out: nobody gets the port of an sshd that is cut for a while."""


class Sshd:
    """A loopback sshd through which ``docker system dial-stdio`` reaches one engine.

    Parameters
    ----------
    alias
        The ``Host`` of the ssh config; its port stands only there.
    docker_host
        What ``docker`` talks to on the far side.
    folder
        Where keys and configuration live.
    """

    def __init__(self, alias: str, docker_host: str, folder: Path) -> None:
        self.alias, self._docker_host, self._folder = alias, docker_host, folder / alias
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it accepts connections.

        It keeps the port that it once had, which stands in the ssh config.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        key = self._folder / "host_key"
        if not key.exists():
            make_key(key)
        Path("/run/sshd").mkdir(exist_ok=True)
        tries = 1 if self.port else _PORTS
        if not any(self._listens(self.port or _free_port()) for _ in range(tries)):
            text = (self._folder / "log").read_text(errors="replace").strip()
            raise OpskitError(f"the private sshd of {self.alias} did not start: {text}")

    def _listens(self, port: int) -> bool:
        """Start it on a port, and tell whether it accepts connections."""
        config = self._folder / "sshd_config"
        config.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self._folder / 'host_key'}\n"
            f"PidFile none\nAuthorizedKeysFile {self._folder.parent}/id.pub\nUsePAM no\n"
            "StrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n"
            f"SetEnv DOCKER_HOST={self._docker_host} PATH={os.environ['PATH']}\n"
        )
        with (self._folder / "log").open("ab") as log:
            earlier = log.tell()
            process = subprocess.Popen(
                [_sshd(), "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < until:
            # Its own word, as whoever has the port instead would accept a connection.
            said = (self._folder / "log").read_bytes()[earlier:]
            if f"Server listening on 127.0.0.1 port {port}.".encode() in said:
                self.port, self._process = port, process
                return True
            time.sleep(0.02)
        process.kill()
        process.wait()
        return False

    def known_host(self) -> str:
        """Return its line for a known_hosts file."""
        kind, key, *_ = (self._folder / "host_key.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def config(self, identity: Path, known_hosts: Path) -> str:
        """Return its block for an ssh config."""
        return (
            f"Host {self.alias}\n  HostName 127.0.0.1\n  Port {self.port}\n  User root\n"
            f"  IdentityFile {identity}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {known_hosts}\n\n"
        )

    def stop(self) -> None:
        """Stop it and cut every session that runs through it."""
        process, self._process = self._process, None
        if process is None:
            return
        for child in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, 9)
        process.kill()
        process.wait()
        kill_below(self._folder)


def make_key(path: Path) -> None:
    """Make an ed25519 key pair without a passphrase."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "opskit demo", "-f", str(path)],
        check=True,
        timeout=60,
    )


def _sshd() -> str:
    # sshd insists on being called by its absolute path.
    return shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or "/usr/sbin/sshd"


def _free_port() -> int:
    while True:
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def _children(pid: int) -> list[int]:
    """Return all descendants of a process, the nearest first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_children(child)]
    return found
