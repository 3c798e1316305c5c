"""A picture: drawing, text alternative and numbers in one, for notebooks, reports and files.

The colours are each at least 3:1 on white and on black, with white text on them at least 4.5:1.
No picture tells anything by colour alone: numbers, shapes or positions say the same.
"""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from opskit.arguments import check_kind, path_in
from opskit.errors import InputError
from opskit.files.atomic import private_folder, write_private
from opskit.lean import without_grammars
from opskit.progress import default_progress
from opskit.views.cells import cell_text
from opskit.views.frame import View
from opskit.views.views import Views

STATES = {
    "current": "#1a7f4b",
    "pending": "#9a6700",
    "missing": "#cf222e",
    "stale": "#8250df",
    "orphan": "#bf3989",
    "superseded": "#6e7781",
    "undeployed": "#2f6fb5",
    "unknown": "#0e7c86",
}
"""States of a secret's version; ``unknown`` where the server could not be read."""

AGES = {
    "under 30": ("#f1e4d8", "#2b1a10"),
    "30 to 90": ("#d9bb9e", "#2b1a10"),
    "90 to 180": ("#b48a66", "#2b1a10"),
    "180 to 365": ("#80573a", "#fff"),
    "over 365": ("#4a2a18", "#fff"),
}
"""Ages of a secret in days, the youngest first: the colour, and that of text on it.

One ramp of a hue that means nothing elsewhere: the older, the darker.
"""

HEALTH = {
    "all tasks run": ("#1a7f4b", "circle"),
    "some tasks run": ("#9a6700", "triangle-up"),
    "no task runs": ("#cf222e", "cross"),
    "completed": ("#0969da", "triangle-right"),
    "scaled to none": ("#6e7781", "square"),
    "not deployed": ("#2f6fb5", "triangle-down"),
    "not read": ("#66707b", "diamond"),
}
"""How an app or its server is: colour and shape."""

SEVERITIES = {
    "critical": ("#cf222e", "cross"),
    "high": ("#bf3989", "triangle-up"),
    "medium": ("#9a6700", "square"),
    "low": ("#2f6fb5", "circle"),
    "info": ("#6e7781", "diamond"),
}
"""How bad a finding is: colour and shape."""

OUTCOMES = {
    "done": "#1a7f4b",
    "failed": "#cf222e",
    "undone": "#9a6700",
    "skipped": "#6e7781",
    "running": "#2f6fb5",
}
"""How a step of a run ended."""


WIDTH = 680
"""Pixels of a picture, its labels included: it stands beside a side bar, unscaled, at 1,000."""
NAME_AT_MOST = 32
"""Characters of a name; a longer one is shortened in its middle, and whole in the numbers."""

_CHARACTER = 7.4
"""Pixels of a character in a label, at most."""

# A file has no page around it whose colours it could follow.
_FILE_STYLE = (
    "<style>svg{color:#1f2328;background:#fff}"
    "@media(prefers-color-scheme:dark){svg{color:#e6edf3;background:#0d1117}}</style>"
)
_STYLE = (
    "<style>.opskit-picture{margin:0}.opskit-picture svg{max-width:100%;height:auto}"
    ".opskit-picture figcaption{font-weight:600;padding:4px 0 8px}"
    ".opskit-picture p{font-size:13px;margin:4px 0}"
    ".opskit-picture summary{cursor:pointer;font-size:13px;padding:4px 0}</style>"
)
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    "<style>:root{{color-scheme:light dark}}body{{font-family:system-ui,sans-serif;margin:2em}}"
    "</style>{body}</html>\n"
)

