"""The reading commands, as an operator or a script runs them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.cli.app import run
from opskit.cli.read import VIEWS
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet

Use = Callable[[DemoFleet | DockerdFleet], Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def on_the_demo_fleet(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)


@pytest.mark.parametrize("name", [*VIEWS, "drift"])
def test_every_view_prints_a_table(name: str, capsys: Capture) -> None:
    assert run([name]) == 0
    assert "2 of 6 servers missing" in capsys.readouterr().out


def test_json_is_a_list_of_records_and_the_warning_goes_to_stderr(capsys: Capture) -> None:
    assert run(["secrets", "--format", "json"]) == 0
    out, err = capsys.readouterr()

    assert {"server", "swarm_name", "state"} <= set(json.loads(out)[0])
    assert "2 of 6 servers missing" in err


def test_csv_can_be_read_back(capsys: Capture) -> None:
    assert run(["services", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert "git_coop_example_jwt_secret_v1" in next(
        row["secrets"] for row in rows if row["service"] == "git_coop_example_app"
    )


def test_where_and_server_narrow(capsys: Capture) -> None:
    arguments = ["secrets", "--server", "coop.example", "--where", "age_days > 180", "-f", "json"]
    assert run(arguments) == 0
    rows = json.loads(capsys.readouterr().out)

    assert rows
    assert {row["server"] for row in rows} == {"coop.example"}
    assert all(row["age_days"] > 180 for row in rows)


def test_audit_has_status_1_when_it_finds_something(capsys: Capture) -> None:
    assert run(["audit"]) == 1
    assert run(["audit", "--where", "server == 'nowhere'"]) == 0
    assert run(["audit", "--where", "severity == 'info'"]) == 0
    assert "autolock is off" in capsys.readouterr().out


def test_a_server_that_a_saved_snapshot_has_not_is_named_with_those_it_has(
    tmp_path: Path, capsys: Capture
) -> None:
    path = str(tmp_path / "monday.opskit")
    assert run(["snapshot", path]) == 0
    assert run(["secrets", "--snapshot", path, "--server", "coop.example"]) == 0
    for command in ("secrets", "drift", "audit"):
        assert run([command, "--snapshot", path, "--server", "coop.exmaple"]) == 2
        err = capsys.readouterr().err
        assert "no server called 'coop.exmaple'" in err
        assert "coop.example, " in err


def test_a_saved_snapshot_is_read_offline(tmp_path: Path, capsys: Capture) -> None:
    path = str(tmp_path / "s.opskit")
    assert run(["snapshot", path]) == 0
    assert run(["apps", "--snapshot", path, "-f", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 22


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["apps", "--snapshot", "nowhere.opskit"], "nowhere.opskit"),
        (["apps", "--server", "nowhere"], "Choose from: coop.example"),
        (["apps", "--format", "xml"], "xml"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input_has_status_2_and_says_what(
    arguments: list[str], says: str, capsys: Capture
) -> None:
    assert run(arguments) == 2
    assert says in capsys.readouterr().err


def test_without_an_abra_folder_the_way_in_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("ABRA_DIR", str(tmp_path))
    assert run(["apps"]) == 2
    assert "ABRA_DIR" in capsys.readouterr().err


def test_a_condition_may_ask_texts_and_lists(capsys: Capture) -> None:
    where = "secret.str.startswith('db') and used_by.str.len() > 0 and app.notna()"
    assert run(["secrets", "--format", "json", "--where", where]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_an_output_that_takes_nothing_more_is_said(capsys: Capture) -> None:
    command = [sys.executable, "-m", "opskit", "secrets", "--format", "json"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert "No space left" in ended.stderr
    assert ended.returncode == 1


@pytest.mark.slow
def test_an_output_that_takes_nothing_at_all_is_said_however_short_it_is(capsys: Capture) -> None:
    command = [sys.executable, "-m", "opskit", "locks", "--format", "csv"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert "the output cannot be written: No space left" in ended.stderr
    assert ended.returncode == 1


@pytest.mark.slow
def test_a_reader_that_goes_early_is_no_failure(capsys: Capture) -> None:
    script = f"{sys.executable} -m opskit secrets --format json; echo status $? >&2"
    command = ["bash", "-c", f"({script}) | head -c 1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr.endswith("status 0\n")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied", "/srv/keys"), "/srv/keys cannot be used: Permi"),
        (OSError(28, "No space left on device"), "No space left on device (OSError in test_read"),
        (ConnectionResetError(104, "Reset"), "Reset (ConnectionResetError in test_read.py:"),
    ],
)
def test_trouble_elsewhere_does_not_pass_for_the_output(
    error: OSError, says: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("opskit.reading.reading.Reading.declared", fail)
    assert run(["secrets"]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert "output" not in said
    assert sys.stdout is not None
