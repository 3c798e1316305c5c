"""Tables as text: fitted to a terminal's width, or one plain line per row for other programs.

Nothing is broken but sentences, at their spaces, and lists, between their items. What has no room
goes, in the order that the view's `About` declares: a sentence below its row, server and app above
their rows, any other column into the caption, which names it. What is left is shown however narrow
the terminal: a cell that is longer than most of its column takes a line of its own.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from opskit.views.cells import Cells, cell_text, is_sentence, more_rows, title_of, tone_of

TEXT_ROWS = 60
_TEXT_WIDTH = 160
_GAP, _INDENT, _BELOW = 2, 2, 4
_NARROW = 34
"""Below it a sentence is not indented."""
_FEW = 20
"""One row in so many may take a second line before a column goes."""
_MEAN_LINES = 1.5
"""So many lines may rows have on average, where lists are broken."""
_HEADINGS = ("server", "app")
_STYLES = {"good": "green", "warn": "yellow", "bad": "red", "idle": "bright_black"}


@dataclass(slots=True, eq=False)
class _Column:
    """A column's cells, each as the items that it may be broken between."""

    name: str
    cells: list[list[str]]
    right: bool
    styles: list[str]
    width: int = 0
    lengths: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.lengths = [_length(self.text(row)) for row in range(len(self.cells))]
        self.width = self.natural

    @property
    def title(self) -> str:
        return title_of(self.name)

    @property
    def natural(self) -> int:
        return max([len(self.title), *self.lengths])

    @property
    def is_empty(self) -> bool:
        return not any(self.lengths)

    @property
    def is_list(self) -> bool:
        return any(len(items) > 1 for items in self.cells)

    @property
    def is_prose(self) -> bool:
        return not self.is_list and any(
            is_sentence(self.text(row)) for row in range(len(self.cells))
        )

    def text(self, row: int) -> str:
        return ", ".join(self.cells[row])

    def lines(self, row: int) -> list[str]:
        """Return a cell as lines of at most this column's width, where its items allow it."""
        if self.lengths[row] <= self.width:
            return [self.text(row)]
        lines = [""]
        for number, item in enumerate(self.cells[row], 1):
            piece = item if number == len(self.cells[row]) else f"{item},"
            longer = f"{lines[-1]} {piece}" if lines[-1] else piece
            if lines[-1] and _length(longer) > self.width:
                lines.append(piece)
            else:
                lines[-1] = longer
        return lines


@dataclass(slots=True)
class _Layout:
    """Which columns stand beside each other, below their row, above their rows, or nowhere."""

    beside: list[_Column]
    below: list[_Column] = field(default_factory=list[_Column])
    above: list[_Column] = field(default_factory=list[_Column])
    left_out: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table that fits the console it is printed on.

    Parameters
    ----------
    cells, caption
        What to show.
    goes
        Which columns go where there is no room, the first first.
    wide
        Whether all stand beside each other, whatever the width.
    hint
        What shows the columns that are left out, for the caption.
    """

    cells: Cells
    caption: str
    goes: Sequence[str] = ()
    wide: bool = False
    hint: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        layout = _Layout(_read(self.cells))
        width = options.max_width
        if self.wide:
            width = sum(one.natural + _GAP for one in layout.beside)
        else:
            _fit(layout, self.goes, width)
        yield Text(self._caption(layout), style="bold")
        yield from _lines(layout, width, console)
        if more := more_rows(self.cells.total, len(self.cells.rows)):
            yield Text(more)
        yield Text("")

    def _caption(self, layout: _Layout) -> str:
        caption = cell_text(self.caption)
        if not layout.left_out:
            return caption
        hint = f" ({self.hint})" if self.hint else ""
        return f"{caption} · left out: {', '.join(map(cell_text, layout.left_out))}{hint}"


def style_of(column: str, value: object) -> str:
    """Return rich's style for a state, nothing for what is none."""
    return _STYLES.get(tone_of(column, value), "")


def text_table(cells: Cells, caption: str, goes: Sequence[str]) -> str:
    """Render a table as plain text."""
    console = Console(file=io.StringIO(), width=_TEXT_WIDTH, color_system=None, force_jupyter=False)
    table = TextTable(cells=cells, caption=caption, goes=goes)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def plain_rows(cells: Cells) -> Iterator[str]:
    """Return a line of titles and one for each row, all columns aligned, however long."""
    read = _read(cells)
    yield _plain(read, [one.title for one in read])
    for row in range(len(cells.rows)):
        yield _plain(read, [one.text(row) for one in read])


def _plain(columns: Iterable[_Column], cells: Iterable[str]) -> str:
    padded = (
        " " * (column.width - _length(text)) + text
        if column.right
        else text + " " * (column.width - _length(text))
        for column, text in zip(columns, cells, strict=True)
    )
    return (" " * _GAP).join(padded).rstrip()


def _read(cells: Cells) -> list[_Column]:
    return [
        _Column(
            name=name,
            cells=[_items(row[at]) for row in cells.rows],
            right=name in cells.numeric,
            styles=[style_of(name, row[at]) for row in cells.rows],
        )
        for at, name in enumerate(cells.columns)
    ]


