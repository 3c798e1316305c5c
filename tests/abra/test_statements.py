"""The grammar of `.env` files, compared with python-dotenv's where the two mean the same."""

from __future__ import annotations

import io

import pytest
from dotenv.parser import parse_stream
from hypothesis import example, given
from hypothesis import strategies as st

from opskit.abra.statements import NO_VALUE, TRAILING, UNCLOSED, Statement, statements

TEXTS = st.text(alphabet="AB_1= #'\"\\\n\r\t$:x\u00e9\ufeff", max_size=60)


def read(text: str) -> list[Statement]:
    return list(statements(text))


@given(TEXTS)
@example('A="' * 50)
@example("A=\\\n'")
def test_statements_stand_one_behind_the_other_where_they_say(text: str) -> None:
    reached = 0
    for statement in read(text):
        assert reached <= statement.stop <= len(text)
        if not statement.fault:
            assert reached <= statement.start <= statement.end <= statement.stop
            assert text[statement.start : statement.end] == statement.raw
        reached = statement.stop


@given(TEXTS)
def test_the_line_is_the_one_an_editor_shows(text: str) -> None:
    lines = io.StringIO(text, newline=None).read().split("\n")
    for statement in read(text):
        if statement.key:
            assert statement.key in lines[statement.line - 1]


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"(export )?[A-Z_]{1,8} ?", fullmatch=True),
            st.from_regex(r"[a-zA-Z0-9#.:/`{}()-]{0,10}|'[^'\\\r\n$]{0,8}'|\"[^\"\\$]{0,8}\"",
                          fullmatch=True),
            st.sampled_from(["", " # length=3", "\t#x", "  "]),
        ),
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_python_dotenv_reads_the_same(parts: list[tuple[str, str, str]], newline: str) -> None:
    text = "".join(f"{key}={value}{comment}{newline}" for key, value, comment in parts)
    theirs = [
        (binding.key, binding.value, binding.original.line)
        for binding in parse_stream(io.StringIO(text, newline=""))
        if binding.key and not binding.error
    ]

    assert [(one.key, one.raw, one.line) for one in read(text) if not one.fault] == theirs


@pytest.mark.parametrize(
    ("text", "fault", "next_line"),
    [
        ('A="open\nB=1\n', UNCLOSED, 2),
        ("A='open\nB='1'\nC=2\n", UNCLOSED, 2),
        ('A="1" 2\nB=1\n', TRAILING, 2),
        ("lonely\nB=1\n", NO_VALUE, 2),
        ("A-B=1\nB=1\n", NO_VALUE, 2),
        ("=1\nB=1\n", NO_VALUE, 2),
    ],
)
def test_after_a_fault_reading_goes_on_with_the_next_line(
    text: str, fault: str, next_line: int
) -> None:
    first, second, *_ = read(text)

    assert (first.fault, first.raw) == (fault, "")
    assert (second.key, second.line) == ("B", next_line)


def test_a_quoted_value_may_span_lines() -> None:
    first, second = read("A='1\n2'\r\nB=3")

    assert (first.raw, first.line) == ("1\n2", 1)
    assert (second.raw, second.line) == ("3", 3)


def test_the_repr_shows_no_value() -> None:
    assert "hunter2" not in repr(read("PASSWORD=hunter2 # was hunter2\n"))


def test_many_open_quotes_take_no_time() -> None:
    assert len(read("A='\"\n" * 5000)) == 5000
