"""Cells as text, whatever a table is shown on and wherever its rows are from."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import singledispatch
from typing import Any

from opskit.inert import visible
from opskit.kinds.statuses import STATUSES

WIDE = 34
"""Longer cells may be sentences, which wrap; shorter ones stay on one line."""
_FEW_SPACES = 2
_SPACES = re.compile("[\\n\\t]+")

_TONE_OF = {
    "current": "good",
    "pending": "warn",
    "missing": "bad",
    "superseded": "idle",
    "stale": "warn",
    "orphan": "warn",
    "undeployed": "idle",
    "unknown": "warn",
    "critical": "bad",
    "high": "bad",
    "medium": "warn",
    "low": "idle",
    "info": "idle",
    **{name: status.tone for name, status in STATUSES.items()},
}
_TONED_COLUMNS = frozenset({"state", "severity", "status"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What is to be shown of a table.

    Parameters
    ----------
    columns, numeric
        Its columns, and those of them that hold numbers.
    rows
        The values, in the order of the columns.
    total
        How many rows there are, with those that are not shown.
    """

    columns: Sequence[str]
    numeric: Collection[str]
    rows: Sequence[tuple[object, ...]]
    total: int


@singledispatch
def cell_text(value: Any) -> str:
    """Return a value as one safe line of text: no control characters, nothing for "no value".

    Of the types of pandas and NumPy `opskit.views.render` tells, which loads them.
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return "" if math.isnan(value) else f"{value:,.1f}"
        case dict():
            pairs: Any = value.items()  # pyright: ignore[reportUnknownVariableType]
            return ", ".join(f"{cell_text(key)}={cell_text(one)}" for key, one in pairs)
        case list() | tuple() | set() | frozenset():
            items: Any = value  # pyright: ignore[reportUnknownVariableType]
            return ", ".join(cell_text(item) for item in items)
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case _:
            return visible(_SPACES.sub(" ", str(value)))


def is_sentence(text: str) -> bool:
    """Tell whether a cell is to be read, rather than compared with those above and below it."""
    return len(text) > WIDE and text.count(" ") > _FEW_SPACES


def more_rows(rows: int, limit: int | None) -> str:
    """Say how many rows are not shown; nothing where all are."""
    if limit is None or rows <= limit:
        return ""
    return f"… {rows - limit:,} more rows; narrow with .select(…) or search with .opskit.browse()"


def title_of(column: str) -> str:
    """Return a column's name as a title."""
    return cell_text(column.replace("_", " "))


def tone_of(column: str, value: object) -> str:
    """Return how good a state is; nothing for what is none."""
    if column not in _TONED_COLUMNS or not isinstance(value, str):
        return ""
    return _TONE_OF.get(value, "")
