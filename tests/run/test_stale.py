"""A run that stood still while another went past: it overwrites nothing and says what happened."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.demo.engine import Swarm
from opskit.errors import InputError
from opskit.secrets.passstore import PassStore
from opskit.steps import lock
from opskit.swarm.model import Service
from tests.conftest import embedded
from tests.run.killing import ALL, HOOKED, KEY, QUICK, TOKEN
from tests.run.suspending import Suspended, suspended
from tests.stage import APP, Stage, has_its_tasks, staged
from tests.steps.hooks.stored import Database
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def ask(host: str, path: str) -> Any:
    """Ask an engine plainly, without any of opskit's own reading."""
    connection = http.client.HTTPConnection("engine")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(host.removeprefix("unix://"))
    connection.request("GET", path)
    with closing(connection), connection.getresponse() as reply:
        return json.loads(reply.read())


class Oracle:
    """What is declared and what runs, by plain files and plain replies."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def declared(self) -> dict[str, str]:
        """Give the versions that the ``.env`` names."""
        found = re.findall(r"SECRET_(\w+)_VERSION='?(v\d+)", self.stage.env_file.read_text())
        return {name.lower(): version for name, version in found}

    def services(self) -> list[dict[str, Any]]:
        found = ask(self.stage.host, "/services")
        return [one for one in found if one["Spec"]["Name"].startswith(self.stage.stack)]

    def secrets(self) -> set[str]:
        prefix = f"{self.stage.stack}_"
        names = (one["Spec"]["Name"] for one in ask(self.stage.host, "/secrets"))
        return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}

    def restarted(self) -> bool:
        """Tell whether every service was made to start its tasks anew."""
        templates = (one["Spec"]["TaskTemplate"] for one in self.services())
        return all(template.get("ForceUpdate") for template in templates)

    def used(self, spec: str = "Spec") -> dict[str, set[str]]:
        """Give the secrets that services name, by service."""
        return {
            one["Spec"]["Name"]: {
                reference["SecretName"].removeprefix(f"{self.stage.stack}_")
                for reference in one[spec]["TaskTemplate"]["ContainerSpec"].get("Secrets") or ()
            }
            for one in self.services()
            if one.get(spec)
        }

    def locks(self) -> list[str]:
        names = (one["Spec"]["Name"] for one in ask(self.stage.host, "/configs"))
        return [name for name in names if self.stage.stack in name]


def journalled(state: Path) -> tuple[str, dict[str, str], str]:
    """Read from a journal's file how its one run stands, its steps by name, and their errors."""
    where = f"file:{state / 'journal.sqlite'}?mode=ro"
    with closing(sqlite3.connect(where, uri=True)) as database:
        found = database.execute("SELECT status FROM runs").fetchone()
        rows = database.execute("SELECT step, action, status, error FROM steps WHERE phase = 'do'")
        steps = rows.fetchall()
    named = {f"{number} {action}": status for number, action, status, _ in steps}
    return found[0] if found else "", named, " ".join(error for *_, error in steps)


MOMENTS = {
    # each step's intent and outcome, each write to the swarm, to the .env and to the store: each
    # has a moment before and one after.
    "rotate": 2 * (2 * 8 + 5 + 1),
    "insert": 2 * (2 * 7 + 4 + 1),
    "generate": 2 * (2 * 4 + 4),
    "remove": 2 * (2 * 4 + 4),
    "prune": 2 * (2 * 4 + 4),
    "restart": 2 * (2 * 5 + 4),
    "rotate with a hook": 2 * (2 * 9 + 7 + 1),
    "rotate with pass": 2 * (2 * 9 + 4 + 1 + 3),
}
CASES = [(kind, moment) for kind, last in MOMENTS.items() for moment in range(1, last + 1)]


@pytest.fixture
def database() -> Database:
    return Database(Swarm("embedded"))


