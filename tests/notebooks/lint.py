"""What every runbook has, and what none may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opskit.jupyter.notebook import Cell, cells, headings, read_notebook, source, tags
from opskit.jupyter.parameters import is_secret_like, names_secret

LONGEST = 12
"""Lines of a cell of code."""
ALLOWED = {"opskit", "pandas"}
SECTIONS = {
    "a purpose": r"(?m)^\*\*Purpose\.\*\* \S",
    "what will happen": r"(?m)^\*\*What will happen\.\*\* \S",
    "prerequisites": r"(?m)^\*\*Prerequisites\.\*\* \S",
}
HEADINGS = {"numbered steps": r"\d+ · ", "a verification": "Verify$", "a way to undo": "Undo$"}


def faults(path: Path) -> list[str]:
    """List what is wrong with a notebook, each as a sentence with its place."""
    return list(_faults(cells(read_notebook(path))))


def _faults(all_cells: list[Cell]) -> Iterator[str]:
    text = "\n\n".join(source(cell) for cell in all_cells if cell["cell_type"] == "markdown")
    for what, pattern in SECTIONS.items():
        if not re.search(pattern, text):
            yield f"it has not {what}"
    titles = [title for cell in all_cells for title in headings(cell)]
    for what, pattern in HEADINGS.items():
        if not any(re.match(pattern, title) for title in titles):
            yield f"it has not {what}"
    if not titles or list(headings(all_cells[0]))[:1] != titles[:1]:
        yield "it does not begin with its title"
    if sum("parameters" in tags(cell) for cell in all_cells) != 1:
        yield "it has not one cell of parameters"
    names = [cell.get("id") for cell in all_cells]
    if None in names or len(set(names)) < len(names):
        yield "its cells have not each an id of their own"
    for number, cell in enumerate(all_cells, 1):
        check = _code if cell["cell_type"] == "code" else _prose
        yield from (f"cell {number} {fault}" for fault in check(cell))


def _prose(cell: Cell) -> Iterator[str]:
    if is_secret_like(source(cell)):
        yield "holds what looks like a secret"


def _code(cell: Cell) -> Iterator[str]:
    written = source(cell)
    if len(written.splitlines()) > LONGEST:
        yield f"has more than {LONGEST} lines"
    if cell.get("outputs") and "keep-output" not in tags(cell):
        yield "has outputs"
    if cell.get("execution_count"):
        yield "has a count of an execution"
    for node in ast.walk(ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", written))):
        yield from _imports(node)
        yield from _literals(node)


def _imports(node: ast.AST) -> Iterator[str]:
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or "."]
    for module in modules:
        if module.partition(".")[0] not in ALLOWED:
            yield f"imports {module}"


def _literals(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str() as text) if is_secret_like(text):
            yield "holds what looks like a secret"
        case ast.Assign(targets=targets, value=value):
            names = [one.id for one in targets if isinstance(one, ast.Name)]
            yield from _named(names, value)
        case ast.keyword(arg=str() as name, value=value):
            yield from _named([name], value)
        case _:
            return


def _named(names: list[str], value: Any) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
        yield from (f"gives {name} a value" for name in names if names_secret(name))