# Everything that is text or line has the colour of the text around the picture.
_CONFIG: Mapping[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "domain": False,
        "ticks": False,
        "gridColor": "currentColor",
        "gridOpacity": 0.15,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 320,
        "labelPadding": 6,
    },
    "legend": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 12,
        "orient": "top",
        "title": None,
        "symbolOpacity": 1,
        # The page's font may be wider than the one the columns were measured with.
        "columnPadding": 24,
    },
    "header": {
        "labelColor": "currentColor",
        "labelFontSize": 12,
        "labelFontWeight": "bold",
        "title": None,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing that can be read without seeing it.

    Parameters
    ----------
    title
        What it shows.
    alt
        A sentence or two saying what is to be seen.
    note
        What was left out or put together to keep it readable; empty when nothing was.
    svg
        The drawing, in the colour of the text around it.
    numbers
        The same as a table.
    """

    title: str
    alt: str
    note: str
    svg: str
    numbers: View

    def __repr__(self) -> str:
        return "\n".join(filter(None, (self.title, self.alt, self.note, repr(self.numbers))))

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": repr(self)}

    def to_html(self) -> str:
        """Return the picture, its words and its numbers as HTML to stand in any page."""
        label = html.escape(f"{self.title}. {self.alt}", quote=True)
        drawing = self.svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return (
            f'{_STYLE}<figure class="opskit-picture">'
            f"<figcaption>{html.escape(self.title)}</figcaption>{drawing}"
            f"<p>{html.escape(self.alt)}</p>{note}"
            "<details><summary>The numbers as a table</summary>"
            f"{self.numbers.as_html()}</details></figure>"
        )

    def save(self, path: str | Path) -> None:
        """Write the picture to a file that needs nothing else, for its owner to read.

        Parameters
        ----------
        path
            ``.svg`` for the drawing alone, ``.html`` for drawing, words and numbers.

        Raises
        ------
        InputError
            The file has another suffix, or cannot be written there.
        """
        path = path_in("path", path)
        match path.suffix:
            case ".svg":
                start, _, rest = self.svg.partition(">")
                title, alt = html.escape(self.title), html.escape(self.alt)
                described = f"<title>{title}</title><desc>{alt}</desc>"
                content = f'{start} role="img">{described}{_FILE_STYLE}{rest}\n'
            case ".html":
                content = _PAGE.format(title=html.escape(self.title), body=self.to_html())
            case _:
                raise InputError(
                    "a picture is saved as .svg or .html.", path=path, remedy="Name it so."
                )
        private_folder(path.parent)
        write_private(path, content)


def check_snapshot(snap: object) -> None:
    """Refuse what is no snapshot.

    Raises
    ------
    InputError
        It is something else.
    """
    check_kind("snap", snap, Views, "Give what fleet.snapshot() or Snapshot.load(…) gave.")


def missing(snap: Views) -> str:
    """Return how many servers could not be read, as a sentence after another; or nothing."""
    gone = len(snap.facts.missing())
    return f" {counted(gone, 'server')} could not be read." if gone else ""


def altair() -> Any:
    """Import the drawing library, which takes a while, when something is drawn."""
    if "altair" in sys.modules:
        return sys.modules["altair"]
    with default_progress("Making ready to draw", 1), without_grammars():
        return import_module("altair")


def drawn(
    chart: Any, *, title: str, alt: str, numbers: View, labels: Iterable[str], note: str = ""
) -> Picture:
    """Draw an altair chart as a picture in the house style.

    `labels` are those of the vertical axis: the page's font may be wider than any known here, so
    that room is left for them.
    """
    labels = list(labels)
    room = WIDTH - beside(labels)
    if chart is None or not len(numbers):
        chart = _nothing()
    config = dict(_CONFIG) | {"axisY": {"minExtent": room}}
    spec: dict[str, Any] = chart.to_dict() | {"config": config}
    with default_progress(f"Drawing {title}", 1):
        svg = import_module("vl_convert").vegalite_to_svg(spec)
    return Picture(title=title, alt=alt, note=note, svg=svg, numbers=numbers)


def beside(labels: Iterable[str]) -> int:
    """Return how wide the drawing beside labels of the vertical axis is to be."""
    return WIDTH - round(max(map(len, labels), default=0) * _CHARACTER)


def labelled(names: Iterable[str]) -> Any:
    """Return a vertical axis that writes names beside rows that are counted from 0.

    Rows are told apart by number, as two names may be shortened to the same one.
    """
    # JSON is an array of the expression language: nothing in a name is an expression there.
    return altair().Axis(labelExpr=f"{json.dumps(list(names))}[datum.value]")


def shortened(name: str, most: int = NAME_AT_MOST) -> str:
    """Return a name with its middle left out where it is too long: both ends tell it apart."""
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def _nothing() -> Any:
    alt = altair()
    words = alt.Chart(alt.Data(values=[{"said": "Nothing to draw."}]))
    return (
        words.mark_text(align="left", fontSize=13, color="currentColor")
        .encode(text="said:N", x=alt.value(0))
        .properties(width=WIDTH, height=24)
    )


def safe(text: object) -> str:
    """Return a name as it may stand in a picture: one line without control characters."""
    return cell_text(text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it takes one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
