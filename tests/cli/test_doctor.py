"""``opskit doctor``: a tick, or a sentence with the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet

Use = Callable[[DemoFleet | DockerdFleet], Path]
Capture = pytest.CaptureFixture[str]


def test_a_server_of_which_all_is_well_is_one_line(
    use: Use, demo_fleet: DemoFleet, capsys: Capture
) -> None:
    use(demo_fleet)
    assert run(["doctor", "--server", "coop.example"]) == 1, "the demo fleet lacks a recipe"
    lines = capsys.readouterr().out.splitlines()
    assert "This machine" in lines
    after = lines[lines.index("Servers") + 1 :]
    assert after[0].startswith("  ✓  coop.example  unix://")
    assert after[0].endswith(" · Docker 20.10.24 on opskit embedded engine · manager")
    assert after[1] == ""


def test_another_shows_how_far_one_gets_and_the_next_command(
    use: Use, demo_fleet: DemoFleet, capsys: Capture
) -> None:
    use(demo_fleet)
    assert run(["doctor", "--server", "library.example"]) == 1
    out = capsys.readouterr().out
    assert "\n  ✗  library.example\n      ✓  context  unix://" in out
    assert "\n      ✗  swarm    it is a worker, and only managers answer.\n" in out
    assert "→ Point its Docker context at a manager: docker context update" in out
    assert "things to mend. Afterwards, once more: opskit doctor\n" in out
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_all_is_well_has_status_0(
    use: Use,
    demo_fleet: DemoFleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    use(demo_fleet)
    (tmp_path / "servers" / "garden.example").mkdir(parents=True)
    monkeypatch.setenv("ABRA_DIR", str(tmp_path))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "none"))
    assert run(["doctor"]) == 0
    assert "All is well." in capsys.readouterr().out


def test_json_has_a_record_for_each_check(use: Use, demo_fleet: DemoFleet, capsys: Capture) -> None:
    use(demo_fleet)
    assert run(["doctor", "--format", "json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert set(rows[0]) == {"server", "check", "state", "what", "remedy"}
    assert {row["server"] for row in rows} >= {None, "coop.example", "radio.example"}
    assert all(row["remedy"] for row in rows if row["state"] == "mend")


def test_a_server_that_is_not_there_is_bad_input(
    use: Use, demo_fleet: DemoFleet, capsys: Capture
) -> None:
    use(demo_fleet)
    assert run(["doctor", "--server", "nowhere"]) == 2
    assert "Choose from: coop.example" in capsys.readouterr().err


def test_before_there_is_a_folder_a_context_can_be_looked_at_by_its_name(
    use: Use,
    demo_fleet: DemoFleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    use(demo_fleet)
    monkeypatch.setenv("ABRA_DIR", str(tmp_path))
    assert run(["doctor", "--server", "garden.example"]) == 1
    assert "  ✓  garden.example  unix://" in capsys.readouterr().out
    assert run(["doctor"]) == 1
    assert "opskit demo" in capsys.readouterr().out
