"""The statements of a `.env`, by their grammar, and beside python-dotenv where the two agree."""

from __future__ import annotations

import io
import re
from itertools import takewhile

import pytest
from dotenv.parser import parse_stream
from hypothesis import example, given
from hypothesis import strategies as st

from opskit.abra.statements import NO_VALUE, TRAILING, UNCLOSED, Statement, statements

TEXTS = st.text(alphabet="AB_1= #'\"\\\n\r\t$:x\u00e9\ufeff", max_size=60)

PIECES = [*"AB_1=='\"x \t#\n\r-", "\r\n", "$A", "export ", "C='1'\n", 'D="\n"', "E=1 # 2\n"]
QUOTED = r"""(?s:\\.|[^\\{0}]){{0,8}}"""
VALUES = (
    st.tuples(st.just(""), st.from_regex(r"""([^\s#'"]([^\r\n#]{0,6}[^\s#])?)?""", fullmatch=True)),
    st.tuples(st.just("'"), st.from_regex(QUOTED.format("'"), fullmatch=True)),
    st.tuples(st.just('"'), st.from_regex(QUOTED.format('"'), fullmatch=True)),
)
"""Quotes, and what may stand between them."""


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


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[Statement]]:
    """Draw a text by the grammar, and say of what statements it is made."""
    text = draw(st.sampled_from(["", "\ufeff"]))
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    made: list[Statement] = []
    for _ in range(draw(st.integers(0, 6))):
        text += draw(st.sampled_from(["", "", newline, f" \t{newline}", f"  #A='it{newline}"]))
        line = text_lines(text)
        key = draw(st.from_regex(r"[A-Za-z0-9_.]{1,5}", fullmatch=True))
        text += draw(st.sampled_from(["", "export ", " \t\xa0export\t "])) + key
        text += draw(st.sampled_from(["=", " =", ":", "\t:"]))
        quote, raw = draw(st.one_of(VALUES))
        if quote or raw:
            text += draw(st.sampled_from(["", " ", " \v\x85"])) + quote
        start = len(text)
        comment = draw(st.from_regex(r"[\t ]{1,3}(#[^\r\n]{0,8})?", fullmatch=True))
        text += raw + quote + comment + newline
        made.append(
            Statement(
                key=key,
                raw=raw,
                quote=quote,
                comment=comment.lstrip()[1:],
                line=line,
                start=start,
                end=start + len(raw),
                stop=len(text),
            )
        )
    return text, made


@pytest.mark.slow
@given(files())
def test_what_the_grammar_writes_is_read_back_piece_by_piece(
    file: tuple[str, list[Statement]],
) -> None:
    text, made = file
    assert read(text) == made


def text_lines(text: str) -> int:
    return len(re.split(r"\r\n|\r|\n", text))


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_up_to_a_fault_python_dotenv_reads_the_same(text: str) -> None:
    theirs: list[tuple[str, str, int]] = []
    for key, value, original, error in parse_stream(io.StringIO(text, newline="")):
        words = original.string.lstrip()
        if words and not words.startswith("#"):
            if error or value is None or not re.fullmatch(r"[A-Za-z0-9_]+", key or ""):
                break
            blank_lines = text_lines(original.string.removesuffix(words)) - 1
            theirs.append((key or "", value, original.line + blank_lines))
    ours = takewhile(lambda one: not one.fault, statements(text))

    assert [(one.key, one.raw, one.line) for one in ours] == theirs


@pytest.mark.parametrize(
    ("text", "fault", "next_line"),
    [
        ('A="open\nB=1\n', UNCLOSED, 2),
        ("A='open\nB='1'\nC=2\n", UNCLOSED, 2),
        ('A=  "open\nB=1\n', UNCLOSED, 2),
        ('A="\\"\r\nB=1\r\n', UNCLOSED, 2),
        ("A='open\rB='1'\r", UNCLOSED, 2),
        ('A="1" 2\nB=1\n', TRAILING, 2),
        ("A='1'2\r\nB=1\r\n", TRAILING, 2),
        ("lonely\nB=1\n", NO_VALUE, 2),
        ("A-B=1\nB=1\n", NO_VALUE, 2),
        ("A-B='open\nB='1'\n", NO_VALUE, 2),
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
