"""The notebooks opskit ships, copied to where an operator works on them; edits are never lost.

What was shipped last is remembered by digests of the sources in ``.opskit/shipped.json`` beside
the copies. Outputs do not count: running a notebook is not editing it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path
from typing import Literal

import msgspec

from opskit.decoding import decode_json
from opskit.errors import InputError, OpskitError
from opskit.files.atomic import private_folder, write_private
from opskit.files.bounded import read_regular
from opskit.jupyter.notebook import Notebook, cells, read_notebook, source, tags

OWN = ".opskit"
"""The folder beside the copies in which opskit keeps what it needs; JupyterLab hides it."""

_MANIFEST_LARGEST = 1024**2

Status = Literal["new", "same", "updated", "edited", "newer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One notebook in the operator's folder, and the outcome of copying it.

    Parameters
    ----------
    status
        ``new`` and ``updated`` were written; ``same`` needed nothing. Those edited were left:
        ``edited`` is of the version shipped last, for ``newer`` there is another one.
    diff
        For ``newer``: what taking the shipped one would change.
    """

    path: Path
    status: Status
    diff: tuple[str, ...] = ()


def shipped_folder() -> Path:
    """Return the folder of the notebooks that came with this opskit.

    Raises
    ------
    OpskitError
        They did not come with it.
    """
    package = Path(__file__).parents[1]
    # A checkout has them beside the package, an installed wheel inside.
    for folder in (package.parent / "notebooks", package / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise OpskitError(f"{package}: opskit's notebooks are missing; install it again.")


def copy_notebooks(shipped: Path, target: Path) -> list[Copy]:
    """Copy every shipped notebook into a folder, leaving those that were edited there.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    own = private_folder(private_folder(target) / OWN)
    manifest = _read_manifest(own / "shipped.json")
    copies: list[Copy] = []
    for path in sorted(shipped.glob("*.ipynb")):
        notebook = read_notebook(path)
        there = target / path.name
        copy = _copy(path, notebook, there, manifest.get(path.name))
        if copy.status in ("new", "same", "updated"):
            manifest[path.name] = _digest(notebook)
        copies.append(copy)
    write_private(own / "shipped.json", json.dumps(manifest, indent=1) + "\n")
    return copies


def _copy(path: Path, notebook: Notebook, there: Path, last: str | None) -> Copy:
    """Bring one copy up to date unless it was edited; `last` was shipped into it last."""
    if not there.exists():
        write_private(there, path.read_text(encoding="utf-8"))
        return Copy(path=there, status="new")
    try:
        present = read_notebook(there)
    except InputError:
        # Whatever it is, it is not what was shipped.
        return Copy(path=there, status="edited")
    if _digest(present) == _digest(notebook):
        return Copy(path=there, status="same")
    if _digest(present) == last:
        if any(cell.get("outputs") for cell in cells(present)):
            _set_aside(there)
        write_private(there, path.read_text(encoding="utf-8"))
        return Copy(path=there, status="updated")
    if last == _digest(notebook):
        return Copy(path=there, status="edited")
    return Copy(path=there, status="newer", diff=tuple(_diff(present, notebook)))


def _set_aside(path: Path) -> None:
    """Save a copy that was run: its outputs may be the only record of something."""
    folder = private_folder(path.parent / OWN / "before")
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{path.name}"
    write_private(folder / name, path.read_text(encoding="utf-8"))


def _digest(notebook: Notebook) -> str:
    content = [(cell["cell_type"], source(cell), tags(cell)) for cell in cells(notebook)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _diff(before: Notebook, after: Notebook) -> Iterator[str]:
    lines = unified_diff(_lines(before), _lines(after), "yours", "opskit's", n=0, lineterm="")
    for line in lines:
        if not line.startswith("@@"):
            yield line


def _lines(notebook: Notebook) -> list[str]:
    return [line for cell in cells(notebook) for line in source(cell).splitlines()]


def _read_manifest(path: Path) -> dict[str, str]:
    try:
        return decode_json(read_regular(path, _MANIFEST_LARGEST), dict[str, str])
    except (OSError, InputError, msgspec.MsgspecError):
        # Without it every copy that differs counts as edited: nothing is lost.
        return {}
