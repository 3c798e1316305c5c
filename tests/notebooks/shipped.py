"""Running the notebooks that opskit ships."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.waiting import LIMIT

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CHANGING = [path for path in NOTEBOOKS if "apply = False" in path.read_text()]
QUICK = "stable = 0.2"
MADE_UP = "the demo fleet's "
"""How the demo fleet's values begin."""


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
