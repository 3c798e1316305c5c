"""ssh connections that stay for the next command: shared by what is the same, and by nothing else.

Each test has a real sshd, behind which an embedded engine answers.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opskit.demo.daemon import Sshd, _free_port, make_key
from opskit.demo.fleet import write_contexts
from opskit.swarm import masters, sockets
from opskit.swarm.context import find_context
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT, Transport
from tests.conftest import need_engines
from tests.waiting import LIMIT, eventually

pytestmark = pytest.mark.swarm

LOOK = """
import sys
from opskit.swarm.observe import observe_server
seen = observe_server("srv1", float(sys.argv[1]))
print(seen.reachable, seen.error)
"""
NOBODY = 65534


@dataclass
class Site:
    """A server behind sshd, and the folders of the user who reaches it."""

    root: Path
    sshd: Sshd

    @property
    def sockets(self) -> list[Path]:
        """Where masters listen that stay."""
        found = (self.root / "run" / "opskit", self.root / "state" / "ssh")
        return [one for folder in found if folder.is_dir() for one in folder.iterdir()
                if one.is_socket()]  # fmt: skip

    @property
    def logins(self) -> int:
        """How often somebody logged in."""
        return (self.root / "ssh" / "srv1" / "log").read_text().count("Accepted publickey")

    def start(self, seconds: float = LIMIT) -> subprocess.Popen[str]:
        """Let another process look at the server."""
        return subprocess.Popen(
            [sys.executable, "-c", LOOK, str(seconds)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def look(self, seconds: float = LIMIT) -> str:
        """Let another process look at the server, and return whether it is there, and the error."""
        process = self.start(seconds)
        said, _ = process.communicate(timeout=LIMIT)
        return said.strip()

    def is_seen(self) -> bool:
        return self.look().startswith("True")

    def write_settings(self, text: str) -> None:
        (self.root / "config" / "opskit" / "config.toml").write_text(f"deadline = 60\n{text}\n")

    def add_to_ssh_config(self, line: str) -> None:
        config = self.root / "ssh" / "config"
        config.write_text(config.read_text().rstrip() + f"\n  {line}\n")


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder whose path is short enough for sockets in it."""
    made = Path(tempfile.mkdtemp(prefix="ok", dir="/tmp"))
    yield made

    def removed() -> bool:
        # An ssh that ends meanwhile takes its own socket out of it.
        shutil.rmtree(made, ignore_errors=True)
        return not made.exists()

    eventually(removed, f"{made} to be gone")


