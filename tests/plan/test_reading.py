"""What is asked of which server: a plan reads what it changes, and no more.

Beside the app's own server stands one whose engine takes connections and never answers.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import opskit
from opskit.cli.app import run as cli
from opskit.demo.fleet import write_contexts
from opskit.errors import OpskitError, StalePlanError
from opskit.run.work import Progressed
from tests.stage import APP, QUICK, SERVER, Stage
from tests.waiting import LIMIT, eventually

ELSEWHERE = "hanging.example"
TOKEN = (SERVER, APP, "token")
KEY = (SERVER, APP, "key")
OTHER = b"TYPE=shop\nSTACK_NAME=other\nSECRET_TOKEN_VERSION=v1\nSECRET_KEY_VERSION=v1\n"
PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"
QUICK_CLI = ["--stable", "0", "--dry-run"]


@dataclass(slots=True)
class Hanging:
    """An engine that takes connections and answers none; it may hang up, so that nobody waits."""

    path: Path
    hangs_up: bool = False
    taken: list[socket.socket] = field(default_factory=list[socket.socket])
    requests: list[str] = field(default_factory=list[str])
    up_to_here: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> Iterator[Hanging]:
        """Take connections until the test is over."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        thread = threading.Thread(target=self._take, args=(listener,))
        thread.start()
        yield self
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in (listener, *self.taken):
            one.close()

    def _take(self, listener: socket.socket) -> None:
        while True:
            try:
                one, caller = listener.accept()
            except OSError:
                return
            if caller:
                one.close()
                self.up_to_here.set()
                continue
            self.taken.append(one)
            if self.hangs_up:
                self._hear_out(one)
                one.close()

    def _hear_out(self, one: socket.socket) -> None:
        """Hear what is wanted; only the question for the API's version is answered."""
        while heard := one.recv(65536).decode():
            asked = re.findall(r"^GET \S*/(\w+)", heard, re.MULTILINE)
            self.requests += asked
            if "_ping" in asked:
                one.sendall(PONG)
            if asked != ["_ping"]:
                return

    def asked(self) -> int:
        """Count the connections so far: they are taken in their order, and this is the last."""
        self.up_to_here.clear()
        name = self.path.with_name("mark")
        with socket.socket(socket.AF_UNIX) as mark:
            mark.bind(str(name))
            mark.connect(str(self.path))
            assert self.up_to_here.wait(LIMIT)
        name.unlink()
        return len(self.taken)


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    return embedded_stage


@pytest.fixture
def hanging(stage: Stage) -> Iterator[Hanging]:
    """The app on its own server, and another app on one that never answers."""
    stage.set_up()
    other = stage.root / "abra" / "servers" / ELSEWHERE / "other.example.env"
    other.parent.mkdir()
    other.write_bytes(OTHER)
    path = stage.root / "hanging.sock"
    write_contexts(stage.root / "docker", {ELSEWHERE: f"unix://{path}"})
    yield from Hanging(path).listen()


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def names_a_version_that_is_not_there(stage: Stage) -> None:
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"KEY_VERSION=v1", b"KEY_VERSION=v5"))


def stops_using_it(stage: Stage) -> None:
    (service,) = (s for s in stage.engine.services() if s.spec.name == f"{stage.stack}_app")
    stage.engine.remove_service(service.id)
    eventually(
        lambda: [task for task in stage.engine.tasks() if task.service_id == service.id],
        "its tasks to go",
        lambda tasks: not tasks,
    )


def stays_as_it_is(stage: Stage) -> None:
    pass


Plans = Callable[[opskit.Fleet], opskit.Plan]
PLANS: list[tuple[str, Callable[[Stage], None], Plans]] = [
    ("rotate triples", stays_as_it_is, lambda fleet: fleet.plan_rotate([TOKEN], QUICK)),
    ("rotate by name", stays_as_it_is, lambda fleet: fleet.plan_rotate(APP, "token", QUICK)),
    ("generate", names_a_version_that_is_not_there, lambda fleet: fleet.plan_generate(APP)),
    (
        "restore",
        names_a_version_that_is_not_there,
        lambda fleet: fleet.plan_restore([KEY], from_pass=False),
    ),
    (
        "insert",
        stays_as_it_is,
        lambda fleet: fleet.plan_insert(APP, "key", opskit.Secret("a good one")),
    ),
    ("remove", stops_using_it, lambda fleet: fleet.plan_remove(APP, "key")),
    ("deploy", stays_as_it_is, lambda fleet: fleet.plan_deploy(APP, QUICK)),
    ("undeploy", stays_as_it_is, lambda fleet: fleet.plan_undeploy(APP)),
    ("restart", stays_as_it_is, lambda fleet: fleet.plan_restart(APP, ["app"])),
]


