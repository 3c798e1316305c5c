"""Running the notebooks that opskit ships, one after the other in one kernel."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

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


WIDGET = "application/vnd.jupyter.widget-view+json"
Answer = Callable[[str], str]


def nobody(_question: str) -> str:
    """Click nothing, as nobody is there."""
    return ""


def everybody(question: str) -> str:
    """Agree to whatever is asked."""
    return "yes" if "nobody has decided yet" in question else "Apply this plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel that each notebook finds without names, in its folder and the test's environment."""

    manager: Any

    def run(self, path: Path, folder: Path, *parameters: str, answer: Answer = nobody) -> str:
        """Run a notebook with other parameters; give it with its outputs, as JSON.

        Where it stops at a question, `answer` is given what it says there, and gives what somebody
        clicks in their browser; then it goes on from that cell. Without a click it stays stopped.
        """
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
            with client.setup_kernel(cleanup_kc=False):
                for number, cell in enumerate(notebook.cells):
                    _carry_out(client, cell, number, answer)
        finally:
            # The next client has the same name, and replies go to one of that name.
            if client.kc is not None:
                client.kc.stop_channels()
        del notebook.cells[0]
        text = nbformat.writes(notebook)
        assert "Traceback" not in text
        assert MADE_UP not in text
        return text


def _carry_out(client: NotebookClient, cell: Any, number: int, answer: Answer) -> None:
    while True:
        try:
            client.execute_cell(cell, number)
        except CellExecutionError as stopped:
            choice = answer(stopped.evalue) if stopped.ename == "UndecidedError" else ""
            if not choice:
                raise
            _click(client, choice)
            # Where the outputs were that this cell loses now: nbclient would write to them still.
            client._display_id_map.clear()
        else:
            return


def _click(client: NotebookClient, choice: str) -> None:
    """Say to the kernel what a browser says when somebody clicks on the last question."""
    asked = [
        output["data"][WIDGET]["model_id"]
        for cell in client.nb.cells
        for output in cell.get("outputs", [])
        if WIDGET in output.get("data", {})
    ][-1]
    content = {"type": "answer", "choice": choice, "who": {"username": "ada", "name": "Ada"}}
    plan = client.widget_state[asked].get("state", {}).get("plan")
    if plan is not None:
        content |= {
            "type": "leave" if choice == "Leave it" else "apply", "tab": "ada-1",
            "digest": plan["digest"], "confirm": plan["confirm"],
        }  # fmt: skip
    message = {"comm_id": asked, "data": {"method": "custom", "content": content}}
    assert client.kc is not None
    client.kc.shell_channel.send(client.kc.session.msg("comm_msg", message))


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
