"""Running the notebooks that opskit ships, one after the other in one kernel."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from tests.waiting import LIMIT

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CHANGING = [path for path in NOTEBOOKS if "apply = False" in path.read_text()]
QUICK = "stable = 0.2"
MADE_UP = "the demo fleet's "
"""How the demo fleet's values begin."""

BEGIN_ANEW = """
import os
os.chdir({folder!r})
os.environ.clear()
os.environ.update({environment!r})
get_ipython().reset(new_session=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel that each notebook finds without names, in its folder and the test's environment."""

    manager: Any

    def run(self, path: Path, folder: Path, *parameters: str) -> str:
        """Run a notebook with other parameters; give it with its outputs, as JSON."""
        notebook = nbformat.read(path, as_version=4)
        tagged = [
            n for n, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])
        ]
        cell = nbformat.v4.new_code_cell("\n".join(parameters))
        notebook.cells.insert(tagged[0] + 1, cell)
        code = BEGIN_ANEW.format(folder=str(folder), environment=dict(os.environ))
        notebook.cells.insert(0, nbformat.v4.new_code_cell(code))
        client = NotebookClient(
            notebook, km=self.manager, timeout=LIMIT, startup_timeout=LIMIT, iopub_timeout=LIMIT,
            coalesce_streams=True,
        )  # fmt: skip
        try:
            client.execute(cleanup_kc=False)
        finally:
            # The next client has the same name, and replies go to one of that name.
            if client.kc is not None:
                client.kc.stop_channels()
        del notebook.cells[0]
        text = nbformat.writes(notebook)
        assert "Traceback" not in text
        assert MADE_UP not in text
        return text


@contextmanager
def started() -> Iterator[Kernel]:
    """Start a kernel, and end it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as sockets:
        # Not on TCP: somebody else may take a port between its choice and the kernel's start.
        manager: Any = KernelManager(
            kernel_name="python3", transport="ipc", connection_file=f"{sockets}/kernel.json"
        )
        manager.start_kernel()
        yield Kernel(manager=manager)
        manager.shutdown_kernel(now=True)
