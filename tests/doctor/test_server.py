"""What a check-up says of a server: how far opskit gets, and the one next command."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opskit.demo.daemon import Sshd, make_key
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet, write_contexts
from opskit.doctor.rows import CheckupRow
from opskit.doctor.server import look_at
from opskit.swarm.transport import TRANSPORT
from tests.waiting import LIMIT

Use = Callable[[DemoFleet | DockerdFleet], Path]
NOBODY = 65534


def last(server: str = "srv1", seconds: float = LIMIT) -> CheckupRow:
    return look_at(server, seconds)[-1]


def test_a_server_of_which_all_is_well(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    rows = look_at("coop.example", LIMIT)
    assert [(row.check, row.state) for row in rows] == [
        ("context", "well"), ("engine", "well"), ("swarm", "well"),
    ]  # fmt: skip
    assert rows[-1].what == "manager"


def test_a_server_without_a_context_is_given_one(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    assert last("new.example").remedy == (
        "Create it: docker context create new.example --docker host=ssh://new.example"
    )


def test_a_worker_is_exchanged_for_a_manager(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    row = last("library.example")
    assert row.check == "swarm"
    assert "docker context update library.example --docker host=ssh://MANAGER" in str(row.remedy)


def test_a_socket_where_nobody_listens(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    row = last("radio.example")
    assert row.check == "engine"
    assert str(row.remedy).endswith("docker context inspect radio.example")


def test_an_engine_that_never_answers_costs_its_deadline_and_names_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        write_contexts(tmp_path / "docker", {"srv1": f"unix://{tmp_path}/s"})
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
        row = last(seconds=0.3)
        TRANSPORT.close()
    assert "no answer within 0.3 s" in row.what
    assert row.remedy == "See what it says: docker --context srv1 info"


@pytest.mark.swarm
def test_an_engine_without_a_swarm_is_mended_by_the_command_that_is_named(
    use: Use, fresh_fleet: Callable[[int], DockerdFleet]
) -> None:
    fleet = fresh_fleet(1)
    use(fleet)
    docker = ["docker", "-H", fleet.host("srv1")]
    subprocess.run([*docker, "swarm", "leave", "--force"], check=True, capture_output=True)
    row = last()
    assert (row.check, row.what) == ("swarm", "it is not in a swarm.")
    command = str(row.remedy).rpartition(": ")[2]
    assert command == "docker --context srv1 swarm init"
    # A machine with two addresses has to choose one.
    address = f"--advertise-addr=10.99.{fleet.daemons['srv1'].number}.1"
    subprocess.run([*command.split(), address], check=True, capture_output=True, timeout=LIMIT)
    assert last().state == "well"


@pytest.mark.swarm
def test_who_may_not_use_the_socket_here_joins_its_group(real_fleet: DockerdFleet) -> None:
    real_fleet.root.chmod(0o755)
    code = "from opskit.doctor.server import look_at; print(look_at('srv1', 60)[-1].remedy)"
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    ended = subprocess.run(
        [*nobody, sys.executable, "-c", code],
        env={**os.environ, **real_fleet.env, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    assert ended.stdout.strip() == (
        "You may not use Docker here. Join its group, then log in anew: "
        'sudo usermod -aG docker "$USER"'
    )


class Ssh:
    """An ssh of one's own configuration before a server of the shared fleet."""

    def __init__(self, fleet: DockerdFleet, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.fleet = folder, fleet
        self.sshd = Sshd("srv1", fleet.host("srv1"), folder)
        make_key(folder / "id")
        self.sshd.start()
        self.known = folder / "known_hosts"
        self.known.write_text(self.sshd.known_host())
        self.use(folder / "id")
        program = folder / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
        program.chmod(0o755)
        patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        write_contexts(folder / "docker", {"srv1": "ssh://srv1"})
        patch.setenv("DOCKER_CONFIG", str(folder / "docker"))

    def use(self, key: Path) -> None:
        (self.folder / "config").write_text(self.sshd.config(key, self.known))

    def may_only(self, options: str) -> None:
        """Put options before the key that may log in."""
        public = self.folder / "id.pub"
        public.write_text(f"{options} {public.read_text()}")


@pytest.fixture
def ssh(real_fleet: DockerdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ssh]:
    if not shutil.which("ssh") or not Path("/usr/sbin/sshd").exists():
        pytest.skip("OpenSSH is not installed")
    made = Ssh(real_fleet, tmp_path, monkeypatch)
    yield made
    TRANSPORT.close()
    made.sshd.stop()


@pytest.mark.swarm
def test_a_server_behind_ssh_of_which_all_is_well(ssh: Ssh) -> None:
    assert [(row.check, row.what) for row in look_at("srv1", LIMIT)][:2] == [
        ("context", "ssh://srv1"), ("ssh", "logs in"),
    ]  # fmt: skip
    assert last().what == "manager"


@pytest.mark.swarm
def test_an_unknown_host_key_is_compared_and_accepted_by_hand(ssh: Ssh) -> None:
    ssh.known.write_text("")
    row = last()
    assert row.what == "its ssh host key is not known."
    assert row.remedy == "Compare the fingerprint and accept it: ssh srv1 true"
    assert ssh.known.read_text() == ""


@pytest.mark.swarm
def test_a_host_key_that_changed_is_not_simply_accepted(ssh: Ssh) -> None:
    make_key(ssh.folder / "other")
    host, kind, _ = ssh.sshd.known_host().split()
    other = (ssh.folder / "other.pub").read_text().split()[1]
    ssh.known.write_text(f"{host} {kind} {other}\n")
    row = last()
    assert row.what == "its ssh host key has changed."
    assert "Find out why" in str(row.remedy)


@pytest.mark.swarm
def test_a_key_that_the_server_does_not_know_is_copied_there(ssh: Ssh) -> None:
    make_key(ssh.folder / "mine")
    ssh.use(ssh.folder / "mine")
    row = last()
    assert row.check == "ssh"
    assert "ssh refused the login" in row.what
    assert str(row.remedy).endswith(": ssh-copy-id srv1")


@pytest.mark.swarm
def test_who_has_no_key_makes_one(ssh: Ssh) -> None:
    ssh.use(ssh.folder / "none")
    assert str(last().remedy).endswith(": ssh-keygen && ssh-copy-id srv1")


@pytest.mark.swarm
def test_a_key_with_a_passphrase_is_unlocked(ssh: Ssh) -> None:
    key = ssh.folder / "id"
    lock = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(key)]
    subprocess.run(lock, check=True)
    remedy = str(last().remedy)
    assert remedy.endswith(f'eval "$(ssh-agent)" && ssh-add {key}')
    assert "open sesame" not in remedy


