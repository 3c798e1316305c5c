"""Reading notebooks: plain JSON, so that nothing of Jupyter is needed to look at one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from opskit.decoding import decode_json, ready
from opskit.errors import InputError
from opskit.files.bounded import read_regular

Cell = dict[str, Any]
Notebook = dict[str, Any]

_LARGEST = 64 * 1024**2
"""Bytes; larger than any record of a run, pictures and all."""


class _Output(msgspec.Struct):
    output_type: str
    data: dict[str, Any] = {}
    ename: str = ""
    evalue: str = ""


class _OfCell(msgspec.Struct):
    tags: list[str] = []
    papermill: dict[str, Any] = {}


class _Cell(msgspec.Struct):
    cell_type: str
    source: str | list[str]
    metadata: _OfCell = msgspec.field(default_factory=_OfCell)
    outputs: list[_Output] = []


class _Notebook(msgspec.Struct):
    """What is read of a notebook, to know that it has the shape of one."""

    nbformat: Literal[4]
    cells: list[_Cell]
    metadata: dict[str, Any] = {}


def read_notebook(path: Path) -> Notebook:
    """Read a notebook.

    Raises
    ------
    InputError
        It cannot be read, or is none.
    """
    try:
        notebook = decode_json(read_regular(path, _LARGEST), Notebook)
        msgspec.convert(notebook, ready(_Notebook))
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror}).", path=path, remedy="Check the notebook's path."
        ) from None
    except (msgspec.MsgspecError, RecursionError):
        raise InputError(
            "is not a notebook (version 4 of the format).",
            path=path,
            remedy="Give the path of a file that JupyterLab saved.",
        ) from None
    notebook.setdefault("metadata", {})
    return notebook


def cells(notebook: Notebook) -> list[Cell]:
    """Return a notebook's cells."""
    return notebook["cells"]


def source(cell: Cell) -> str:
    """Return what is written in a cell."""
    return "".join(cell["source"])


def tags(cell: Cell) -> list[str]:
    """Return a cell's tags."""
    return list(cell.get("metadata", {}).get("tags", []))


def headings(cell: Cell) -> Iterator[str]:
    """Return the headings of a cell of text, without their marks."""
    if cell["cell_type"] == "markdown":
        for line in re.findall(r"(?m)^#{1,6}[ \t]+(.+?)[ \t#]*$", _without_code(source(cell))):
            yield str(line)


def _without_code(text: str) -> str:
    return re.sub(r"(?ms)^```.*?^```", "", text)
