"""What is attached to a runbook of tables, plans, runs and pictures: small, and without values."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import pandas as pd

from opskit.errors import InputError
from opskit.journal.records import EntryKind
from opskit.journal.runbooks import masked
from opskit.pictures import Picture
from opskit.run.run import Plan, Run
from opskit.views.cells import cell_text
from opskit.views.frame import View

ROWS_AT_MOST = 500


def attachment(thing: object, title: str) -> tuple[EntryKind, str, dict[str, Any]]:
    """Return kind, text and data of something to keep.

    Raises
    ------
    InputError
        It is neither a table, a plan, a run nor a picture.
    """
    match thing:
        case Plan():
            changes = table(thing.changes)
            text = title or f"Plan to {thing.data.kind}"
            return "plan", text, {"digest": thing.digest, "table": changes}
        case Run():
            return "run", title or f"Run {thing.id}", {"run": thing.id}
        case Picture():
            data = {"svg": thing.svg, "alt": thing.alt, "note": thing.note}
            return "picture", title or thing.title, data
        case pd.DataFrame():
            return "table", title or "Table", {"table": table(thing)}
        case _:
            raise InputError(
                f"a runbook cannot keep a {type(thing).__name__}.",
                remedy="Give it a table, a plan, a run or a picture.",
            )


def table(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a table as text: the columns that hold anything, the first rows, and its caption."""
    caption = f"{len(frame):,} {'row' if len(frame) == 1 else 'rows'}"
    whole: Any = pd.DataFrame(frame)
    if isinstance(frame, View) and set(frame.shown_columns()) <= set(frame.columns):
        whole, caption = whole[frame.shown_columns()], frame.caption
    index = whole.index
    if index.nlevels > 1 or index.name is not None or not pd.api.types.is_integer_dtype(index):
        whole = whole.reset_index(allow_duplicates=True)
    names = [_title(name) for name in whole.columns]
    rows = [
        [_text(value) for value in row]
        for row in whole.head(ROWS_AT_MOST).itertuples(index=False, name=None)
    ]
    filled = [place for place in range(len(names)) if not rows or any(row[place] for row in rows)]
    more = len(frame) - len(rows)
    return {
        "columns": [names[place] for place in filled],
        "rows": [[row[place] for place in filled] for row in rows],
        "caption": caption + (f" · {more:,} more are not kept" if more > 0 else ""),
    }


def _text(value: object) -> str:
    try:
        return masked(cell_text(value))
    except Exception:  # noqa: BLE001 (whatever a value's own __str__ raises)
        return f"({type(value).__name__})"


def _title(name: object) -> str:
    parts: tuple[object, ...] = name if isinstance(name, tuple) else (name,)
    return " ".join(str(part) for part in parts if part != "").replace("_", " ")
