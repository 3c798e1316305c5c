"""One private Docker daemon in its own network, mount and host-name namespace."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

from opskit.errors import OpskitError

_START_S = 120.0
_STOP_S = 15.0
_KILL_S = 30.0


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
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
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
