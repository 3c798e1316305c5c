"""The marks behind a secret's version, and what becomes of those nobody can read."""

from __future__ import annotations

import pytest

from opskit.abra.env import CHARSETS, LONGEST, Marks, modifiers, read_marks
from opskit.secrets import generate as generators
from opskit.secrets.value import MAX_BYTES


@pytest.mark.parametrize(
    ("words", "marks"),
    [
        ({}, Marks()),
        ({"length": "128"}, Marks(length=128)),
        ({"charset": "hex"}, Marks(charset="hex")),
        ({"charset": "hex,special"}, Marks(charset="hex,special")),
        ({"generate": "false", "length": "20"}, Marks(generate=False, length=20)),
        ({"generate": "F"}, Marks(generate=False)),
        ({"generate": "TRUE"}, Marks()),
        ({"rotate": "monthly"}, Marks()),
    ],
)
def test_marks_are_read_as_they_are_written(words: dict[str, str], marks: Marks) -> None:
    assert read_marks(words) == marks


@pytest.mark.parametrize(
    "comment",
    [
        " generate = false",
        " Generate=false",
        " GENERATE =false",
        "generate=false",
        " see the docs, generate= false",
    ],
)
def test_a_mark_counts_however_it_is_spaced_and_capitalised(comment: str) -> None:
    assert not read_marks(modifiers(comment)).generate


@pytest.mark.parametrize("comment", [" we generate it", " length of 20", " pregenerate=false"])
def test_prose_about_marks_is_none(comment: str) -> None:
    assert read_marks(modifiers(comment)) == Marks()


@pytest.mark.parametrize(
    ("words", "generate", "length", "charset", "remedy"),
    [
        ({"charset": "weird,thing"}, True, None, "default", ", ".join(CHARSETS)),
        ({"charset": "hex,thing"}, True, None, "hex,default", ", ".join(CHARSETS)),
        ({"charset": "HEX"}, True, None, "default", ", ".join(CHARSETS)),
        ({"charset": ""}, True, None, "default", ", ".join(CHARSETS)),
        ({"length": "0"}, True, None, "", "length=32"),
        ({"length": "-3"}, True, None, "", "length=32"),
        ({"length": "32chars"}, True, None, "", "length=32"),
        ({"length": "\u0663\u0662"}, True, None, "", "length=32"),
        ({"length": str(LONGEST + 1)}, True, None, "", "length=32"),
        ({"length": ""}, True, None, "", "length=32"),
        ({"generate": "no"}, False, None, "", "generate=true or generate=false"),
        ({"generate": ""}, False, None, "", "generate=true or generate=false"),
    ],
)
def test_a_mark_nobody_knows_is_a_fault_that_names_the_words_known(
    words: dict[str, str], generate: bool, length: int | None, charset: str, remedy: str
) -> None:
    found = read_marks(words)
    (fault,) = found.faults

    assert (found.generate, found.length, found.charset) == (generate, length, charset)
    assert fault.mark in words
    assert remedy in fault.remedy


def test_a_fault_quotes_nothing_as_it_may_be_a_value() -> None:
    words = dict.fromkeys(("generate", "length", "charset"), "hunter2")
    assert "hunter2" not in repr(read_marks(words).faults)


def test_every_charset_that_is_read_can_be_made() -> None:
    assert set(CHARSETS) == set(generators.CHARSETS)
    assert LONGEST == MAX_BYTES
