"""A view's columns are the fields of a struct, which give their dtype and say what they mean."""

from __future__ import annotations

import pkgutil
import pydoc
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Annotated, Literal

import pytest

import opskit
from opskit.plan.data import ChangesRow
from opskit.views.columns import Column, Row, columns_of
from opskit.views.frame import View
from opskit.views.secrets import SecretsRow
from opskit.views.table import About


class Everything(Row, frozen=True, kw_only=True):
    """A row of every kind of column."""

    name: Annotated[str, Column("A text.")]
    note: Annotated[str | None, Column("A text that may be absent.")] = None
    sure: Annotated[bool, Column("A yes or no.")]
    maybe: Annotated[bool | None, Column("A yes, a no, or neither.")] = None
    count: Annotated[int | None, Column("A number.")] = None
    share: Annotated[float | None, Column("A measure.", unit="GiB")] = None
    at: Annotated[datetime | None, Column("A moment.")] = None
    stamp: Annotated[int | None, Column("A moment as a number.", dtype="time")] = None
    kind: Annotated[Literal["b", "a"] | None, Column("One of few.")] = None
    parts: Annotated[list[str] | None, Column("Several.")] = None
    labels: Annotated[dict[str, str] | None, Column("By name.")] = None


DTYPES = {
    "name": "string", "note": "string", "sure": "bool", "maybe": "boolean", "count": "Int64",
    "share": "float64", "at": "datetime64[ns, UTC]", "stamp": "datetime64[ns, UTC]",
    "kind": "category", "parts": "object", "labels": "object",
}  # fmt: skip
AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_the_type_of_a_field_gives_the_dtype_however_many_rows_there_are(rows: int) -> None:
    view = View.from_rows(Everything, [Everything(name="x", sure=True, at=AT)] * rows, About())
    assert {name: str(dtype) for name, dtype in view.dtypes.items()} == DTYPES
    assert len(view) == rows


def test_a_category_has_the_order_of_its_literal() -> None:
    view = View.from_rows(Everything, [Everything(name="x", sure=True, kind="a")], About())
    assert list(view["kind"].cat.categories) == ["b", "a"]


def test_nothing_is_na_and_a_number_of_nanoseconds_is_a_moment() -> None:
    one = Everything(name="x", sure=True, stamp=int(AT.timestamp()) * 10**9)
    row = View.from_rows(Everything, [one], About()).iloc[0]
    assert row["stamp"] == AT
    assert row[["note", "maybe", "count", "share", "at", "kind", "parts"]].isna().all()


def kinds(of: type[Row] = Row) -> Iterator[type[Row]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_column_of_every_table_says_in_a_sentence_what_it_is() -> None:
    for module in pkgutil.walk_packages(opskit.__path__, "opskit."):
        if module.name != "opskit.__main__":
            import_module(module.name)
    ours = [kind for kind in kinds() if kind.__module__.startswith("opskit.")]
    names = {kind.__name__ for kind in ours}
    assert {"SecretsRow", "FindingsRow", "RunsRow", "LocksRow", "ChangesRow"} <= names
    for kind in ours:
        columns = columns_of(kind)
        assert list(columns) == list(kind.__struct_fields__), kind
        assert all(column.text.endswith(".") for _, column in columns.values()), kind


def test_a_column_may_have_a_name_that_no_field_can_have() -> None:
    change = ChangesRow(
        server="coop.example", app="wiki.coop.example", secret="token", from_version="v1",
        to_version="v2", restarts=["app"], removes=[], bits=128.0, undone_by=None, note=None,
    )  # fmt: skip
    view = View.from_rows(ChangesRow, [change], About())
    assert [view.iloc[0][name] for name in ("from", "to")] == ["v1", "v2"]
    assert {"from_version", "to_version"}.isdisjoint(view.columns)
    assert "from : string\n" in pydoc.plain(pydoc.render_doc(ChangesRow))


def test_help_lists_the_columns_with_dtype_and_unit() -> None:
    shown = pydoc.plain(pydoc.render_doc(SecretsRow))
    assert "age_days : float64, days" in shown
    assert "created_at : datetime64[ns, UTC]\n" in shown
    assert "Whether it is in the swarm." in shown