@pytest.fixture
def stage(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with embedded(tmp_path / "engine.sock", database.swarm, execute=database.execute) as host:
        yield from staged(tmp_path, host, monkeypatch)


def prepare(stage: Stage, kind: str) -> None:
    """Bring a stage to where the operation makes sense."""
    match kind:
        case "generate":
            stage.write_files()
        case "remove":
            stage.write_files()
            stage.create("token_v1", "key_v1")
        case "prune":
            stage.set_up()
            stage.create("token_v2", "token_v3")
        case _:
            stage.set_up()


def is_settled(service: Service) -> bool:
    """Tell whether a service has its tasks and none is about to be replaced: that one counts."""
    status = service.update_status
    return has_its_tasks(service) and (status is None or status.state != "updating")


def go_past(stage: Stage, kind: str) -> None:
    """Do what a colleague does meanwhile, who thinks that the other one is dead."""
    fleet = opskit.Fleet.from_abra()
    eventually(stage.services, "every rollout to end", lambda found: all(map(is_settled, found)))
    lock.break_lock(stage.engine, stage.stack)
    if kind in ("generate", "remove"):
        try:
            plan = fleet.plan_generate(APP, None, QUICK)
        except InputError:
            return
    else:
        secret = KEY if kind in ("insert", "rotate with pass") else TOKEN
        hook = HOOKED.hook if kind == "rotate with a hook" else ""
        options = replace(QUICK, hook=hook, use_pass=kind == "rotate with pass")
        plan = fleet.plan_rotate([secret], options)
    run = plan.apply()
    assert run.status == "done", run.errors


def alices(stage: Stage) -> tuple[dict[str, str], Path]:
    """Give the environment of one who has a state of her own, and where that is."""
    state = stage.root / "alice"
    return {**stage.env, "OPSKIT_STATE_DIR": str(state)}, state


def check_past(stage: Stage, kind: str, moment: int | str) -> tuple[Oracle, Suspended, int, str]:
    """Suspend an operation, let another go past, wake it, and judge what is there then."""
    oracle = Oracle(stage)
    environ, state = alices(stage)
    with suspended(environ, stage.root / "suspended", kind, moment) as run:
        assert run is not None, "the run has fewer moments than the test believes"
        came_from = {name for names in oracle.used().values() for name in names}
        restarted = kind == "restart" and oracle.restarted()
        go_past(stage, kind)
        declared, used = oracle.declared(), oracle.used()
        needed = came_from | {name for names in used.values() for name in names}
        before = journalled(state)[1]
        status, said = run.wake()
    assert (oracle.declared(), oracle.used()) == (declared, used), said
    assert oracle.secrets() >= needed, said
    assert oracle.locks() == []
    for _, version in (name.rsplit("_", 1) for name in used.get(f"{stage.stack}_worker", ())):
        assert version == declared["token"]

    ended, steps, errors = journalled(state)
    left = [name for name, how in steps.items() if how != "done" and "release-lock" not in name]
    undone = [name for name in steps if before.get(name) != "done" and "release-lock" not in name]
    if status == 0:
        # Only what had nothing left to write when it was suspended may say that it is done.
        assert (ended, left) == ("done", []), said
        # A new version under a name that was free is nobody else's; and who had no lock yet took
        # one of the swarm as it was by then, where all that was planned was still to be done.
        harmless = run.at.endswith("outcome") or kind == "generate" or "0 take-lock" in undone
        assert undone == [] or harmless or restarted, (run.at, undone, said)
        if undone and restarted:
            # It had only to wait for its tasks, and tells that its lock was lost by then.
            assert "once all was done, the lock of" in said, said
    else:
        assert ended in ("failed", "rolled-back"), (ended, said)
        assert said, errors
        lost = "is no longer this run's" in said and "undid nothing" in said
        assert lost or "nothing was changed" in said, said
    return oracle, run, status, said


SAMPLE = [
    *CASES[2::11],
    # Between the last question for the lock and what carries no version index: the .env, the
    # database's password, the entry of the store.
    *(
        ("rotate", 19),
        ("rotate", 20),
        ("rotate with a hook", 21),
        ("rotate with pass", 39),
        ("rotate with pass", 41),
    ),
]


@pytest.mark.parametrize("case", CASES if ALL else SAMPLE, ids=str)
def test_a_run_that_others_went_past_overwrites_nothing(
    request: pytest.FixtureRequest, stage: Stage, database: Database, case: tuple[str, int]
) -> None:
    kind, moment = case
    store: PassStore | None = None
    if kind == "rotate with pass":
        store = request.getfixturevalue("password_store")
    prepare(stage, kind)
    oracle, _, _, said = check_past(stage, kind, moment)
    if kind == "rotate with a hook":
        token = f"{stage.stack}_token_{oracle.declared()['token']}"
        assert database.password == database.value_of(token), said
    if store is not None:
        entry = next(path for path in store.entries() if path.endswith("/key"))
        key = f"{stage.stack}_key_{oracle.declared()['key']}"
        if store.read(entry).reveal() != database.value_of(key):
            assert f"{entry} in the password store was changed at that moment" in said


@pytest.mark.parametrize("kind", MOMENTS)
def test_the_number_of_moments_is_the_whole_run(
    request: pytest.FixtureRequest, stage: Stage, kind: str
) -> None:
    if kind == "rotate with pass":
        request.getfixturevalue("password_store")
    prepare(stage, kind)
    environ, _ = alices(stage)
    with suspended(environ, stage.root / "suspended", kind, MOMENTS[kind]) as run:
        assert run is not None
    if kind == "restart":
        with suspended(environ, stage.root / "again", kind, MOMENTS[kind] + 1) as run:
            assert run is None
