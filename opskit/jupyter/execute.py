"""Running a notebook without anybody watching; the executed copy is the record.

papermill runs the cells in this very interpreter, so that neither PATH nor an installed kernel
matters, with `opskit.guard` on and no input history. The copy is written again whenever a cell
begins or ends: what a crash leaves tells how far it came.
"""

# papermill and nbclient ship no types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opskit.errors import NotebookError
from opskit.files.atomic import private_folder, write_new, write_private
from opskit.files.temporary import folder
from opskit.jupyter.kernel import Kernel, work_until_stopped
from opskit.jupyter.notebook import Notebook, cells, headings, read_notebook, tags
from opskit.jupyter.parameters import declared_parameters, parse_arguments
from opskit.lean import without_grammars
from opskit.secrets.redact import redact

_WIDGET = "application/vnd.jupyter.widget-view+json"
_ADDED = "injected-parameters"
"""The tag of the cell that papermill adds."""


def execute(
    path: Path,
    parameters: Sequence[str] = (),
    *,
    output: Path = Path("runs"),
    bar: bool = False,
    on_stop: Callable[[], None] = lambda: None,
) -> Path:
    """Run a notebook and return the path of its executed copy.

    Parameters
    ----------
    path
        The notebook; it stays as it is.
    parameters
        Each ``name=value``; see `opskit.jupyter.parameters`.
    output
        The folder for the executed copy.
    bar
        Show a progress bar on stderr.
    on_stop
        Called when Ctrl-C or SIGTERM came: the running cell is interrupted and waited for. When
        one comes again, the kernel is killed.

    Raises
    ------
    InputError
        The notebook cannot be read, a parameter is refused, or the folder cannot be written to.
    MissingToolError
        papermill is not installed.
    NotebookError
        A cell failed, or it was stopped; the error names the cell and the executed copy.
    """
    papermill, exceptions = _papermill()
    notebook = read_notebook(path)
    values = parse_arguments(parameters, declared_parameters(notebook), path)
    begun = datetime.now(UTC)
    name = f"{begun:%Y%m%dT%H%M%SZ}-{path.stem}"
    copy = write_new(private_folder(output), name, ".ipynb", json.dumps(without_secrets(notebook)))
    record = _Record(path, notebook, copy)
    # papermill reads and writes by handlers found by an address's beginning, runs by an engine.
    address = f"opskit-{uuid.uuid4().hex}://"
    papermill.iorw.papermill_io.register(address, record)
    with folder("kernel") as sockets:
        kernel = Kernel(sockets)
        papermill.engines.papermill_engines.register(address, kernel.engine(record.may_go_on))

        def work() -> None:
            papermill.execute_notebook(
                f"{address}in.ipynb",
                f"{address}out.ipynb",
                parameters=values,
                kernel_name="python3",
                language="python",
                progress_bar=bar,
                engine_name=address,
            )

        def stop() -> None:
            record.stopped = True
            on_stop()
            kernel.interrupt()

        try:
            work_until_stopped(work, stop, kernel.kill)
        except (_Stopped, *exceptions) as error:
            raise record.failure(error) from None
    return copy


class _Stopped(Exception):  # noqa: N818 (nobody is to see it)
    """No further cell is to begin."""


class _Record:
    """The executed copy, as papermill's handler for reading and writing notebooks."""

    def __init__(self, path: Path, notebook: Notebook, copy: Path) -> None:
        self._path, self._notebook, self._copy = path, notebook, copy
        self._latest: Notebook = notebook
        self.stopped = False
        """Whether it is to stop at the next occasion."""

    def read(self, _address: str) -> str:
        return json.dumps(self._notebook)

    def listdir(self, _address: str) -> list[str]:
        return []

    def pretty_path(self, _address: str) -> str:
        return str(self._path)

    def write(self, text: str, _address: str) -> None:
        import nbformat

        # Read by nbformat, texts are whole: in the file they are lists of lines.
        self._latest = without_secrets(nbformat.reads(text, as_version=4))
        if "papermill" in self._latest["metadata"]:
            paths = {"input_path": str(self._path), "output_path": str(self._copy)}
            self._latest["metadata"]["papermill"].update(paths)
        write_private(self._copy, nbformat.writes(nbformat.from_dict(self._latest)) + "\n")
        self.may_go_on()

    def may_go_on(self) -> None:
        if self.stopped:
            raise _Stopped

    def failure(self, error: Exception) -> NotebookError:
        """Return an error that names the cell that failed, the last that began, and how."""
        heading, where, why = "", "it", _last_line(error)
        number = 0
        for cell in cells(self._latest):
            heading = next(reversed([*headings(cell)]), heading)
            number += cell["cell_type"] == "code"
            if _ADDED in tags(cell) or not _began(cell):
                continue
            where = f"cell [{cell.get('execution_count') or number}]"
            where += f', under "{heading}",' if heading else ""
            if (of_cell := _error_of(cell)) is not None:
                why = of_cell
                break
        what = f"stopped at {where}" if self.stopped else f"{where} failed: {why}"
        message = redact(f"{self._path.name}: {what}".rstrip(","))
        return NotebookError(message, copy=self._copy, stopped=self.stopped)


def without_secrets(notebook: Notebook) -> Notebook:
    """Return a notebook without what may hold a secret's value.

    Known values are masked. The state of widgets goes, as a field's state holds what was typed.
    """
    cleaned: Notebook = _masked(notebook)
    cleaned["metadata"].pop("widgets", None)
    for cell in cells(cleaned):
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(_WIDGET, None)
    return cleaned


def _masked(data: Any) -> Any:
    match data:
        case str():
            return redact(data)
        case list():
            return [_masked(one) for one in data]
        case dict():
            return {key: _masked(value) for key, value in data.items()}
        case _:
            return data


def _began(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "code" and bool(
        cell["metadata"].get("papermill", {}).get("start_time")
    )


def _error_of(cell: Mapping[str, Any]) -> str | None:
    """Return the last line of a failed cell's error; None when it has none."""
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            said = f"{output.get('ename', '')}: {output.get('evalue', '')}"
            return said.strip().splitlines()[-1].strip()
    return None


def _last_line(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return text.splitlines()[-1] if text else type(error).__name__


def _papermill() -> tuple[Any, tuple[type[Exception], ...]]:
    with without_grammars():
        import papermill
    from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillException

    # It says once more what is said here, and warns of parameters that it cannot parse.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    return papermill, (
        PapermillException, CellControlSignal, CellTimeoutError, DeadKernelError, RuntimeError
    )  # fmt: skip
