"""A board: lines with a name, a few columns of marks with numbers, and words."""

# altair has dynamic types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opskit.pictures.picture import HEALTH, SEVERITIES, WIDTH, altair, safe, shortened

_MARKS = SEVERITIES | HEALTH
_INDENT = 14
_FIRST = 250
"""Where the columns begin, in pixels."""
_STEP = 43
_WORDS_AT_MOST = 34
_WIDE_AT_MOST = 59
_LINE = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a board.

    Parameters
    ----------
    name
        What it is about.
    cells
        By column: which mark, of `SEVERITIES` or `HEALTH`, and the number beside it.
    words
        What stands at its end, the most important first; what has no room is counted.
    wide
        What stands in all columns instead.
    is_head
        Whether those below belong to it.
    """

    name: str
    cells: Mapping[str, tuple[str, str] | None]
    words: Sequence[str] = ()
    wide: Sequence[str] = ()
    is_head: bool = False


def board(lines: Sequence[Line], columns: Sequence[str]) -> Any:
    """Draw lines below each other."""
    alt = altair()
    places = {name: _FIRST + _STEP * number for number, name in enumerate(columns)}
    end = _FIRST + _STEP * len(columns) - 8
    texts: list[dict[str, Any]] = [
        {"x": x + 5, "row": 0, "said": name, "kind": "title"} for name, x in places.items()
    ]
    marks: list[dict[str, Any]] = []
    for row, line in enumerate(lines, 1):
        kind = "head" if line.is_head else "text" if line.cells else "quiet"
        indent = 0 if line.is_head else _INDENT
        texts.append({"x": indent, "row": row, "said": shortened(safe(line.name)), "kind": kind})
        texts.append(
            {"x": end, "row": row, "said": _fitting(line.words, _WORDS_AT_MOST), "kind": "text"}
        )
        texts.append(
            {
                "x": _FIRST - 6,
                "row": row,
                "said": _fitting(line.wide, _WIDE_AT_MOST),
                "kind": "quiet",
            }
        )
        for name, cell in line.cells.items():
            if cell is not None:
                marks.append({"x": places[name], "row": row, "mark": cell[0]})
                texts.append({"x": places[name] + 9, "row": row, "said": cell[1], "kind": "text"})
    heads = [{"row": row} for row, line in enumerate(lines, 1) if line.is_head]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, WIDTH]))
    y = alt.Y("row:O", axis=None, scale=alt.Scale(domain=list(range(len(lines) + 1))))
    colours, shapes = zip(*_MARKS.values(), strict=True)
    rules = (
        alt.Chart(alt.Data(values=heads))
        .mark_rule(color="currentColor", opacity=0.25, yOffset=-_LINE / 2)
        .encode(y=y)
    )
    points = (
        alt.Chart(alt.Data(values=marks))
        .mark_point(filled=True, size=75, opacity=1)
        .encode(
            x=x, y=y,
            color=alt.Color("mark:N", legend=None,
                            scale=alt.Scale(domain=list(_MARKS), range=colours)),
            shape=alt.Shape("mark:N", legend=None,
                            scale=alt.Scale(domain=list(_MARKS), range=shapes)),
        )
    )  # fmt: skip
    layers = [rules, points]
    for kind, style in _STYLES.items():
        own = [one for one in texts if one["kind"] == kind and one["said"]]
        chart = alt.Chart(alt.Data(values=own)).encode(x=x, y=y, text="said:N")
        layers.append(chart.mark_text(color="currentColor", **style))
    return alt.layer(*layers).properties(width=WIDTH, height=alt.Step(_LINE))


_STYLES: Mapping[str, Mapping[str, Any]] = {
    "title": {"align": "center", "fontSize": 11, "opacity": 0.8},
    "head": {"align": "left", "fontSize": 12, "fontWeight": "bold"},
    "text": {"align": "left", "fontSize": 12},
    "quiet": {"align": "left", "fontSize": 12, "opacity": 0.75},
}


def _fitting(items: Sequence[str], most: int) -> str:
    """Return the first items, and how many more there are."""
    text = ", ".join(items)
    shown = len(items)
    while len(text) > most and shown > 1:
        shown -= 1
        text = f"{', '.join(items[:shown])} +{len(items) - shown}"
    return shortened(text, most)