@pytest.fixture
def site(root: Path, embedded_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    need_engines(ssh=True)
    keys, wrapper = root / "ssh", root / "bin" / "ssh"
    keys.mkdir()
    make_key(keys / "id")
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    sshd = Sshd("srv1", embedded_host, keys)
    sshd.start()
    known, config = keys / "known_hosts", keys / "config"
    ssh = shutil.which("ssh")
    known.write_text(sshd.known_host())
    config.write_text(sshd.config(keys / "id", known))
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {ssh} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    write_contexts(root / "docker", {"srv1": "ssh://srv1", "local": embedded_host})
    (root / "run").mkdir(mode=0o700)
    (root / "config" / "opskit").mkdir(parents=True)
    monkeypatch.setenv("DOCKER_CONFIG", str(root / "docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(root / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "config"))
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(root / "state"))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    made = Site(root, sshd)
    made.write_settings("ssh_keep = 10")
    yield made
    TRANSPORT.close()
    # Their masters end when they notice.
    sshd.stop()
    eventually(lambda: not any(map(masters._listens, made.sockets)), "no master to be left")


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport()
    yield made
    made.close()


def test_the_next_command_logs_in_no_more(site: Site) -> None:
    assert [site.is_seen() for _ in range(3)] == [True] * 3
    assert site.logins == 1
    assert len(site.sockets) == 1


def test_a_kernel_and_a_command_share_the_connection(site: Site, transport: Transport) -> None:
    with transport.connection(find_context("srv1"), Deadline(LIMIT)):
        assert site.is_seen()
    assert site.logins == 1


def test_what_started_a_connection_may_end_while_others_go_on(
    site: Site, transport: Transport
) -> None:
    assert site.is_seen()
    with transport.connection(find_context("srv1"), Deadline(LIMIT)) as (connection, _):
        other = site.start()
        other.kill()
        other.communicate()
        assert connection.ask(["/info"], Deadline(LIMIT)).replies[0].status == 200
    assert site.logins == 1


@pytest.mark.parametrize("before", ["nothing", "a dead socket"])
def test_processes_that_start_at_once_make_one_connection(site: Site, before: str) -> None:
    if before == "a dead socket":
        assert site.is_seen()
        kill_the_master(site)
    earlier = site.logins
    looks = [site.start() for _ in range(4)]

    assert [one.communicate(timeout=LIMIT)[0][:4] for one in looks] == ["True"] * 4
    assert site.logins == earlier + 1


@pytest.mark.slow
def test_one_that_hangs_in_its_login_does_not_keep_others_from_theirs(site: Site) -> None:
    assert site.is_seen()
    (control,) = site.sockets
    kill_the_master(site)
    with control.with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert site.look(16.0).startswith("True")


def test_with_nothing_kept_the_connection_ends_with_its_process(site: Site) -> None:
    site.write_settings("ssh_keep = 0")
    assert [site.is_seen() for _ in range(2)] == [True] * 2
    assert site.logins == 2
    assert not site.sockets


def test_only_the_user_may_come_near_a_connection(site: Site) -> None:
    site.is_seen()
    (control,) = site.sockets
    assert stat.S_IMODE(control.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(control.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: folder.chmod(0o750), id="the group may enter"),
        pytest.param(lambda folder: folder.chmod(0o701), id="all may enter"),
        pytest.param(lambda folder: os.chown(folder, NOBODY, NOBODY), id="another one's"),
        pytest.param(lambda folder: folder.parent.chmod(0o777), id="in a folder of all"),
        pytest.param(
            lambda folder: (
                folder.rename(folder.with_name("x")) and folder.symlink_to(folder.with_name("x"))
            ),
            id="behind a link",
        ),
    ],
)
def test_a_connection_where_others_may_reach_is_not_used(
    site: Site, spoil: Callable[[Path], object]
) -> None:
    site.is_seen()
    spoil(site.root / "run" / "opskit")

    assert [site.is_seen() for _ in range(2)] == [True] * 2
    assert site.logins == 2
    assert list((site.root / "state" / "ssh").glob("*"))


def test_without_any_safe_folder_each_process_logs_in_for_itself(site: Site) -> None:
    for name in ("run/opskit", "state/ssh"):
        (site.root / name).mkdir(parents=True)
        (site.root / name).chmod(0o755)
    assert [site.is_seen() for _ in range(2)] == [True] * 2
    assert site.logins == 2
    assert not site.sockets
    assert sockets.kept_folder() == (None, f"others have rights in {site.root}/run/opskit")


def test_a_socket_of_somebody_else_is_not_used(site: Site) -> None:
    site.is_seen()
    (control,) = site.sockets
    os.chown(control, NOBODY, NOBODY)
    process = master_of(site)
    try:
        assert site.is_seen()
        assert site.logins == 2
    finally:
        os.kill(process, signal.SIGKILL)


def test_a_folder_whose_path_is_too_long_for_a_socket_is_passed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = site.root / ("x" * 100)
    long.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(long / "state"))
    assert site.is_seen()
    assert "too long for a socket" in sockets.kept_folder()[1]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda site: site.add_to_ssh_config("Compression yes"), id="an option"),
        pytest.param(
            lambda site: site.add_to_ssh_config(f"IdentityFile {site.root}/ssh/other"), id="a key"
        ),
        pytest.param(
            lambda site: write_contexts(site.root / "docker", {"srv1": "ssh://root@srv1"}),
            id="a user",
        ),
        pytest.param(
            lambda site: write_contexts(
                site.root / "docker", {"srv1": f"ssh://srv1:{site.sshd.port}"}
            ),
            id="a port",
        ),
        pytest.param(lambda _: os.environ.update(SSH_AUTH_SOCK="/nowhere"), id="an agent"),
    ],
)
def test_what_ssh_would_do_otherwise_shares_no_connection(
    site: Site, change: Callable[[Site], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "")
    assert site.is_seen()
    change(site)

    assert site.is_seen()
    assert site.logins == 2


def test_engines_at_two_sockets_of_a_server_share_its_connection(
    site: Site, embedded_host: str
) -> None:
    assert site.is_seen()
    socket = embedded_host.removeprefix("unix://")
    write_contexts(site.root / "docker", {"srv1": f"ssh://srv1{socket}"})

    assert site.is_seen()
    assert site.logins == 1


def test_the_users_own_shared_connection_is_left_alone(site: Site) -> None:
    own = site.root / "own"
    for line in ("ControlMaster auto", f"ControlPath {own}", "ControlPersist 600"):
        site.add_to_ssh_config(line)
    subprocess.run(["ssh", "srv1", "true"], check=True)
    assert site.is_seen()

    assert site.logins == 2
    assert masters.disconnect() == (1, [])
    assert subprocess.run(["ssh", "-O", "check", "srv1"], capture_output=True).returncode == 0


def test_a_connection_that_stays_holds_no_port_of_the_users(site: Site) -> None:
    port = _free_port()
    site.add_to_ssh_config(f"LocalForward 127.0.0.1:{port} 127.0.0.1:9")
    site.add_to_ssh_config("ExitOnForwardFailure yes")
    assert site.is_seen()
    assert site.sockets
    assert subprocess.run(["ssh", "srv1", "true"]).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("what", ["the network", "the master"])
def test_a_connection_whose_other_end_is_silent_is_left_for_a_new_one(
    site: Site, what: str
) -> None:
    assert site.is_seen()
    master = master_of(site)
    stopped = [master] if what == "the master" else session_of(site)
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        assert site.look(24.0).startswith("True")
        assert site.logins == 2
        assert site.is_seen()
        assert site.logins == 2
    finally:
        for process in (*stopped, master):
            os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_a_connection_to_an_engine_that_is_slow_to_its_first_word_stays(site: Site) -> None:
    assert site.is_seen()
    docker = site.root / "bin" / "docker"
    docker.write_text(f'#!/bin/sh\nsleep 9\nexec {shutil.which("docker")} "$@"\n')
    docker.chmod(0o755)
    # Longer than is waited for a first word.
    assert site.look(24.0).startswith("True")
    assert site.logins == 1


def test_a_master_that_is_left_goes_on_for_those_who_use_it(
    site: Site, transport: Transport
) -> None:
    context = find_context("srv1")
    with transport.connection(context, Deadline(LIMIT)) as (connection, _):
        with masters.SshMasters().way(context, Deadline(LIMIT)) as way:
            assert way.master
            way.retire()
        assert site.is_seen()
        assert site.logins == 2
        assert connection.ask(["/info"], Deadline(LIMIT)).replies[0].status == 200


def test_a_server_that_was_away_is_reached_again(site: Site) -> None:
    assert site.is_seen()
    site.sshd.stop()
    assert not site.is_seen()
    site.sshd.start()
    assert site.is_seen()


def test_a_login_is_tried_anew_when_that_is_the_question(site: Site, transport: Transport) -> None:
    assert site.is_seen()
    (site.root / "ssh" / "id").unlink()
    context = find_context("srv1")
    assert site.is_seen()
    with pytest.raises(Exception, match="refused the login"):
        transport.log_in(context, Deadline(LIMIT))


def disconnect(*servers: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "opskit", "disconnect", *servers],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


@pytest.mark.parametrize("servers", [(), ("srv1",)])
def test_disconnecting_ends_what_stayed(site: Site, servers: tuple[str, ...]) -> None:
    site.is_seen()
    assert disconnect(*servers) == "1 ssh connection ended.\n"
    eventually(lambda: not site.sockets, "the master's socket to be gone")
    assert disconnect(*servers) == "No ssh connections ended.\n"


def test_disconnecting_ends_the_named_servers_only(site: Site) -> None:
    site.is_seen()
    assert disconnect("local") == "No ssh connections ended.\n"
    assert site.sockets


def test_a_kernel_that_was_disconnected_connects_anew(site: Site, transport: Transport) -> None:
    context = find_context("srv1")
    with transport.connection(context, Deadline(LIMIT)):
        pass
    assert masters.disconnect() == (1, [])
    reply = transport.request(context, "GET", "/info", deadline=Deadline(LIMIT))
    assert reply.status == 200
    assert site.logins == 2


def master_of(site: Site) -> int:
    """Return the number of the process that keeps the connection."""
    (control,) = site.sockets
    said = subprocess.run(
        ["ssh", "-o", f"ControlPath={control}", "-O", "check", "srv1"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    return int(said.partition("pid=")[2].partition(")")[0])


def kill_the_master(site: Site) -> None:
    process = master_of(site)
    os.kill(process, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{process}/exe").exists(), "the master to be gone")


def session_of(site: Site) -> list[int]:
    """Return the processes of the session's other end."""
    found = [
        int(stat_file.parent.name)
        for stat_file in Path("/proc").glob("[0-9]*/cmdline")
        if stat_file.read_bytes().startswith(b"sshd: root@notty")
    ]
    own = set(site_children(site))
    return [process for process in found if process in own]


def site_children(site: Site) -> list[int]:
    listener = site.sshd._process
    assert listener is not None
    found, left = list[int](), [listener.pid]
    while left:
        for task in Path(f"/proc/{left.pop()}/task").glob("*/children"):
            children = [*map(int, task.read_text().split())]
            found += children
            left += children
    return found
