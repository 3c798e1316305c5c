"""How a view is made: server by server, so that only what changed is made anew."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
import pyarrow as pa

from opskit.facts.facts import Part
from opskit.lean import without_collecting
from opskit.views.columns import Row, columns_of
from opskit.views.frame import View
from opskit.views.table import About, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """The rows of a view, and what those about each server were made of.

    Parameters
    ----------
    parts
        By server, in the order of the rows.
    ends
        Which rows are a server's: from the end of the one before to here.
    frame
        The rows. Whoever shows them shows a `copy`, so that these stay as they are.
    """

    parts: Mapping[str, Part]
    ends: Mapping[str, int]
    frame: View

    def says(self, column: str) -> bool:
        """Tell whether a column says anything, of numbers more than 0, in any row."""
        values: Any = self.frame[column].dropna()
        nothing = 0 if pd.api.types.is_numeric_dtype(values.dtype) else ""
        return bool((values != nothing).any())

    def copy(self) -> View:
        """Return the rows so that nothing done to them, to a list in a cell either, is here."""
        view = self.frame.copy()
        for name in view.columns:
            if pd.api.types.is_object_dtype(view[name].dtype):
                cells = [None if cell is None else cell.copy() for cell in view[name]]
                view[name] = pd.Series(cells, view.index, dtype="object")
        return view


@without_collecting()
def derive(table: Table, parts: Mapping[str, Part], before: Derived | None = None) -> Derived:
    """Make the rows of a view.

    Parameters
    ----------
    table
        Which view.
    parts
        What to make them of.
    before
        An earlier result; its rows about servers whose part is the same are taken over.
    """
    pieces: list[tuple[int, int] | list[Row]] = []
    ends: dict[str, int] = {}
    end = 0
    before = before or Derived(parts={}, ends={}, frame=View.from_rows(table.row, [], About()))
    held = _places(before, parts)
    for server, part in parts.items():
        last = pieces[-1] if pieces else None
        place = held.get(server)
        if place is None:
            if not isinstance(last, list):
                last = []
                pieces.append(last)
            rows = list(table.rows(part))
            last += rows
            end += len(rows)
        else:
            if isinstance(last, tuple) and last[1] == place[0]:
                pieces[-1] = (last[0], place[1])
            else:
                pieces.append(place)
            end += place[1] - place[0]
        ends[server] = end
    return Derived(parts=parts, ends=ends, frame=_joined(table.row, pieces, before.frame))


def _places(before: Derived, parts: Mapping[str, Part]) -> dict[str, tuple[int, int]]:
    """Return where the rows stand that can be taken over, by server."""
    found: dict[str, tuple[int, int]] = {}
    start = 0
    for server, end in before.ends.items():
        if parts.get(server) == before.parts[server]:
            found[server] = (start, end)
        start = end
    return found


def _joined(row: type[Row], pieces: list[tuple[int, int] | list[Row]], before: View) -> View:
    frames = [
        View.from_rows(row, piece, About())
        if isinstance(piece, list)
        else cast("View", before.iloc[slice(*piece)])
        for piece in pieces or [list[Row]()]
    ]
    if len(frames) == 1:
        return cast("View", frames[0].reset_index(drop=True))
    joined = cast("View", pd.concat(frames, ignore_index=True))
    for dtype, column in columns_of(row).values():
        if dtype == "string":
            # Else a column would be in more pieces after each time that it is joined.
            text: Any = pa.array(joined[column.name].array)
            whole = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
            joined[column.name] = pd.array(whole, dtype="string")
    return joined
