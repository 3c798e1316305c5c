"""Every shipped notebook: well made, clean, and running from top to bottom."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PURPOSE = ("**Purpose.**", "**What will happen.**", "**Prerequisites.**", "## Verify", "## Undo")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def cells(path: Path, kind: str) -> list[str]:
    notebook = json.loads(path.read_text())
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


def test_it_says_what_it_is_for_and_how_to_check_and_undo_it(path: Path) -> None:
    text = "\n".join(cells(path, "markdown"))
    assert [part for part in PURPOSE if part not in text] == []


def test_cells_are_short_and_hold_no_secret_looking_literal(path: Path) -> None:
    for source in cells(path, "code"):
        assert len(source.splitlines()) <= 12
        assert not re.search(r"(?i)(password|token|secret)\w*\s*=\s*['\"]", source)


def test_it_is_committed_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


def test_its_parameters_are_tagged(path: Path) -> None:
    tagged = [
        cell
        for cell in json.loads(path.read_text())["cells"]
        if "parameters" in cell["metadata"].get("tags", [])
    ]
    assert len(tagged) == 1


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    text = nbformat.writes(notebook)

    assert "2 of 6 servers missing" in text
    assert "Traceback" not in text
