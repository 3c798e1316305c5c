"""A fleet of real swarms on this machine: private daemons, reached over sockets or ssh.

Their image comes from no registry: a static busybox and its links, packed on the spot.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self

from opskit.demo.daemon import Daemon, Sshd, kill_below, make_key, remove_folder
from opskit.demo.fleet import environment, write_contexts
from opskit.errors import MissingToolError

IMAGE = "local/busybox:1"
_PROGRAMS = ("sh", "sleep", "cat", "ls", "true", "false", "echo", "nc", "httpd", "wget", "env",
             "printf", "test", "tail", "kill", "ps", "md5sum", "sha256sum", "mkdir", "id",
             "hostname", "setpriv", "chown", "chmod", "cp", "rm")  # fmt: skip


def busybox() -> Path | None:
    """Find the host's static busybox (Debian: busybox-static)."""
    found = shutil.which("busybox") or shutil.which("busybox", path="/bin:/usr/bin")
    return Path(found) if found else None


def layer() -> bytes:
    """Pack the image's file system as a tar archive."""
    program = busybox()
    assert program is not None, "why_not() was asked first"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder in ("tmp", "run", "run/secrets", "proc", "sys", "dev", "etc", "var", "bin"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        content = program.read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
        for name in _PROGRAMS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return packed.getvalue()


def import_image(host: str, packed: bytes) -> None:
    """Import the image into an engine."""
    subprocess.run(
        ["docker", "-H", host, "import", "--change", 'CMD ["sleep","1000000"]', "-", IMAGE],
        input=packed,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )


_PREFIX = "opskit-dockerd-"
_NEEDED = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "unshare": "util-linux",
    "ip": "iproute2",
    "iptables": "iptables",
}
_SBIN = "/usr/sbin:/sbin"


def why_not(*, ssh: bool = False) -> str | None:
    """Return in one sentence what keeps real engines from running here; ``None`` when nothing."""
    if os.geteuid() != 0:
        return "real engines need root; try the embedded engine, or run as root."
    needed = _NEEDED | ({"sshd": "openssh-server", "ssh": "openssh-client"} if ssh else {})
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"
    missing = {package for tool, package in needed.items() if not shutil.which(tool, path=path)}
    if busybox() is None:
        missing.add("busybox-static")
    if missing:
        return f"real engines need Debian packages: apt-get install {' '.join(sorted(missing))}"
    return None


class DockerdFleet:
    """Private Docker daemons, each a swarm of one, that leave nothing behind.

    Parameters
    ----------
    servers
        How many; they are named ``srv1``, ``srv2`` …
    ssh
        Reach them over ssh instead of their sockets.
    """

    def __init__(self, servers: int = 3, *, ssh: bool = False) -> None:
        self._count, self._ssh = servers, ssh
        self.root = Path()
        self.daemons: dict[str, Daemon] = {}
        self.sshds: dict[str, Sshd] = {}
        self._alive: IO[str] | None = None

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to see this fleet and no other.

        ``PATH`` begins with a folder whose ``ssh`` reads the fleet's own configuration, since
        OpenSSH takes the home folder from the password file and not from ``HOME``.
        """
        found = environment(self.root)
        if self._ssh:
            found["PATH"] = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return found

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all daemons, make their swarms, import the image, write the contexts.

        Raises
        ------
        MissingToolError
            Something is missing here; says what to install.
        OpskitError
            A daemon did not start.
        """
        reason = why_not(ssh=self._ssh)
        if reason is not None:
            raise MissingToolError(reason)
        sweep()
        self.root = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Held for as long as this process lives, so that a sweep can tell a dead run's folder.
        # Under another name until it is: a sweep in between would take this one for dead.
        self._alive = (self.root / "alive.new").open("w")
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        (self.root / "alive.new").rename(self.root / "alive")
        first = _free_number()
        for number in range(1, self._count + 1):
            name = f"srv{number}"
            self.daemons[name] = Daemon(name, first + number, self.root / name)
        for daemon in self.daemons.values():
            daemon.launch()
        packed = layer()

        def prepare(daemon: Daemon) -> None:
            daemon.wait()
            daemon.init_swarm()
            import_image(daemon.host, packed)

        with ThreadPoolExecutor(len(self.daemons)) as threads:
            list(threads.map(prepare, self.daemons.values()))
        self._write_files()

    def stop(self) -> None:
        """Stop everything and remove every trace; may be called again."""
        for sshd in self.sshds.values():
            sshd.stop()
        if self.daemons:
            with ThreadPoolExecutor(len(self.daemons)) as threads:
                list(threads.map(Daemon.stop, self.daemons.values()))
        self.daemons, self.sshds = {}, {}
        if self._alive is not None:
            self._alive.close()
            self._alive = None
        if self.root != Path():
            remove_folder(self.root)

    def host(self, name: str) -> str:
        """Return an engine's unix socket address."""
        return self.daemons[name].host

    def restart(self, name: str) -> None:
        """Stop and start one engine; its swarm and tasks come back."""
        self.daemons[name].stop()
        self.daemons[name].launch()
        self.daemons[name].wait()

    def cut(self, name: str) -> None:
        """Cut the connection to one server: its sshd and all sessions end."""
        self.sshds[name].stop()

    def mend(self, name: str) -> None:
        """Let a cut server be reached again."""
        self.sshds[name].start()

    def _write_files(self) -> None:
        for name in self.daemons:
            (self.root / "abra" / "servers" / name).mkdir(parents=True)
        (self.root / "abra" / "recipes").mkdir()
        if not self._ssh:
            hosts = {name: daemon.host for name, daemon in self.daemons.items()}
            write_contexts(self.root / "docker", hosts)
            return
        keys = self.root / "ssh"
        keys.mkdir()
        make_key(keys / "id")
        for name, daemon in self.daemons.items():
            self.sshds[name] = Sshd(name, daemon.host, keys)
            self.sshds[name].start()
        known, config = keys / "known_hosts", keys / "config"
        known.write_text("".join(sshd.known_host() for sshd in self.sshds.values()))
        config.write_text("".join(s.config(keys / "id", known) for s in self.sshds.values()))
        wrapper = self.root / "bin" / "ssh"
        wrapper.parent.mkdir()
        ssh = shutil.which("ssh")
        wrapper.write_text(f'#!/bin/sh\nexec {ssh} -F {config} "$@"\n')
        wrapper.chmod(0o755)
        write_contexts(self.root / "docker", {name: f"ssh://{name}" for name in self.daemons})


def sweep() -> None:
    """Remove what a killed run left: folders whose owner no longer holds their lock."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with (folder / "alive").open("r+") as alive:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            # Another fleet may be about to write it.
            continue
        except OSError:
            continue
        kill_below(folder)
        with contextlib.suppress(OSError):
            remove_folder(folder)


def _free_number() -> int:
    """Choose an address block; each daemon has its own network, so any will do."""
    return os.getpid() % 200
