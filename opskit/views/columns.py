"""What the columns of a view are: the fields of a struct, each with its dtype and its meaning.

A view's module declares its row and makes it by name, so that the line that fills a column stands
below the one that says what it is::

    class NodesRow(Row, frozen=True, kw_only=True):
        node: Annotated[str, Column("Its host name.")]
        memory_gib: Annotated[float, Column("What it has for tasks.", unit="GiB")]

The type of a field gives the dtype: ``str`` string, ``bool`` bool, ``bool | None`` boolean,
``int`` Int64, ``float`` float64, ``datetime`` datetime64[ns, UTC], a ``Literal`` a category in
this order, lists and mappings object. ``None`` becomes NA.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

_DTYPES: Mapping[object, str] = {str: "string", int: "Int64", float: "float", datetime: "time"}
_IN_PANDAS = {"float": "float64", "time": "datetime64[ns, UTC]"}


class Column(msgspec.Struct, frozen=True):
    """What a column says, and what its field does not tell.

    Parameters
    ----------
    text
        What it says, in a sentence.
    unit
        That of its numbers.
    dtype
        Its dtype, where the field's type gives another one.
    name
        Its name, where Python lets no field be called so.
    """

    text: str
    unit: str = ""
    dtype: str = ""
    name: str = ""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row of a view: each field is a column, and `help` of the class lists them all."""

    def __init_subclass__(cls, **_: object) -> None:
        super().__init_subclass__()
        cls.__doc__ = f"{(cls.__doc__ or '').strip()}\n\n{_documentation(cls)}"


@cache
def columns_of(kind: type[Row]) -> dict[str, tuple[str, Column]]:
    """Return a row's columns in order, each under its field and with its dtype.

    That is ``string bool boolean Int64 float time object`` or ``category:a,b,c``.
    """
    found: dict[str, tuple[str, Column]] = {}
    for field, hint in get_type_hints(kind, include_extras=True).items():
        column: Column = hint.__metadata__[0]
        named = msgspec.structs.replace(column, name=column.name or field)
        found[field] = (column.dtype or _dtype(hint.__origin__), named)
    return found


def _dtype(of: Any) -> str:
    parts = get_args(of)
    kinds = [part for part in parts if part is not NoneType] if NoneType in parts else [of]
    kind = kinds[0]
    if get_origin(kind) is Literal:
        return "category:" + ",".join(get_args(kind))
    if kind is bool:
        return "boolean" if NoneType in parts else "bool"
    return _DTYPES.get(kind, "object")


def _documentation(kind: type[Row]) -> str:
    lines = ["Attributes", "----------"]
    for dtype, column in columns_of(kind).values():
        shown = _IN_PANDAS.get(dtype, dtype.partition(":")[0])
        unit = f", {column.unit}" if column.unit else ""
        lines += [f"{column.name} : {shown}{unit}", f"    {column.text}"]
    return "\n".join(lines)
