"""The changing commands, on the demo fleet."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.steps import lock
from opskit.swarm.context import find_context
from opskit.swarm.engine import Engine

pytestmark = pytest.mark.slow

Use = Callable[[DemoFleet | DockerdFleet], Path]
Capture = pytest.CaptureFixture[str]
QUICK = ["--stable", "0", "--yes"]


@pytest.fixture
def root(use: Use, own_fleet: DemoFleet) -> Path:
    return use(own_fleet)


def versions(capsys: Capture, app: str, secret: str) -> dict[str, str]:
    capsys.readouterr()
    where = f"app == '{app}' and secret == '{secret}'"
    assert run(["secrets", "--where", where, "--format", "json"]) == 0
    return {row["version"]: row["state"] for row in json.loads(capsys.readouterr().out)}


def test_a_dry_run_prints_the_calls_and_changes_nothing(root: Path, capsys: Capture) -> None:
    assert run(["secret", "rotate", "id.coop.example", "admin_password", "--dry-run"]) == 0
    out = capsys.readouterr().out

    assert "POST /secrets/create" in out
    assert "v1" in out
    assert versions(capsys, "id.coop.example", "admin_password") == {"v1": "current"}


def test_rotating_one_and_rolling_it_back(root: Path, capsys: Capture) -> None:
    app = "id.coop.example"
    assert run(["secret", "rotate", app, "admin_password", *QUICK]) == 0
    assert ": done" in capsys.readouterr().out
    assert versions(capsys, app, "admin_password") == {"v1": "superseded", "v2": "current"}

    assert run(["journal", "--format", "json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    # Nothing is unfinished, so the run to undo is to be named; the refusal says which it may be.
    assert run(["rollback"]) == 2
    assert f"opskit rollback {record['run']}" in capsys.readouterr().err
    assert run(["rollback", record["run"], "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "back to v1, v2 removed" in " ".join(shown.split())
    assert versions(capsys, app, "admin_password") == {"v1": "superseded", "v2": "current"}
    assert run(["rollback", record["run"], "--yes"]) == 0
    assert versions(capsys, app, "admin_password") == {"v1": "current"}


def test_a_lock_is_broken_from_a_machine_without_a_folder_of_abra_s(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(find_context("coop.example"))
    lock.take(engine, "notes_coop_example", run="other-run", owner="alice", host="her-machine")
    monkeypatch.setenv("ABRA_DIR", str(root / "not-there"))
    assert run(["break-lock", "coop.example", "notes_coop_example"]) == 0
    assert "held by alice@her-machine" in capsys.readouterr().out
    assert lock.locks_among("coop.example", engine.configs()) == []


def test_who_holds_the_lock_is_said_once(root: Path, capsys: Capture) -> None:
    engine = Engine(find_context("coop.example"))
    lock.take(engine, "id_coop_example", run="other-run", owner="alice", host="her-machine")
    assert run(["secret", "rotate", "id.coop.example", "admin_password", *QUICK]) == 1
    said = capsys.readouterr().err
    assert said.count("alice@her-machine") == 1
    assert "nothing was changed" in said
    assert run(["break-lock", "coop.example", "id_coop_example"]) == 0
    assert "held by alice@her-machine with run other-run" in capsys.readouterr().out
    assert lock.locks_among("coop.example", engine.configs()) == []


def test_bulk_rotation_by_query(root: Path, capsys: Capture) -> None:
    where = "secret == 'session' and state == 'current'"
    assert run(["rotate", "--where", where, *QUICK]) == 0
    assert versions(capsys, "notes.coop.example", "session")["v2"] == "current"


def test_a_database_password_is_refused_unless_meant(root: Path, capsys: Capture) -> None:
    assert run(["secret", "rotate", "id.coop.example", "db_password", "--yes"]) == 2
    assert "--no-hook" in capsys.readouterr().err


def test_what_is_not_to_be_generated_is_refused_in_bulk(root: Path, capsys: Capture) -> None:
    where = ["rotate", "--where", "app == 'traefik.coop.example'"]
    assert run([*where, "--yes"]) == 2
    assert "generate=false" in capsys.readouterr().err
    assert run([*where, "--anyway", *QUICK]) == 0
    assert versions(capsys, "traefik.coop.example", "usersfile")["v2"] == "current"


def test_a_value_from_standard_input(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "c4nary-from-stdin"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{canary}\n".encode())))
    assert run(["secret", "insert", "traefik.coop.example", "usersfile", *QUICK]) == 0
    out, err = capsys.readouterr()

    assert canary not in out + err
    assert versions(capsys, "traefik.coop.example", "usersfile")["v2"] == "current"
    assert not any(
        canary.encode() in path.read_bytes() for path in root.rglob("*") if path.is_file()
    )


def test_a_missing_secret_is_generated(root: Path, capsys: Capture) -> None:
    app = "notes.garden.example"
    assert run(["secret", "generate", app, "session", "--length", "48", "--yes"]) == 0
    assert versions(capsys, app, "session") == {"v1": "undeployed"}


def test_prune_leaves_one_back(root: Path, capsys: Capture) -> None:
    assert run(["secret", "prune", "cloud.coop.example", "--yes"]) == 0
    assert versions(capsys, "cloud.coop.example", "admin_password") == {
        "v2": "superseded",
        "v3": "current",
    }


def test_a_snapshot_is_a_selection_of_all_it_declares(root: Path) -> None:
    fleet = opskit.Fleet.from_abra()
    snap = fleet.snapshot()
    assert (snap.secrets["state"] == "orphan").any()
    plan = fleet.plan_prune(snap, keep=1)
    assert plan.data.units == fleet.plan_prune(keep=1).data.units


def test_orphans_are_removed_and_no_other(root: Path, capsys: Capture) -> None:
    def orphans() -> set[str]:
        capsys.readouterr()
        assert run(["secrets", "--where", "state == 'orphan'", "--format", "json"]) == 0
        return {row["swarm_name"] for row in json.loads(capsys.readouterr().out)}

    assert run(["secrets", "--where", "state != 'orphan'", "--format", "json"]) == 0
    others = json.loads(capsys.readouterr().out)
    files = {path: path.read_bytes() for path in root.rglob("*.env")}
    found = orphans()
    one = "swarm_name == 'backup-borg-passphrase'"
    assert run(["secret", "remove", "--orphans", "--where", one, "--yes"]) == 0
    out = capsys.readouterr().out
    assert "cannot be read back" in out
    assert orphans() == found - {"backup-borg-passphrase"}

    assert run(["secret", "remove", "--orphans", "--yes"]) == 0
    assert orphans() == set()
    assert run(["secrets", "--where", "state != 'orphan'", "--format", "json"]) == 0
    after = json.loads(capsys.readouterr().out)
    names = [[row["swarm_name"], row["state"]] for row in others]
    assert names == [[row["swarm_name"], row["state"]] for row in after]
    assert files == {path: path.read_bytes() for path in root.rglob("*.env")}


def test_a_no_changes_nothing(root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert run(["secret", "rotate", "id.coop.example", "admin_password"]) == 1
    assert versions(capsys, "id.coop.example", "admin_password") == {"v1": "current"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["secret", "rotate", "nowhere", "x"], "no app called 'nowhere'"),
        (["secret", "rotate", "id.coop.example", "nowhere"], "It declares: "),
        (["secret", "rotate", "id.coop.example"], "--all"),
        (["secret", "remove", "id.coop.example", "admin_password"], "in use by"),
        (["secret", "remove", "--orphans", "id.coop.example"], "or --orphans alone"),
        (["secret", "remove", "--where", "declared"], "or --orphans alone"),
        (["secret", "remove", "id.coop.example", "--where", "declared"], "Add --orphans"),
        (["secret", "remove", "--orphans", "--where", "declared"], "the selection is empty"),
        (["secret", "rotate", "cloud.library.example", "admin_password"], "worker"),
        (["resume"], "no unfinished run"),
        (["break-lock", "coop.example", "nothing"], "is not locked"),
    ],
)
def test_what_cannot_be_done_is_said(
    root: Path, capsys: Capture, arguments: list[str], says: str
) -> None:
    assert run(arguments) == 2
    assert says in capsys.readouterr().err


def test_a_value_among_the_arguments_is_refused_and_not_repeated(
    root: Path, capsys: Capture
) -> None:
    arguments = ["secret", "insert", "notes.coop.example", "session", "v9", "c4nary-typed-as-abra"]
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert "not taken from the arguments" in said.err
    assert "c4nary" not in said.err + said.out


def test_a_command_whose_quotes_stay_open_is_refused(root: Path, capsys: Capture) -> None:
    arguments = ["secret", "generate", "git.coop.example", "--all", "--command", "printf 'x"]
    assert run(arguments) == 2
    assert "Close its quotes" in capsys.readouterr().err
