"""A short run of every fuzzer, the same inputs each time; `make fuzz` makes up others."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import TARGETS, corpus

INPUTS, SECONDS = 100, 4


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_every_reader_answers_or_refuses(target: str) -> None:
    found, kept = fuzz(target, seconds=SECONDS, most=INPUTS, begin=0)
    assert not found.fault, f"{kept}\n{found.fault}"
    assert found.executions >= len(corpus(target))


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_small(target: str) -> None:
    assert all(len(one) < 16_384 for one in corpus(target))