def _items(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [cell_text(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    text = cell_text(value)
    return [text] if text else []


def _length(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _fit(layout: _Layout, goes: Sequence[str], width: int) -> None:
    """Let columns go until the others have room."""
    empty = [one for one in layout.beside if one.is_empty]
    prose = sorted(
        (one for one in layout.beside if one.is_prose), key=lambda one: one.natural, reverse=True
    )
    named = {one.name: one for one in layout.beside}
    turn = [*empty, *prose, *(named[name] for name in goes if name in named)]
    for column in dict.fromkeys(turn):
        if _give_widths(layout, width, at_most=len(column.cells) // _FEW):
            return
        _let_go(layout, column)
    _give_widths(layout, width, at_most=None)


def _let_go(layout: _Layout, column: _Column) -> None:
    if len(layout.beside) == 1:
        return
    if column.is_empty:
        layout.beside.remove(column)
    elif column.is_prose:
        layout.beside.remove(column)
        layout.below.append(column)
    elif column.name not in _HEADINGS:
        layout.beside.remove(column)
        layout.left_out.append(column.name)
    elif _are_grouped(above := [*layout.above, column]):
        layout.beside.remove(column)
        layout.above = above


def _are_grouped(columns: Sequence[_Column]) -> bool:
    runs = [heading for heading, _ in groupby(_headings(columns))]
    return len(runs) == len(set(runs))


def _headings(columns: Sequence[_Column]) -> list[str]:
    rows = range(len(columns[0].cells)) if columns else ()
    return [" · ".join(filter(None, (one.text(row) for one in columns))) for row in rows]


def _give_widths(layout: _Layout, width: int, at_most: int | None) -> bool:
    """Make columns narrower until they fit, and return whether that could be done.

    Lists are broken first; then cells longer than most get lines of their own, in `at_most` so
    many rows, or in as many as it takes.
    """
    columns = layout.beside
    room = width - (_INDENT if layout.above else 0) - _GAP * (len(columns) - 1)
    for column in columns:
        column.width = column.natural
    _narrow_lists(columns, room, at_most)
    over: set[int] = set()
    while sum(one.width for one in columns) > room:
        steps = [step for one in columns if (step := _narrower(one, over))]
        found = min(steps, key=lambda step: step[0]) if steps else None
        if found is None:
            return at_most is None
        _, column, to, rows = found
        column.width = to
        over |= rows
        if at_most is not None and len(over) > at_most:
            return False
    return True


def _narrow_lists(columns: Sequence[_Column], room: int, at_most: int | None) -> None:
    for column in sorted(columns, key=lambda one: one.natural, reverse=True):
        over = sum(one.width for one in columns) - room
        if over <= 0 or not column.is_list:
            continue
        longest = max(_length(item) + 1 for items in column.cells for item in items or [""])
        column.width = max(len(column.title), longest, column.width - over)
        lines = [len(column.lines(row)) for row in range(len(column.cells))]
        if at_most is not None and sum(lines) > len(lines) * _MEAN_LINES:
            column.width = column.natural


def _narrower(column: _Column, over: set[int]) -> tuple[float, _Column, int, set[int]] | None:
    """Return the next narrower width of a column, and the rows that would not fit into it.

    Before it how many more rows that is for each character won.
    """
    lengths = column.lengths
    if column.is_list:
        lengths = [max(map(_length, column.lines(row))) for row in range(len(column.cells))]
    least = max(len(column.title), 1)
    to = max((one for one in lengths if one < column.width), default=0)
    to = max(to, least)
    if column.right or to >= column.width:
        return None
    rows = {row for row, length in enumerate(lengths) if length > to}
    return len(rows - over) / (column.width - to), column, to, rows


def _lines(layout: _Layout, width: int, console: Console) -> Iterator[Text]:
    columns, indent = layout.beside, _INDENT if layout.above else 0
    room = width - indent
    pad = Text(" " * indent)
    for line in _laid(columns, [(one.title, "bold") for one in columns], room, console):
        yield pad + line
    total = sum(one.width for one in columns) + _GAP * (len(columns) - 1)
    yield pad + Text("─" * min(room, total), style="bright_black")
    headings, heading = _headings(layout.above), ""
    for row in range(len(columns[0].cells)):
        if headings and headings[row] != heading:
            heading = headings[row]
            yield from _wrapped(heading, width, 0, console, "bold")
        cells = [one.lines(row) for one in columns]
        for number in range(max(map(len, cells))):
            line = [
                (texts[number] if number < len(texts) else "", one.styles[row])
                for one, texts in zip(columns, cells, strict=True)
            ]
            yield from (pad + laid for laid in _laid(columns, line, room, console))
        for one in layout.below:
            if text := one.text(row):
                yield from _wrapped(f"{one.title}: {text}", width, indent + _BELOW, console, "")


def _wrapped(text: str, width: int, indent: int, console: Console, style: str) -> Iterator[Text]:
    indent = min(indent, max(width - _NARROW, 0))
    for line in Text(text, style=style).wrap(console, max(width - indent, 1)):
        line.rstrip()
        yield Text(" " * indent) + line


def _laid(
    columns: Sequence[_Column], cells: Sequence[tuple[str, str]], room: int, console: Console
) -> Iterator[Text]:
    """Return a row's cells at their places; what does not fit there begins a line of its own.

    Only what is longer than the terminal is wide is broken, at its spaces where it has some.
    """
    line, end, place = Text(), 0, 0
    for column, (text, style) in zip(columns, cells, strict=True):
        length = _length(text)
        start = place + max(column.width - length, 0) if column.right else place
        start = max(min(start, room - length), 0)
        place += column.width + _GAP
        if not text:
            continue
        if end and start < end + _GAP:
            yield line
            line, end = Text(), 0
        for piece in Text(text).wrap(console, max(room, 1)) if length > room else [Text(text)]:
            piece.rstrip()
            if length > room and end:
                yield line
                line, end = Text(), 0
            line.append(" " * (start - end))
            line.append(piece.plain, style=style)
            end = start + _length(piece.plain)
    yield line
