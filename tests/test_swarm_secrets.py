"""What `docs/secrets.md` says of Docker's secrets, shown on real engines with docker's own CLI."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from opskit.demo.dockerd import IMAGE, DockerdFleet
from tests.contract.talk import Talk
from tests.run.test_nodes import join_as_worker
from tests.waiting import eventually

pytestmark = [pytest.mark.swarm, pytest.mark.slow]


@dataclass(slots=True)
class Manager:
    """One engine and the canary that is a secret on it."""

    host: str
    canary: str = field(default_factory=lambda: f"Canary{secrets.token_hex(12)}")
    name: str = field(default_factory=lambda: f"claim_{secrets.token_hex(3)}_v1")

    def ask(self, *arguments: str, data: str | None = None) -> subprocess.CompletedProcess[str]:
        command = ["docker", "--host", self.host, *arguments]
        return subprocess.run(command, input=data, check=False, capture_output=True, text=True)

    def docker(self, *arguments: str, data: str | None = None) -> str:
        answer = self.ask(*arguments, data=data)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    def keep_the_canary(self) -> None:
        self.docker("secret", "create", self.name, "-", data=self.canary)

    def service(self, name: str, *arguments: str, command: tuple[str, ...] = ()) -> str:
        """Start a service and return its name, made this canary's own."""
        own = f"{name}_{self.name}"
        self.docker("service", "create", "--detach", "--name", own, *arguments, IMAGE, *command)
        return own

    def container(self, service: str) -> str:
        listed = ("ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={service}")
        return eventually(lambda: self.docker(*listed), f"a task of {service}")

    def print_by_a_service(self) -> str:
        """Let a new service print the secret, and read it in its log."""
        path = f"/run/secrets/{self.name}"
        thief = self.service("thief", "--secret", self.name, "--restart-condition", "none",
                             command=("cat", path))  # fmt: skip
        return eventually(lambda: self.docker("service", "logs", "--raw", thief), "the log")


@pytest.fixture
def manager(real_fleet: DockerdFleet) -> Iterator[Manager]:
    made = Manager(real_fleet.host("srv1"))
    made.keep_the_canary()
    yield made
    for service in made.docker("service", "ls", "--format", "{{.Name}}").split():
        if service.endswith(made.name):
            made.docker("service", "rm", service)
    eventually(lambda: made.ask("secret", "rm", made.name).returncode == 0, "the secret to go")


