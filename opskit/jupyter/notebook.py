"""Reading notebooks: plain JSON, so that nothing of Jupyter is needed to look at one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from opskit.errors import InputError

Cell = dict[str, Any]
Notebook = dict[str, Any]


def read_notebook(path: Path) -> Notebook:
    """Read a notebook.

    Raises
    ------
    InputError
        It cannot be read, or is none.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror}).", path=path, remedy="Check the notebook's path."
        ) from None
    except ValueError:
        raise _no_notebook(path) from None
    if not isinstance(data, dict) or cast("Notebook", data).get("nbformat") != 4:
        raise _no_notebook(path)
    notebook = cast("Notebook", data)
    found: Any = notebook.get("cells")
    if not isinstance(found, list) or not all(_is_cell(cell) for cell in cast("list[Any]", found)):
        raise _no_notebook(path)
    return notebook


def cells(notebook: Notebook) -> list[Cell]:
    """Return a notebook's cells."""
    return cast("list[Cell]", notebook["cells"])


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


def _is_cell(cell: Any) -> bool:
    return (
        isinstance(cell, dict)
        and "cell_type" in cell
        and isinstance(cast("Cell", cell).get("source"), str | list)
    )


def _no_notebook(path: Path) -> InputError:
    return InputError(
        "is not a notebook (version 4 of the format).",
        path=path,
        remedy="Give the path of a file that JupyterLab saved.",
    )