@pytest.mark.parametrize(
    ("stage_is", "plan"), [row[1:] for row in PLANS], ids=[name for name, *_ in PLANS]
)
def test_a_plan_asks_no_server_but_its_own(
    stage: Stage, hanging: Hanging, stage_is: Callable[[Stage], None], plan: Plans
) -> None:
    stage_is(stage)
    made = plan(fleet())

    assert [unit.server for unit in made.data.units] == [SERVER]
    assert hanging.asked() == 0


@pytest.mark.slow
def test_carrying_it_out_and_undoing_it_asks_no_other_server_either(
    stage: Stage, hanging: Hanging
) -> None:
    before = stage.state()
    run = fleet().plan_rotate(APP, "token", QUICK).apply()
    assert run.status == "done", run.errors
    assert fleet().resume(run.id).status == "done"
    assert fleet().rollback(run.id).status == "rolled-back"

    assert stage.state() == before
    assert hanging.asked() == 0


def test_what_is_concluded_from_absence_is_asked_of_every_server(
    stage: Stage, hanging: Hanging
) -> None:
    hanging.hangs_up = True
    stage.create("token_v0", "unknown_v1")
    rows = opskit.Fleet.from_abra(servers=[SERVER]).snapshot().secrets.query("state == 'orphan'")
    assert hanging.asked() == 0
    fleet().plan_prune(APP, keep=0)
    asked = hanging.asked()
    assert asked > 0
    fleet().plan_remove(rows)
    assert hanging.asked() > asked


def test_a_plan_over_a_snapshot_asks_nobody(stage: Stage, hanging: Hanging) -> None:
    hanging.hangs_up = True
    snap = fleet().snapshot()
    asked = hanging.asked()
    assert asked > 0
    write_contexts(stage.root / "docker", {SERVER: "unix:///nobody-listens-here"})
    rows = snap.secrets.query("secret == 'token' and server == @SERVER")
    plan = fleet().plan_rotate(rows, QUICK, snapshot=snap)
    stage.point_at(stage.host)

    assert hanging.asked() == asked
    assert plan.digest == fleet().plan_rotate([TOKEN], QUICK).digest
    with pytest.raises(OpskitError, match=f"nothing can be planned on {ELSEWHERE}"):
        fleet().plan_rotate("other.example", "token", snapshot=snap)


def test_a_plan_over_a_snapshot_that_is_no_longer_true_is_refused_and_says_to_read_again(
    stage: Stage, hanging: Hanging
) -> None:
    hanging.hangs_up = True
    snap = fleet().snapshot()
    stage.touch("worker")
    before = stage.state()
    plan = fleet().plan_rotate(APP, "token", QUICK, snapshot=snap)
    with pytest.raises(StalePlanError, match="Read the servers again and plan again"):
        plan.apply()
    assert stage.state() == before

    stage.env_file.write_bytes(stage.env_file.read_bytes() + b"\nMORE=1")
    with pytest.raises(StalePlanError, match="Read it again and plan again"):
        fleet().plan_rotate(APP, "token", QUICK, snapshot=snap)


def test_what_changes_under_the_lock_says_to_read_again(stage: Stage, hanging: Hanging) -> None:
    def meanwhile(step: Progressed) -> None:
        if (step.action, step.status) == ("take-lock", "done"):
            stage.touch("worker")

    hanging.hangs_up = True
    snap = fleet().snapshot()
    run = fleet().plan_rotate(APP, "token", QUICK, snapshot=snap).apply(on_progress=meanwhile)
    assert run.status == "rolled-back"
    assert "Read the servers again and plan again" in run.errors[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["secret", "rotate", APP, "token", *QUICK_CLI],
        ["secret", "rotate", APP, "--all", *QUICK_CLI],
        ["app", "restart", APP, *QUICK_CLI],
        ["app", "ps", APP],
    ],
    ids=" ".join,
)
def test_a_command_about_one_app_asks_no_other_server(
    stage: Stage, hanging: Hanging, arguments: list[str]
) -> None:
    assert cli(arguments) == 0
    assert hanging.asked() == 0


def test_a_rotation_by_condition_asks_the_servers_that_have_apps(
    stage: Stage, hanging: Hanging
) -> None:
    hanging.hangs_up = True
    where = ["rotate", "--where", "secret == 'token' and state == 'current'", *QUICK_CLI]
    assert cli(where) == 0
    asked = hanging.asked()
    assert asked > 0
    (stage.root / "abra" / "servers" / ELSEWHERE / "other.example.env").unlink()
    assert cli(where) == 0
    assert hanging.asked() == asked


def test_of_a_servers_objects_the_list_of_locks_asks_for_its_configs_alone(
    stage: Stage, hanging: Hanging
) -> None:
    hanging.hangs_up = True
    fleet().locks()
    assert set(hanging.requests) == {"_ping", "configs"}
