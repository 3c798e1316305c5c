"""Tables in terminals: they fit, break no name, and say what they left out."""

from __future__ import annotations

import io
import re
import string
from collections.abc import Sequence

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from opskit.views.frame import View
from opskit.views.render import cells_of
from opskit.views.terminal import TextTable, plain_rows

NARROWEST = 24
_LETTERS = f"{string.ascii_lowercase}{string.digits}._-名é"
# Two columns' space goes to the indent below a server, one to the comma behind a list's item.
names = st.text(_LETTERS, min_size=1, max_size=(NARROWEST - 3) // 2)
words = st.text(string.ascii_lowercase, min_size=1, max_size=9)
sentences = st.lists(words, min_size=1, max_size=20).map(" ".join)
lists = st.lists(names, max_size=4)
cells = {
    "server": names, "app": names, "secret": names, "used_by": lists,
    "age": st.integers(0, 10**6), "note": sentences,
}  # fmt: skip


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Make a table of some of these columns, in any order."""
    columns = draw(st.lists(st.sampled_from(sorted(cells)), min_size=1, unique=True))
    rows = draw(st.integers(0, 12))
    return pd.DataFrame(
        {name: draw(st.lists(cells[name], min_size=rows, max_size=rows)) for name in columns}
    )


def shown(
    frame: pd.DataFrame, width: int, goes: Sequence[str] = (), *, wide: bool = False
) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_jupyter=False)
    table = TextTable(
        cells=cells_of(frame, list(frame.columns)), caption="rows", goes=goes, wide=wide,
        hint="--wide shows them",
    )  # fmt: skip
    with console.capture() as capture:
        console.print(table, soft_wrap=wide)
    return [line.rstrip() for line in capture.get().splitlines()]


def items(frame: pd.DataFrame, column: str) -> set[str]:
    """Return what a column holds that must not be broken."""
    return {
        part
        for cell in frame[column]
        for part in (cell if isinstance(cell, list) else str(cell).split())
    }


@pytest.mark.slow
@given(
    frame=frames(),
    width=st.integers(NARROWEST, 200),
    goes=st.lists(st.sampled_from(sorted(cells)), unique=True),
)
def test_no_line_is_wider_than_the_terminal_and_no_name_is_broken(
    frame: pd.DataFrame, width: int, goes: list[str]
) -> None:
    lines = shown(frame, width, goes)
    said = " ".join(lines)
    left_out = set(re.findall(r"\w+", said.partition("left out:")[2].partition("(")[0]))
    words_shown = set(re.split(r"[\s,]+", said.replace(": ", " ")))

    assert all(cell_len(line) <= width for line in lines), lines
    for column in frame.columns:
        if column not in left_out:
            assert items(frame, column) <= words_shown, (column, lines)


def fleet(servers: int = 2, note: str = "") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "server": f"s{server}.example",
                "app": f"{app}.s{server}.example",
                "state": "current",
                "used_by": [f"{app}_s{server}_example_app", f"{app}_s{server}_example_worker"],
                "days": 1234.5 if app == "wiki" else 7.0,
                "note": note,
            }
            for server in range(servers)
            for app in ("wiki", "notes", "cloud")
        ]
    )


def test_all_stand_beside_each_other_where_there_is_room() -> None:
    caption, titles, *_ = shown(fleet(), 200, ["used_by"])
    assert caption == "rows"
    assert titles.split() == ["server", "app", "state", "used", "by", "days", "note"]


def test_columns_go_in_the_order_that_is_declared_and_are_named() -> None:
    caption = shown(fleet(), 50, ["used_by", "state", "days"])[0]
    assert caption == "rows · left out: used_by (--wide shows them)"
    caption = shown(fleet(), 40, ["used_by", "state", "days"])[0]
    assert caption == "rows · left out: used_by, state (--wide"


def test_what_is_wide_leaves_nothing_out() -> None:
    lines = shown(fleet(), 40, ["used_by", "state", "days"], wide=True)
    assert lines[0] == "rows"
    assert len(lines[3]) > 40


def test_the_server_stands_above_its_rows_before_columns_behind_it_go() -> None:
    lines = shown(fleet(), 36, ["used_by", "server", "days"])
    assert lines.count("s0.example") == 1
    assert "  wiki.s0.example   current  1,234.5" in lines


def test_a_sentence_stands_below_its_row_when_there_is_no_room_beside_it() -> None:
    note = "its recipe is not on this disk, so its secrets are guessed from the .env"
    lines = shown(fleet(1, note), 60, ["used_by"])
    row = next(at for at, line in enumerate(lines) if "wiki.s0" in line)
    assert lines[row + 1] == "    note: its recipe is not on this disk, so its secrets are"
    assert lines[row + 2] == "    guessed from the .env"


def test_numbers_are_aligned_by_their_ends() -> None:
    lines = shown(fleet(1)[["app", "days"]], 60)
    assert lines[3:6] == [
        "wiki.s0.example   1,234.5",
        "notes.s0.example      7.0",
        "cloud.s0.example      7.0",
    ]


def test_one_long_name_takes_a_line_of_its_own_and_moves_no_other() -> None:
    frame = pd.DataFrame(
        {"app": [*(f"app{n}.example" for n in range(11)), "neighbourhood-archive.example"],
         "state": "current"}
    )  # fmt: skip
    lines = shown(frame, 32)
    assert lines[3] == "app0.example   current"
    assert lines[-3:-1] == ["neighbourhood-archive.example", "               current"]


def test_other_programs_get_one_plain_line_for_each_row() -> None:
    note = "a sentence that is much longer than any terminal of today would have room for " * 3
    lines = list(plain_rows(cells_of(fleet(2, note), list(fleet().columns))))
    assert len(lines) == 1 + 6
    assert not any(re.search(r"[\t\u2500-\u257f]", line) for line in lines)
    assert all(line.endswith(note.strip()) for line in lines[1:])
    assert len({line.index("current") for line in lines[1:]}) == 1


def test_a_view_as_text_is_fitted_too() -> None:
    view = View(fleet(1))
    assert "wiki.s0.example" in repr(view)
    assert all(len(line) <= 160 for line in repr(view).splitlines())
