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
WIDEST = 66
"""Characters of a line with a parameter: a narrow window shows its comment whole."""
ALLOWED = {"opskit", "pandas"}
SECTIONS = {
    "a purpose": r"(?m)^\*\*Purpose\.\*\* \S",
    "what will happen": r"(?m)^\*\*What will happen\.\*\* \S",
    "prerequisites": r"(?m)^\*\*Prerequisites\.\*\* \S",
}
CHANGING = {"apply", "resume", "rollback", "roll_back", "give_up"}
"""What changes something at once; of a runbook `apply` asks before."""
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
    yield from _unasked(all_cells)


def _unasked(all_cells: list[Cell]) -> Iterator[str]:
    """List what would let a plan be carried out that nobody was asked about."""
    code = [cell for cell in all_cells if cell["cell_type"] == "code"]
    calls = [node for cell in code for node in ast.walk(_tree(cell)) if isinstance(node, ast.Call)]
    applied = [one for one in calls if ast.unparse(one.func) == "rb.apply"]
    if not applied:
        return
    begun = [one for one in calls if ast.unparse(one.func) == "opskit.Runbook"]
    if [_given(one, "dry_run") for one in begun] != ["not apply"]:
        yield "its runbook is not a dry run unless apply is True"
    for place, what in ((0, "plan"), (1, "title")):
        named = [ast.unparse(one.args[place]) for one in applied if len(one.args) > place]
        if len(set(named)) < len(applied):
            yield f"it does not ask about each plan by itself: a {what} is missing or stands twice"
    for one in calls:
        if ast.unparse(one.func).endswith("Plan.join"):
            yield "it asks about several plans at once"
    given = {name: value for cell in code for name, value in _parameters(cell)}
    answers = {word for one in calls if (word := _given(one, "answer"))}
    safe: dict[str, object] = {"apply": False, "approved": []} | dict.fromkeys(answers, "")
    for name, default in safe.items():
        if name not in given or given[name] != default:
            yield f"it says yes by itself: {name} is not {default!r}"
    for one in calls:
        verifies = ast.unparse(one.func) == "rb.step" and one.args[:1]
        if verifies and ast.unparse(one.args[0]) == "'Verify'" and not _given(one, "after"):
            yield "it verifies what was not done: its step 'Verify' follows none"


def _given(call: ast.Call, name: str) -> str:
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), "")


def _parameters(cell: Cell) -> Iterator[tuple[str, Any]]:
    for node in _tree(cell).body if "parameters" in tags(cell) else []:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, ast.literal_eval(node.value)


def _tree(cell: Cell) -> ast.Module:
    return ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source(cell)))


def _prose(cell: Cell) -> Iterator[str]:
    if is_secret_like(source(cell)):
        yield "holds what looks like a secret"


def _code(cell: Cell) -> Iterator[str]:
    written = source(cell)
    if "parameters" in tags(cell) and max(map(len, written.splitlines())) > WIDEST:
        yield f"has a parameter of more than {WIDEST} characters"
    if len(written.splitlines()) > LONGEST:
        yield f"has more than {LONGEST} lines"
    if cell.get("outputs") and "keep-output" not in tags(cell):
        yield "has outputs"
    if cell.get("execution_count"):
        yield "has a count of an execution"
    for node in ast.walk(_tree(cell)):
        yield from _imports(node)
        yield from _changes(node)
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


def _changes(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Attribute(attr=name) as called) if name in CHANGING:
            if ast.unparse(called) != "rb.apply":
                yield f"changes something without asking: {ast.unparse(called)}"
        case _:
            return


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