def holding(canary: str, folder: Path) -> list[Path]:
    """List the files that hold a canary, plainly or in base64."""
    encoded = base64.b64encode(canary.encode()).decode().rstrip("=")[:-1]
    found = subprocess.run(
        ["grep", "-rlaF", "-e", canary, "-e", encoded, str(folder)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return [Path(line) for line in found.stdout.splitlines()]


def test_the_api_gives_no_value_and_takes_no_other(manager: Manager) -> None:
    shown = json.loads(manager.docker("secret", "inspect", manager.name))[0]
    assert shown["Spec"] == {"Name": manager.name, "Labels": {}}

    other = {"Name": manager.name, "Data": base64.b64encode(b"other").decode()}
    with Talk(manager.host, "what this test makes by talking") as talk:
        path = f"/secrets/{shown['ID']}/update?version={shown['Version']['Index']}"
        _, refused = talk.ask("POST", path, other)
    assert "only updates to Labels are allowed" in refused["message"]


def test_whoever_may_create_a_service_reads_any_secret(manager: Manager) -> None:
    assert manager.print_by_a_service() == manager.canary


def test_a_log_that_shows_a_value_keeps_it_on_the_disk_in_plain(
    manager: Manager, real_fleet: DockerdFleet
) -> None:
    manager.print_by_a_service()
    kept = holding(manager.canary, real_fleet.root / "srv1" / "data")
    assert [path.name[-len("-json.log") :] for path in kept] == ["-json.log"]


def test_a_task_sees_a_file_in_memory_that_all_its_users_may_read(
    manager: Manager, real_fleet: DockerdFleet
) -> None:
    app = manager.container(manager.service("app", "--secret", manager.name))
    path = f"/run/secrets/{manager.name}"
    mounts = manager.docker("exec", app, "cat", "/proc/mounts").splitlines()
    assert [line.split()[2] for line in mounts if line.split()[1] == path] == ["tmpfs"]
    assert manager.docker("exec", app, "ls", "-ln", path).startswith("-r--r--r--    1 0        0")
    assert manager.docker("exec", "--user", "65534", app, "cat", path) == manager.canary

    # Neither what becomes of the container nor the disk beneath has it.
    for copied in (("export", app), ("cp", f"{app}:{path}", "-")):
        command = ["docker", "--host", manager.host, *copied]
        packed = subprocess.run(command, check=True, capture_output=True).stdout
        assert manager.canary.encode() not in packed, copied
    assert holding(manager.canary, real_fleet.root / "srv1" / "data") == []


def test_environment_and_configs_can_be_read_by_whoever_reaches_the_engine(
    manager: Manager, real_fleet: DockerdFleet
) -> None:
    told = f"Told{manager.canary}"
    service = manager.service("told", "--env", f"PASSWORD={told}")
    assert told in manager.docker("service", "inspect", service)
    assert told in manager.docker("inspect", manager.container(service))
    assert holding(told, real_fleet.root / "srv1" / "data")

    config = f"config_{manager.name}"
    manager.docker("config", "create", config, "-", data=told)
    (shown,) = json.loads(manager.docker("config", "inspect", config))
    manager.docker("config", "rm", config)
    assert base64.b64decode(shown["Spec"]["Data"]).decode() == told


def test_a_version_stays_until_it_is_removed_and_is_kept_while_a_service_names_it(
    manager: Manager,
) -> None:
    service = manager.service("app", "--secret", manager.name)
    newer = manager.name.replace("_v1", "_v2")
    manager.docker("secret", "create", newer, "-", data="newer")
    refused = manager.ask("secret", "rm", manager.name)
    assert refused.returncode == 1
    assert f"is in use by the following service: {service}" in refused.stderr

    swap = ("--secret-rm", manager.name, "--secret-add", newer)
    manager.docker("service", "update", "--detach", *swap, service)
    assert manager.print_by_a_service() == manager.canary, "the older value is still to be had"
    manager.docker("service", "rm", service)
    eventually(lambda: manager.ask("secret", "rm", newer).returncode == 0, "the newer to go")


def test_a_value_among_the_arguments_is_read_by_every_user_of_the_machine(
    manager: Manager,
) -> None:
    script = 'read -r line; printf %s "$1" >/dev/null'
    shell = subprocess.Popen(["sh", "-c", script, "sh", manager.canary], stdin=subprocess.PIPE)
    try:
        seen = subprocess.run(
            ["setpriv", "--reuid", "65534", "--clear-groups", "cat", f"/proc/{shell.pid}/cmdline"],
            check=True, capture_output=True,
        )  # fmt: skip
    finally:
        shell.communicate(b"\n")
    assert manager.canary.encode() in seen.stdout


@pytest.mark.nightly
def test_a_worker_lists_no_secret_and_has_those_of_its_own_tasks_only(
    fresh_fleet: Callable[[int], DockerdFleet],
) -> None:
    fleet = fresh_fleet(2)
    join_as_worker(fleet)
    manager, worker = Manager(fleet.host("srv1")), Manager(fleet.host("srv2"))
    manager.keep_the_canary()
    assert "not a swarm manager" in worker.ask("secret", "ls").stderr

    def mounted(server: str) -> list[str]:
        pid = (fleet.root / server / "pid").read_text().strip()
        mounts = Path(f"/proc/{pid}/mounts").read_text().splitlines()
        return [line for line in mounts if "/mounts/secrets" in line]

    service = manager.service("app", "--secret", manager.name, "--constraint", "node.role==manager")
    manager.container(service)
    assert mounted("srv1")
    assert mounted("srv2") == []

    manager.docker("service", "update", "--detach", "--constraint-rm", "node.role==manager",
                   "--constraint-add", "node.role==worker", service)  # fmt: skip
    there = worker.container(service)
    path = f"/run/secrets/{manager.name}"
    assert worker.docker("exec", there, "cat", path) == manager.canary, "root there reads it"
    eventually(lambda: not mounted("srv1"), "the manager's mount to go")


@pytest.mark.nightly
def test_the_managers_folder_is_all_secrets_unless_the_swarm_locks_itself(
    fresh_fleet: Callable[[int], DockerdFleet],
) -> None:
    fleet = fresh_fleet(2)
    manager, other = Manager(fleet.host("srv1")), fleet.daemons["srv2"]
    manager.keep_the_canary()
    here, there = (fleet.root / name / "data" / "swarm" for name in ("srv1", "srv2"))
    key = here / "certificates" / "swarm-node.key"

    def restore_on_another_machine() -> Manager:
        fleet.daemons["srv1"].stop()
        other.stop()
        shutil.rmtree(there)
        shutil.copytree(here, there)
        other.launch()
        other.wait()
        fleet.daemons["srv1"].launch()
        fleet.daemons["srv1"].wait()
        return Manager(fleet.host("srv2"), manager.canary, manager.name)

    # The log is encrypted, and its key lies beside it, open.
    assert holding(manager.canary, here) == []
    assert re.search(r"(?s)BEGIN PRIVATE KEY.*raft-dek: ", key.read_text())
    thief = restore_on_another_machine()
    again = ("swarm", "init", "--force-new-cluster", "--advertise-addr")
    thief.docker(*again, thief.docker("info", "--format", "{{.Swarm.NodeAddr}}"))
    assert thief.print_by_a_service() == manager.canary

    # With autolock the key is encrypted too, and whoever has the folder has nothing.
    manager.docker("swarm", "update", "--autolock=true")
    eventually(key.read_text, "the key to be sealed", lambda text: "BEGIN ENCRYPTED" in text)
    locked = restore_on_another_machine()
    for engine in (locked, manager):
        refused = engine.ask("secret", "ls")
        assert "Swarm is encrypted and needs to be unlocked" in refused.stderr
    assert manager.docker("ps", "--quiet") == "", "what it ran waits for the key, too"


def test_each_test_and_file_that_the_pages_name_is_there() -> None:
    root = Path(__file__).parents[1]
    page, promises = (root / "docs" / "secrets.md").read_text(), (root / "SECURITY.md").read_text()
    for name in re.findall(r"`(tests/[\w/]+\.py|notebooks/[\w-]+)`", page + promises):
        assert list(root.glob(f"{name}*")), name
    own = Path(__file__).read_text()
    for name in re.findall(r"\[t\]\W+`(\w+)`|\(`(\w+)`\)", page):
        assert f"def test_{name[0] or name[1]}" in own, name
