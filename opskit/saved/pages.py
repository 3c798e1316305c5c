"""What a Parquet file unpacks to, told by its own headers before anything is unpacked.

PyArrow makes room for whatever the header of a page says, and a few bytes may unpack to gigabytes,
or repeat a long text a million times. So only the plainest kind of page is let through, of which
every value has its bytes: what all headers say together is the most that reading takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fields = Mapping[int, "int | Fields | None"]
"""A Thrift struct: its numbers and structs by field; of other kinds of fields only that they are
there."""

_DATA_PAGE, _PLAIN = 0, 0
# The numbers of fields, as the format's parquet.thrift has them.
_TYPE, _UNPACKED, _PACKED, _DATA_HEADER = 1, 2, 3, 5
_VALUES, _ENCODING = 1, 2
_DEEPEST, _MOST_PAGES = 4, 10_000


class PageError(ValueError):
    """A page is none, or none of the plainest kind."""


def group_size(content: bytes, group: Any) -> int:
    """Return how many bytes one part of a file unpacks to.

    Parameters
    ----------
    content
        The file.
    group
        What the file's metadata says of the part: PyArrow's ``RowGroupMetaData``.

    Raises
    ------
    PageError
        It has pages that are not of the plainest kind, or not what the metadata says.
    """
    size = 0
    for column in map(group.column, range(group.num_columns)):
        start = column.data_page_offset
        end = start + column.total_compressed_size
        if column.has_dictionary_page or not 4 <= start <= end <= len(content):
            raise PageError("its pages are elsewhere")
        added, values = unpacked_size(content, start, end)
        size += added
        if not values == column.num_values == group.num_rows:
            raise PageError("it says two things of how many values it has")
    return size


def unpacked_size(content: bytes, start: int, end: int) -> tuple[int, int]:
    """Return how many bytes and values the pages of one column chunk unpack to.

    Parameters
    ----------
    content
        The file.
    start, end
        Where the pages are.

    Raises
    ------
    PageError
        One of them is no plain data page, or they do not end there.
    """
    size = values = pages = 0
    while start < end:
        # Headers are read slower than they are written: of none but them is no file.
        if (pages := pages + 1) > _MOST_PAGES:
            raise PageError("it has too many pages")
        header, start = _Thrift(content, start, end).read()
        packed, unpacked = _number(header, _PACKED), _number(header, _UNPACKED)
        data = header.get(_DATA_HEADER)
        if header.get(_TYPE) != _DATA_PAGE or not isinstance(data, dict):
            raise PageError("it has pages of another kind")
        if data.get(_ENCODING) != _PLAIN:
            raise PageError("it has pages that are not plain")
        start += packed
        size += unpacked
        values += _number(data, _VALUES)
    if start != end:
        raise PageError("its pages end elsewhere")
    return size, values


def _number(fields: Fields, key: int) -> int:
    found = fields.get(key)
    if not isinstance(found, int) or found < 0:
        raise PageError("it has a page without a size")
    return found


class _Thrift:
    """Reads a struct of Thrift's compact protocol; PyArrow shows no header of a page.

    Parameters
    ----------
    content, start, end
        The bytes, and where among them.
    """

    def __init__(self, content: bytes, start: int, end: int) -> None:
        self._content, self._at, self._end = content, start, end
        self._kinds: Mapping[int, Callable[[int], Any]] = {
            1: lambda _: 1,  # true
            2: lambda _: 0,  # false
            3: lambda _: self._byte(),
            4: lambda _: self._signed(),
            5: lambda _: self._signed(),
            6: lambda _: self._signed(),
            7: lambda _: self._skip(8),  # a double
            8: lambda _: self._skip(self._varint()),  # a text
            12: self._struct,
        }

    def read(self) -> tuple[Fields, int]:
        """Return the struct, and where it ends."""
        return self._struct(0), self._at

    def _struct(self, depth: int) -> Fields:
        if depth == _DEEPEST:
            raise PageError("it has a header that is nested too deeply")
        found: dict[int, int | Fields | None] = {}
        field = 0
        while head := self._byte():
            step, kind = divmod(head, 16)
            field = field + step if step else self._signed()
            if kind not in self._kinds:
                raise PageError("it has a header of another kind")
            found[field] = self._kinds[kind](depth + 1)
        return found

    def _byte(self) -> int:
        if self._at >= self._end:
            raise PageError("it ends too early")
        self._at += 1
        return self._content[self._at - 1]

    def _skip(self, size: int) -> None:
        self._at += size

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
            shift += 7
            if shift > 63:
                raise PageError("it has a number that is too long")

    def _signed(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)
