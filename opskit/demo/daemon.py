"""The processes of a real fleet: Docker daemons in namespaces of their own, and sshds before them.

Each daemon has its own network, mount and host-name namespace; each sshd a host alias, a port, and
keys made on the spot.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from opskit.errors import OpskitError

_START_S = 120.0
_STOP_S = 15.0
_KILL_S = 30.0
_SPARING = {"GOGC": "800"}
"""Dockerd starts itself anew for each container's network, to search what it loads for garbage."""


class Daemon:
    """A Docker Engine that nobody else uses, with a swarm of its own.

    Parameters
    ----------
    name
        The server's name; also the host name inside.
    number
        From 1; chooses the address inside its network namespace.
    folder
        Everything it writes is below.
    """

    def __init__(self, name: str, number: int, folder: Path) -> None:
        self.name, self.number, self.folder = name, number, folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Its unix socket."""
        return self.folder / "docker.sock"

    @property
    def host(self) -> str:
        """Its address, as DOCKER_HOST names it."""
        return f"unix://{self.socket}"

    def launch(self) -> None:
        """Start the daemon without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = shlex.quote(str(self.folder))
        # A process's id file of a killed daemon makes the next one refuse to start.
        (self.folder / "pid").unlink(missing_ok=True)
        script = (
            f"hostname {shlex.quote(self.name.partition('.')[0])} && ip link set lo up && "
            f"ip link add d0 type veth peer name d1 && ip addr add {self._address}/24 dev d0 && "
            "ip link set d0 up && ip link set d1 up && exec dockerd "
            f"--data-root {folder}/data --exec-root {folder}/exec -p {folder}/pid "
            f"-H unix://{folder}/docker.sock"
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--mount", "--uts", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    **_SPARING,
                    "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
                },
            )

    def wait(self) -> None:
        """Wait until it answers.

        Raises
        ------
        OpskitError
            It ended or did not answer; the text holds the end of its log.
        """
        until = time.monotonic() + _START_S
        while self._docker("version").returncode != 0:
            gone = self._process is None or self._process.poll() is not None
            if gone or time.monotonic() > until:
                log = (self.folder / "log").read_text(errors="replace").strip().splitlines()
                raise OpskitError(f"dockerd of {self.name} did not start: {' '.join(log[-3:])}")
            time.sleep(0.05)

    def init_swarm(self) -> None:
        """Make it the manager of a swarm of one."""
        made = self._docker("swarm", "init", "--advertise-addr", self._address)
        if made.returncode != 0:
            raise OpskitError(f"{self.name}: docker swarm init failed: {made.stderr.strip()}")

    def stop(self) -> None:
        """Stop the daemon, its containers and its namespaces' last mounts."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        kill_below(self.folder)

    def kill(self) -> None:
        """Kill the daemon and all that runs on it, as a power cut does; its disk stays."""
        assert self._process is not None, "the daemon runs"
        self._process.kill()
        self._process.wait()
        self._process = None
        kill_below(self.folder)
        # What a machine keeps in /run.
        shutil.rmtree(self.folder / "exec", ignore_errors=True)

    def pause(self) -> None:
        """Freeze the daemon: it accepts connections and never answers."""
        assert self._process is not None, "the daemon runs"
        os.kill(self._process.pid, signal.SIGSTOP)
        # It may answer until all its threads have stopped.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def go_on(self) -> None:
        """Let a frozen daemon go on."""
        assert self._process is not None, "the daemon runs"
        os.kill(self._process.pid, signal.SIGCONT)

    @property
    def _address(self) -> str:
        return f"10.99.{self.number}.1"

    def _docker(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "-H", self.host, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_START_S,
            check=False,
        )


def kill_below(folder: Path) -> None:
    """Kill what a daemon left running (containerd, shims): processes that name its folder.

    A frozen or killed daemon cannot do it itself. Nothing else is touched: the folder is ours.
    """
    until = time.monotonic() + _KILL_S
    while time.monotonic() < until:
        pids = [pid for pid in _processes() if f"{folder}/" in _command_line(pid)]
        pids = [pid for pid in pids if pid != os.getpid()]
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove_folder(folder: Path) -> None:
    """Unmount what is mounted below a folder and remove it."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _command_line(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


_SSHD_START_S = 60.0
_PORTS = 5
"""So many are tried: another process may take one between its choice and its use."""
_LOWEST, _HIGHEST = 20_000, 30_000
"""Below what the kernel hands out: nobody gets the port of an sshd that is cut for a while."""
_NOT_LOGGED_IN = "SHLVL=1"
"""Debian's bash then does not read this machine's ``~/.bashrc`` for each command of a session."""


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
            f"SetEnv DOCKER_HOST={self._docker_host} PATH={os.environ['PATH']} {_NOT_LOGGED_IN}\n"
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
        until = time.monotonic() + _SSHD_START_S
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
