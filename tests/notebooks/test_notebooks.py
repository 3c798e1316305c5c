"""Every shipped notebook runs from top to bottom, and carries out what it planned."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from opskit.demo.dockerd import DockerdFleet, why_not
from opskit.demo.real import load_sample
from tests.notebooks.shipped import CHANGING, FOLDER, NOTEBOOKS, QUICK, run

@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(params=CHANGING, ids=lambda path: path.stem)
def changing(request: pytest.FixtureRequest) -> Path:
    return request.param


def cells(path: Path, kind: str) -> list[str]:
    notebook = json.loads(path.read_text())
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


def test_cells_hold_no_logic(path: Path) -> None:
    for source in cells(path, "code"):
        logic = r"(?m)^\s*(def|class|for|while|try|with (?!rb\.step\()|lambda)\b"
        assert not re.search(logic, source)


@pytest.mark.slow
@pytest.mark.kernel
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    text = run(path, tmp_path)

    assert "2 of 6 servers missing" in text or "2 missing" in text
    assert '"status": "done"' not in text


@pytest.mark.slow
@pytest.mark.kernel
def test_it_carries_its_plan_out_on_the_demo_fleet(changing: Path, tmp_path: Path) -> None:
    text = run(changing, tmp_path, "apply = True", "go_on = 'yes'", QUICK, "who = 'kim@coop.example'")

    assert "done" in text


@pytest.mark.slow
@pytest.mark.kernel
def test_a_scheduled_audit_fails_after_keeping_what_it_saw(tmp_path: Path) -> None:
    notebook = FOLDER / "11-scheduled-audit.ipynb"
    with pytest.raises(CellExecutionError, match="of severity high or worse"):
        run(notebook, tmp_path, "fail_on = 'high'")

    kept = tmp_path / "runs"
    assert {path.suffix for path in kept.iterdir()} == {".opskit", ".csv", ".html"}
    assert {path.stat().st_mode & 0o077 for path in kept.iterdir()} == {0}
    report = (kept / "report.html").read_text()
    assert "<dd>failed</dd>" in report
    assert "Judge" in report
    assert "of severity high or worse" in report


@pytest.mark.slow
@pytest.mark.kernel
def test_a_scheduled_audit_that_is_content_ends_well(tmp_path: Path) -> None:
    run(FOLDER / "11-scheduled-audit.ipynb", tmp_path)

    assert "<dd>done</dd>" in (tmp_path / "runs" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.kernel
def test_a_new_app_stops_before_its_secrets_when_the_answer_is_no(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="'Its .env is filled in' failed. When it is, begin anew"):
        run(FOLDER / "06-new-app.ipynb", tmp_path, "apply = True", "go_on = 'no'")
