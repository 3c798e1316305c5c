"""Where abra and python-dotenv read a `.env` differently, and that opskit follows abra there."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from hypothesis import given
from hypothesis import strategies as st

from opskit.abra.dialect import REWRITES, as_dotenv
from opskit.abra.env import parse_env
from opskit.abra.statements import LONG_BLANK, NO_VALUE, statements

EXAMPLES = {
    "byte order mark": ("\ufeffA=1", [("A", "1", 3)]),
    "Unicode space": ("A=\u30001\u2003", [("A", "\u30001\u2003", 2)]),
    "colon": ("export A : 1\rB: 'x\nA: y'", [("A", "1", 11), ("B", "x\nA: y", 17)]),
    "escape": (r'''A="\n\"" # "''' + r"B='\\'", [("A", r"\n\"", 3)]),
    "long blank": (f"A=1{' ' * 4_000_000}x\nB='{' ' * 2000}'", [("B", " " * 2000, 4_000_008)]),
}
"""For each rewrite a text, and what opskit reads: the variable, its value in the file, where."""


def read(text: str) -> list[tuple[str, str, int]]:
    return [(one.key, one.raw, one.start) for one in statements(text) if not one.fault]


def read_by_python_dotenv(text: str) -> list[tuple[str | None, str | None, int]]:
    found: list[tuple[str | None, str | None, int]] = []
    at = 0
    for binding in parse_stream(io.StringIO(text, newline="")):
        whole, value = binding.original.string, binding.value or ""
        found += [(binding.key, binding.value, at + whole.find(value))] if binding.key else []
        at += len(whole)
    return found


def value_in(text: str) -> str:
    return parse_env(text.encode(), Path("app.env")).values["A"]


def test_every_rewrite_has_a_reason_and_an_example() -> None:
    assert [rewrite.name for rewrite in REWRITES] == list(EXAMPLES)
    assert all(rewrite.why.endswith(".") for rewrite in REWRITES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_rewritten_is_read_as_abra_reads_it(name: str) -> None:
    text, expected = EXAMPLES[name]
    assert read(text) == expected


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "long blank"])
def test_python_dotenv_alone_would_read_it_otherwise(name: str) -> None:
    text, expected = EXAMPLES[name]
    assert read_by_python_dotenv(text) != expected


@given(st.text(alphabet="AB:= \t\\\"'#nx\r\n\ufeff\u2003\xa0", max_size=40))
def test_rewriting_moves_nothing(text: str) -> None:
    written = as_dotenv(text)

    assert len(written) == len(text)
    assert [at.span() for at in re.finditer(r"[\r\n]", written)] == [
        at.span() for at in re.finditer(r"[\r\n]", text)
    ]


@pytest.mark.parametrize(
    "line", ["'A'=1", "A-B=1", "\u00e9=1", "A", "A # 1", "A\u2003=1", "export", "export =1", "=1"]
)
def test_a_name_that_abra_does_not_take_is_no_variable(line: str) -> None:
    fault, after = statements(f"{line}\nB=1\n")

    assert (fault.key, fault.fault) == ("", NO_VALUE)
    assert (after.key, after.line) == ("B", 2)


@pytest.mark.parametrize(
    "line",
    ["A=1{}x", "A={}x", "A='1'{}x", "A={}'1'", "A{}=1", "export{}A=1"],
)
def test_a_very_long_blank_is_a_fault_unless_nothing_or_a_comment_follows(line: str) -> None:
    (fault,) = statements(line.format(" " * 1000))
    assert (fault.key, fault.fault) == ("A", LONG_BLANK)

    assert [one.fault for one in statements(line.format(" " * 999))] == [
        "something follows the closing quote." if line == "A='1'{}x" else ""
    ]


def test_a_very_long_blank_costs_its_line_only() -> None:
    first, second, third = statements(f"A='1\n2'{' ' * 1000}x\nB=1")

    assert (first.key, first.fault) == ("A", LONG_BLANK)
    assert (second.line, second.fault) == (2, NO_VALUE)
    assert (third.key, third.raw, third.line) == ("B", "1", 3)


@pytest.mark.parametrize("line", ["A=1{}", "A=1{}# x=1", "A='1'{}# x=1", "{}A=1"])
def test_a_very_long_blank_may_end_or_begin_a_line(line: str) -> None:
    assert value_in(line.format(" \t" * 2000)) == "1"


@pytest.mark.parametrize(
    ("text", "abra", "python_dotenv"),
    [
        ("B=b\nA=$B", "b", "$B"),
        ("b=b\nA=${b}", "${b}", "b"),
        ("A=${OUTSIDE}", "", "of this process"),
        ("B=b\nA=\\${B}", "${B}", "\\b"),
        ("B=b\nA='${B}'", "${B}", "b"),
        (r'A="a\tb\n"', "atb\n", "a\tb\n"),
        (r"A='it\'s'", r"it\'s", "it's"),
    ],
)
def test_a_value_is_expanded_as_by_abra(
    text: str, abra: str, python_dotenv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", "of this process")

    assert value_in(text) == abra
    assert dotenv_values(stream=io.StringIO(text))["A"] == python_dotenv


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1 # one # two", "1"),
        ("A= # comment", ""),
        ("A=#data", "#data"),
        ("A=$(x)", "$(x)"),
        ('A="1\r\n2"', "1\r\n2"),
    ],
)
def test_python_dotenv_is_followed_where_abra_does_what_nobody_wants(text: str, value: str) -> None:
    assert value_in(text) == value
    assert dotenv_values(stream=io.StringIO(text, newline=""))["A"] == value
