"""The table all views are: a DataFrame that knows its caption and shows itself escaped."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, Self, cast

import pandas as pd
import pyarrow as pa

from opskit.arguments import check_kind, names_in, path_in
from opskit.errors import InputError
from opskit.files.atomic import private_folder, write_private
from opskit.inert import no_formula, visible
from opskit.views.cells import Cells, cell_text
from opskit.views.columns import Row, columns_of
from opskit.views.render import Lines, cells_of, html_table
from opskit.views.select import matching
from opskit.views.table import About, known_time
from opskit.views.terminal import TEXT_ROWS, text_table

_PANDAS = {
    "string": "string",
    "bool": "bool",
    "boolean": "boolean",
    "Int64": "Int64",
    "float": "float64",
    "object": "object",
}

# The library knows light and dark pages by their own signs, which a notebook does not give.
_AS_THE_PAGE = """<style>
.opskit-browse,.opskit-browse div,.opskit-browse table,.opskit-browse caption{
background:transparent!important;color:var(--jp-ui-font-color1,inherit)!important}
.opskit-browse input,.opskit-browse select,.opskit-browse button{
background:var(--jp-layout-color1,Canvas)!important;color:var(--jp-ui-font-color1,CanvasText)!important;
border:1px solid var(--jp-border-color1,#8888)!important}
</style>"""
_BROWSER_BYTES = 16 * 1024 * 1024


class View(pd.DataFrame):
    """A DataFrame that renders as a short, escaped table with a caption naming what is missing.

    Everything a DataFrame does works on it; a row selection keeps the caption.
    """

    _metadata = ["_about"]  # noqa: RUF012 (pandas reads this class attribute)
    _about: About = About()

    @property
    def _constructor(self) -> type[View]:
        return View

    @classmethod
    def from_rows(cls, kind: type[Row], rows: Iterable[Row], about: About) -> Self:
        """Return a view of rows, with exactly the columns and dtypes that `kind` declares."""
        rows = list(rows)
        view = cls(
            {
                column.name: _column(list(map(attrgetter(field), rows)), dtype)
                for field, (dtype, column) in columns_of(kind).items()
            }
        )
        view._about = about
        return view

    @property
    def caption(self) -> str:
        """How many rows there are, and which servers are missing; the servers view says why."""
        return self._about.caption(len(self))

    @property
    def remark(self) -> str:
        """What the caption says besides; empty when that is nothing."""
        return self._about.remark

    @property
    def missing_servers(self) -> str:
        """Name the servers that are missing; empty when none is."""
        return self._about.missing_servers

    @property
    def missing(self) -> Mapping[str, str]:
        """The servers that are missing, each with the reason."""
        return self._about.missing

    @property
    def key(self) -> tuple[str, ...]:
        """Name the columns that tell one row from every other."""
        return self._about.key

    @property
    def missing_counted(self) -> str:
        """Count the servers that are missing; empty when none is."""
        return self._about.missing_counted

    def shown_columns(self) -> list[str]:
        """Return which columns a table shows: the telling ones of a whole view, else all."""
        return self._about.shown_of(list(self.columns))

    @property
    def goes(self) -> tuple[str, ...]:
        """Name the columns that go where a table has no room for all, the first first."""
        return self._about.goes

    def cells(self, columns: Sequence[str], limit: int | None = None) -> Cells:
        """Return what is to be shown of some columns, in the first rows where there is a limit."""
        return cells_of(self, columns, limit)

    def _is_plain(self) -> bool:
        """Return whether these are rows with named columns.

        What pandas makes of them, sums by group and turned tables, says something in its index,
        which only pandas' own table shows.
        """
        index: Any = self.index
        named = all(isinstance(name, str) for name in self.columns) and self.columns.is_unique
        counted = index.nlevels == 1 and index.name is None
        return named and counted and pd.api.types.is_integer_dtype(index)

    def flat(self) -> pd.DataFrame:
        """Return a plain DataFrame whose lists, mappings and texts are each a line of text."""
        flat = pd.DataFrame(self)
        for name in flat.columns:
            if _is_text(flat[name].dtype):
                flat[name] = flat[name].astype(object).map(cell_text)
        return flat

    def to_text_csv(self) -> str:
        """Return the rows as CSV for spreadsheets: lists as text, and no text a formula.

        What begins with ``=``, ``+``, ``-`` or ``@`` gets a ``'`` before it. Numbers, truths and
        times stay what they are.
        """
        flat = self.flat()
        for name in flat.columns:
            if _is_text(flat[name].dtype):
                flat[name] = flat[name].map(no_formula)
        flat.columns = [no_formula(cell_text(name)) for name in flat.columns]
        # In quotes, since some spreadsheets part cells at a semicolon too.
        return flat.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)

    def save(self, path: str | Path) -> None:
        """Write the rows to a ``.csv`` file for its owner to read; see `to_text_csv`.

        Raises
        ------
        InputError
            The file has another suffix, or cannot be written there.
        """
        path = path_in("path", path)
        if path.suffix != ".csv":
            raise InputError("a table is saved as .csv.", path=path, remedy="Name it so.")
        private_folder(path.parent)
        write_private(path, self.to_text_csv())

    def records(self, mask: Any = None) -> Iterator[Any]:
        """Return the rows, or those where `mask` holds, as named tuples."""
        part = self if mask is None else self.keep(mask)
        return iter(pd.DataFrame(part).itertuples(index=False, name="Row"))

    def keep(self, mask: Any) -> View:
        """Return the rows where `mask` holds."""
        return cast("View", self[mask])

    def told(self, *, remark: str, shown: tuple[str, ...]) -> View:
        """Return the same rows, counted from 0, with another remark and other columns shown."""
        about = replace(self._about, remark=remark, shown=shown)
        return cast("View", self.reset_index(drop=True)).described(about)

    def described(self, about: About) -> View:
        """Return the same rows with another description."""
        view = cast("View", self.copy(deep=False))
        view._about = about
        return view

    # pandas' own of this name picks columns, as `pick` does.
    def select(self, condition: str) -> View:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the rows that match a condition, which may come from anywhere.

        Parameters
        ----------
        condition
            Such as ``"age_days > 90 and state == 'current'"``; see `opskit.views.select` for all
            that it may say. What is not there matches only where the condition asks for it.

        Raises
        ------
        InputError
            It is no condition over these columns; says why, and names the columns.

        Examples
        --------
        >>> secrets = fleet.snapshot().secrets
        >>> len(secrets.select("state in ['missing', 'stale'] and app is not None")) > 1
        True
        """
        return self.keep(matching(self, condition))

    def pick(self, names: Sequence[str]) -> View:
        """Return these columns, in the order they have."""
        names = names_in("names", names)
        return cast("View", self[[name for name in self.columns if name in names]])

    def like(self, other: pd.DataFrame, on: Sequence[str] = ("server", "app", "secret")) -> View:
        """Return the rows that agree with a row of another table in the columns `on`.

        Raises
        ------
        InputError
            One of the tables lacks such a column.
        """
        check_kind("other", other, pd.DataFrame, "Give a table, such as rows of a view.")
        on = names_in("on", on)
        for name in on:
            if name not in self.columns or name not in other.columns:
                raise InputError(
                    f"there is no column {name!r} in both tables.",
                    remedy="Say which to compare: on=(…).",
                )
        wanted = set(other[list(on)].itertuples(index=False, name=None))
        rows = pd.DataFrame(self)[list(on)].itertuples(index=False, name=None)
        return self.keep([row in wanted for row in rows])

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.as_html(), "text/plain": repr(self)}

    def _repr_html_(self) -> str:
        return self.as_html()

    def as_html(self) -> str:
        """Return the table as a notebook shows it, to stand in any page."""
        if not self._is_plain():
            return visible(str(pd.DataFrame(self).to_html(notebook=True)))
        joined = self._about.joined
        if not joined or not {one for names in joined.values() for one in names} <= set(self):
            return html_table(self, self.shown_columns(), self.caption, goes=self.goes)
        page = pd.DataFrame(
            {
                title: self[names[0]]
                if len(names) == 1
                else [Lines(row) for row in self[list(names)].itertuples(index=False, name=None)]
                for title, names in joined.items()
            }
        )
        return html_table(page, list(joined), self.caption, fluid=True)

    def __repr__(self) -> str:
        if not self._is_plain():
            return visible(repr(pd.DataFrame(self)))
        cells = self.cells(self.shown_columns(), TEXT_ROWS)
        return text_table(cells, self.caption, self.goes)


@pd.api.extensions.register_dataframe_accessor("opskit")
class Browser:
    """What opskit adds to every DataFrame, as ``view.opskit``.

    Parameters
    ----------
    frame
        The DataFrame the accessor was asked of.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def browse(self) -> Any:
        """Show the frame searchable and sortable, with nothing fetched from outside.

        Each call puts about 0.7 MB into the notebook's output, so ask for it where searching
        is worth that.
        """
        itables = import_module("itables")
        shown: pd.DataFrame = self._frame
        caption = ""
        if isinstance(shown, View):
            caption = shown.caption
            shown = pd.DataFrame(shown.flat()[shown.shown_columns()])
        html = itables.to_html_datatable(
            shown,
            caption=cell_text(caption),
            connected=False,
            allow_html=False,
            maxBytes=_BROWSER_BYTES,
            layout={"topStart": "search", "topEnd": "pageLength"},
            lengthMenu=[25, 100, 500],
            showIndex=False,
            columnDefs=[{"className": "dt-left", "targets": "_all"}],
        )
        # The library goes along, so that the output works offline and in a copied notebook.
        script = import_module("itables.javascript").generate_init_offline_itables_html(
            import_module("itables.options").dt_bundle
        )
        return import_module("IPython.display").HTML(
            f'{script}{_AS_THE_PAGE}<div class="opskit-browse">{html}</div>'
        )


def _is_text(dtype: Any) -> bool:
    return pd.api.types.is_object_dtype(dtype) or isinstance(
        dtype, pd.StringDtype | pd.CategoricalDtype
    )


def _column(values: Sequence[Any], kind: str) -> Any:
    if kind.startswith("category:"):
        return pd.Categorical(values, categories=kind.removeprefix("category:").split(","))
    if kind == "time":
        return _times(values).to_pandas()
    if kind == "object":
        return pd.Series(list(values), dtype="object")
    return pd.array(list(values), dtype=_PANDAS[kind])


def _times(values: Sequence[datetime | None]) -> Any:
    # PyArrow converts datetimes ten times faster than pandas does.
    kind = pa.timestamp("ns", tz="UTC")
    try:
        return pa.array(values, type=kind)
    except pa.ArrowInvalid:
        return pa.array(map(known_time, values), type=kind)
