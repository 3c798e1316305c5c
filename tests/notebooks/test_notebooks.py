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
from tests.waiting import LIMIT

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CHANGING = [path for path in NOTEBOOKS if "apply = False" in path.read_text()]
QUICK = "stable = 0.2"
MADE_UP = "the demo fleet's "
"""How the demo fleet's values begin."""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(params=CHANGING, ids=lambda path: path.stem)
def changing(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def real() -> Iterator[DockerdFleet]:
    """The sample's first three servers on real engines."""
    reason = why_not()
    if reason is not None:
        if os.environ.get("OPSKIT_REQUIRE_ENGINES"):
            pytest.fail(f"OPSKIT_REQUIRE_ENGINES is set, but {reason}")
        pytest.skip(reason)
    with DockerdFleet(3) as fleet:
        load_sample(fleet)
        yield fleet


def cells(path: Path, kind: str) -> list[str]:
    notebook = json.loads(path.read_text())
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


def run(path: Path, folder: Path, *parameters: str) -> str:
    """Run a notebook with other parameters; give it with its outputs, as JSON."""
    notebook = nbformat.read(path, as_version=4)
    tagged = [n for n, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])]
    cell = nbformat.v4.new_code_cell("\n".join(parameters))
    notebook.cells.insert(tagged[0] + 1, cell)
    NotebookClient(
        notebook, timeout=LIMIT, startup_timeout=LIMIT, iopub_timeout=LIMIT, coalesce_streams=True,
        kernel_name="python3", resources={"metadata": {"path": folder}},
    ).execute()  # fmt: skip
    text = nbformat.writes(notebook)
    assert "Traceback" not in text
    assert MADE_UP not in text
    return text


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
@pytest.mark.swarm
def test_it_carries_its_plan_out_on_real_swarms(
    changing: Path, real: DockerdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (real.env | {"PASSWORD_STORE_DIR": str(tmp_path / "none")}).items():
        monkeypatch.setenv(name, value)

    text = run(changing, tmp_path, "demo = False", "apply = True", "go_on = 'yes'", QUICK)

    assert "servers missing" not in text


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
