"""What a Parquet file unpacks to is told by its headers, and only plain pages are let through."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.saved.pages import PageError, unpacked_size

PLAIN = {"use_dictionary": False, "compression": "zstd", "write_page_checksum": True}


def chunk(values: list[str], **options: Any) -> tuple[bytes, int, int]:
    """Return a file with one column, and where its pages are."""
    sink = pa.BufferOutputStream()
    schema = pa.schema([pa.field("text", pa.string(), nullable=False)])
    pq.write_table(pa.table({"text": values}, schema=schema), sink, **(PLAIN | options))
    content = sink.getvalue().to_pybytes()
    column = pq.read_metadata(pa.BufferReader(content)).row_group(0).column(0)
    first = column.dictionary_page_offset or column.data_page_offset
    return content, first, first + column.total_compressed_size


@given(st.lists(st.text(), min_size=1), st.sampled_from([10, 1024**2]), st.booleans())
def test_plain_pages_take_the_bytes_of_their_values(
    values: list[str], page_size: int, has_statistics: bool
) -> None:
    found = chunk(values, data_page_size=page_size, write_statistics=has_statistics)
    assert unpacked_size(*found) == (sum(4 + len(one.encode()) for one in values), len(values))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"use_dictionary": True}, "another kind"),
        ({"column_encoding": "DELTA_BYTE_ARRAY"}, "not plain"),
        ({"data_page_version": "2.0"}, "another kind"),
    ],
)
def test_pages_that_say_one_thing_many_times_are_refused(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(PageError, match=said):
        unpacked_size(*chunk(["a", "a"], **options))


def test_pages_that_end_elsewhere_are_refused() -> None:
    content, start, end = chunk(["a", "b"])
    for other in (end - 1, start + 1, end + 1):
        with pytest.raises(PageError):
            unpacked_size(content, start, other)


def test_headers_without_end_are_refused_before_all_are_read() -> None:
    # 0 bytes, which are 0 bytes, of 0 plain values
    header = bytes.fromhex("1500 1500 1500 2c 1500 1500 00 00")
    assert unpacked_size(header * 10_000, 0, len(header) * 10_000) == (0, 0)
    with pytest.raises(PageError, match="too many pages"):
        unpacked_size(header * 10_001, 0, len(header) * 10_001)


@given(st.binary(max_size=200))
def test_whatever_is_no_page_is_refused(content: bytes) -> None:
    try:
        size, values = unpacked_size(content, 0, len(content))
    except PageError:
        return
    assert size >= 0 <= values