@pytest.mark.swarm
def test_a_key_that_others_may_read_is_closed_by_the_command_that_is_named(ssh: Ssh) -> None:
    (ssh.folder / "id").chmod(0o644)
    command = str(last().remedy).rpartition(": ")[2]
    assert command == f"chmod 600 {ssh.folder}/id"
    subprocess.run(command.split(), check=True)
    assert last().state == "well"


@pytest.mark.swarm
def test_a_host_that_refuses_is_said(ssh: Ssh) -> None:
    ssh.sshd.stop()
    row = last()
    assert "Connection refused" in row.what
    assert row.remedy == "See where it stops: ssh -v srv1 true"


@pytest.mark.swarm
def test_a_host_that_accepts_and_is_silent_costs_the_deadline(ssh: Ssh) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ssh.sshd.stop()
        ssh.sshd.port = silent.getsockname()[1]
        ssh.use(ssh.folder / "id")
        row = last(seconds=1)
    assert (row.check, row.state) == ("ssh", "mend")
    assert row.remedy == "See where it stops: ssh -v srv1 true"


@pytest.mark.swarm
def test_an_ssh_user_without_rights_joins_the_docker_group_over_there(ssh: Ssh) -> None:
    as_nobody = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
    ssh.fleet.root.chmod(0o755)
    ssh.may_only(f'command="exec {as_nobody} sh -c \\"$SSH_ORIGINAL_COMMAND\\""')
    rows = look_at("srv1", LIMIT)
    assert [(row.check, row.state) for row in rows] == [
        ("context", "well"), ("ssh", "well"), ("engine", "mend"),
    ]  # fmt: skip
    assert rows[-1].what == "the ssh user may not use Docker there."
    assert str(rows[-1].remedy).endswith(""": ssh -t srv1 'sudo usermod -aG docker "$USER"'""")


@pytest.mark.swarm
def test_a_docker_that_does_not_run_over_there_is_started(ssh: Ssh) -> None:
    ssh.may_only('command="DOCKER_HOST=unix:///nowhere/s $SSH_ORIGINAL_COMMAND"')
    row = last()
    assert "not running there" in row.what
    assert str(row.remedy).endswith(": ssh -t srv1 sudo systemctl start docker")


@pytest.mark.swarm
def test_a_server_without_docker_is_told_how_to_have_it(ssh: Ssh) -> None:
    ssh.may_only('command="PATH=/nowhere; $SSH_ORIGINAL_COMMAND"')
    row = last()
    assert "docker command is not installed there" in row.what
    assert str(row.remedy).endswith(": ssh -t srv1 sudo apt-get install docker.io")


@pytest.mark.slow
def test_no_word_of_a_checkup_steers_a_terminal(tmp_path: Path, use: Use) -> None:
    evil = "evil\x1b[31m\u202e"
    folder = tmp_path / "abra" / "servers" / evil
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "opskit", "doctor"]
    env = {**os.environ, "ABRA_DIR": str(tmp_path / "abra"), "DOCKER_CONFIG": str(tmp_path)}
    for form in ("table", "json"):
        ended = subprocess.run(
            [*command, "--format", form], env=env, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 1
        assert "\x1b[31m" not in ended.stdout + ended.stderr
        assert "\u202e" not in ended.stdout + ended.stderr
        if form == "json":
            assert json.loads(ended.stdout)[-1]["state"] == "mend"
