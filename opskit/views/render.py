"""Tables as HTML: everything escaped, since a label can carry a script."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from opskit.views.cells import (
    WIDE,
    Cells,
    cell_text,
    is_sentence,
    more_rows,
    title_of,
    tone_of,
)

HTML_ROWS = 60
_JOINTS = re.compile("([._])")

_HEADINGS = frozenset({"server", "app"})
"""What a row is about: never left out."""
_CHARACTER, _PADDING = 7.5, 12
"""Pixels, about, in any of the fonts that JupyterLab may use."""

# Text and background pairs of at least 4.5:1 contrast, the same in light and dark themes.
_TONES = {
    "good": ("#0b5d2a", "#d3f3df"),
    "warn": ("#7a4300", "#ffe8c2"),
    "bad": ("#8c1620", "#fddcdf"),
    "idle": ("#3f4a5a", "#e3e8ef"),
}

# "table" in each selector outweighs what JupyterLab says of tables in outputs.
_STYLE = """<style>
.opskit-scroll{overflow-x:auto;container-type:inline-size}
table.opskit-table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
table.opskit-table caption{caption-side:top;text-align:left;padding:4px 0 6px;
min-width:min(30em,95cqw);overflow-wrap:anywhere;
color:var(--jp-ui-font-color1,inherit);font-weight:600}
table.opskit-table tbody tr{background:none!important}
table.opskit-table th,table.opskit-table td{text-align:left!important;padding:3px 12px 3px 0;
vertical-align:top;white-space:nowrap;border-bottom:1px solid var(--jp-border-color2,#8884)}
table.opskit-table th{font-weight:600}
table.opskit-table td.w{white-space:normal;min-width:12em;max-width:32em;overflow-wrap:anywhere}
table.opskit-table td.n,table.opskit-table th.n{text-align:right!important}
table.opskit-fluid{width:100%;max-width:75em;table-layout:auto!important}
table.opskit-fluid td+td,table.opskit-fluid td+td.w{white-space:normal;overflow-wrap:anywhere;
min-width:9em;max-width:none}
table.opskit-fluid td+td.l{overflow-wrap:normal;min-width:11em}
@container (max-width:640px){
table.opskit-fluid,table.opskit-fluid :is(thead,tbody){display:block}
table.opskit-fluid tr{display:grid;grid-template-columns:6em minmax(0,2fr) minmax(0,3fr);
border-bottom:1px solid var(--jp-border-color2,#8884)}
table.opskit-fluid :is(td,th,td+td.l){border:0;min-width:0}
table.opskit-fluid td:nth-child(4){grid-column:2/-1;padding-top:0;
color:var(--jp-ui-font-color2,inherit)}
table.opskit-fluid td:nth-child(4)::before{content:"→ "}
table.opskit-fluid th:nth-child(4){display:none}}
table.opskit-table tr.opskit-over td{border-bottom:0}
table.opskit-table tr.opskit-below td{padding-left:20px;white-space:normal}
.opskit-below span{position:sticky;left:20px;display:inline-block;max-width:min(44em,90cqw);
overflow-wrap:anywhere;color:var(--jp-ui-font-color2,inherit)}
.opskit-tone{display:inline-block;padding:0 7px;border-radius:9px;white-space:nowrap}
.opskit-more{font-size:12px;padding:4px 0;color:var(--jp-ui-font-color1,inherit)}
</style>"""


class Lines(tuple[object, ...]):
    """Several values of one cell, each on a line of its own."""

    __slots__ = ()


def html_table(
    frame: pd.DataFrame,
    columns: Sequence[str],
    caption: str,
    *,
    goes: Sequence[str] = (),
    fluid: bool = False,
) -> str:
    """Render the first rows as an HTML table without script, readable in light and dark.

    A sentence that few rows have stands below its row. Where the page has no room, the columns of
    `goes` are left out, the first first, and named. One that is fluid is as wide as the page, and
    never wider; in a narrow one its fourth column, what is to be done, stands below the others.
    """
    cells = cells_of(frame, columns, HTML_ROWS)
    rows, numeric = cells.rows, cells.numeric
    below = set[str]() if fluid else _sentences(columns, rows)
    beside = [(at, name) for at, name in enumerate(columns) if name not in below]
    room = _room_for(beside, rows, goes)
    kinds = {
        name: ("n " if name in numeric else "") + (f"g{room[name]}" if name in room else "")
        for name in columns
    }
    head = "".join(
        f'<th scope="col"{_class(kinds[name])}>{html.escape(title_of(name))}</th>'
        for _, name in beside
    )
    body = ""
    for values in rows:
        notes = [
            f"{title_of(name)}: {text}"
            for name, value in zip(columns, values, strict=True)
            if name in below and (text := cell_text(value))
        ]
        shown = "".join(_html_cell(name, values[at], kinds[name]) for at, name in beside)
        body += f"<tr{_class('opskit-over' if notes else '')}>{shown}</tr>" + "".join(
            f'<tr class="opskit-below"><td colspan="{len(beside)}"><span>{html.escape(note)}</span>'
            "</td></tr>"
            for note in notes
        )
    more, kind = more_rows(cells.total, HTML_ROWS), " opskit-fluid" if fluid else ""
    note = f'<div class="opskit-more">{html.escape(more)}</div>' if more else ""
    return (
        f'{_STYLE}<div class="opskit-scroll"><table class="opskit-table{kind}">'
        f"<caption>{html.escape(cell_text(caption))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{_left_out(room)}</div>{note}"
    )


def _sentences(columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> set[str]:
    """Return the columns that hold a sentence in some rows, and nothing in most."""
    found: set[str] = set()
    for at, name in enumerate(columns):
        texts = [text for row in rows if (text := cell_text(row[at]))]
        if len(texts) * 2 <= len(rows) and any(map(is_sentence, texts)):
            found.add(name)
    return found


def _room_for(
    beside: Sequence[tuple[int, str]], rows: Sequence[tuple[object, ...]], goes: Sequence[str]
) -> dict[str, int]:
    """Return how wide a page must be, in pixels, for each column that may be left out."""
    widths = {
        name: _PADDING
        + _CHARACTER
        * max([len(title_of(name)), *(min(len(cell_text(row[at])), WIDE) for row in rows)])
        for at, name in beside
    }
    total, found = sum(widths.values()), dict[str, int]()
    for name in goes:
        if name in widths and name not in _HEADINGS:
            found[name] = math.ceil(total)
            total -= widths[name]
    return found


def _left_out(room: dict[str, int]) -> str:
    """Render what names the columns that have no room, and the rules that let them go."""
    if not room:
        return ""
    rules = "".join(
        f"@container (max-width:{one - 1}px){{.g{one}{{display:none}}.s{one}{{display:inline}}}}"
        for one in room.values()
    )
    names = "".join(
        f'<span hidden class="s{one}">{"Left out for lack of room: " if at == 0 else ", "}'
        f"{html.escape(title_of(name))}</span>"
        for at, (name, one) in enumerate(room.items())
    )
    return f'<style>{rules}</style><div class="opskit-more">{names}</div>'


def cells_of(frame: pd.DataFrame, columns: Sequence[str], limit: int | None = None) -> Cells:
    """Return what is to be shown of these columns, in the first rows where there is a limit."""
    part = pd.DataFrame(frame)[list(columns)]
    shown = part if limit is None else part.head(limit)
    numeric = {
        name
        for name in columns
        if pd.api.types.is_numeric_dtype(part[name].dtype)
        and not pd.api.types.is_bool_dtype(part[name].dtype)
    }
    return Cells(
        columns=columns,
        numeric=numeric,
        rows=list(shown.itertuples(index=False, name=None)),
        total=len(frame),
    )


@cell_text.register(type(pd.NA))
@cell_text.register(type(pd.NaT))
def _(_: Any) -> str:
    return ""


@cell_text.register
def _(value: np.bool_) -> str:
    return cell_text(bool(value))


@cell_text.register
def _(value: np.ndarray) -> str:  # type: ignore[type-arg]
    return cell_text(list(value))


def _class(kind: str) -> str:
    return f' class="{kind.strip()}"' if kind else ""


def _html_cell(column: str, value: object, kind: str) -> str:
    if isinstance(value, Lines):
        lines = filter(None, map(cell_text, value))
        # A name may be broken where it has joints, and nowhere else.
        names = (_JOINTS.sub(r"\1<wbr>", html.escape(one)) for one in lines)
        return f'<td class="l">{"<br>".join(names)}</td>'
    plain = cell_text(value)
    text = html.escape(plain)
    tone = tone_of(column, value)
    if tone:
        colour, ground = _TONES[tone]
        style = f"color:{colour};background:{ground}"
        text = f'<span class="opskit-tone" style="{style}">{text}</span>'
    kinds = f"w {kind}" if len(plain) > WIDE else kind
    return f"<td{_class(kinds)}>{text}</td>"
