"""How tests wait: by one helper, with one limit, and never for a time."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import waiting
from tests.waiting import eventually, eventually_async

TESTS = Path(__file__).parent
ENDING = {"join", "wait", "result", "communicate", "wait_for", "run", "urlopen", "wait_for_ready"}
"""Calls that wait for something's end, for as long as an argument says."""


def hasty(source: str) -> Iterator[int]:
    """Give the lines that wait for a time, or with a limit of their own."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        _, _, last = name.rpartition(".")
        named = [word.value for word in call.keywords if word.arg == "timeout"]
        limits = [one for one in (*call.args, *named) if isinstance(one, ast.Constant)]
        has_limit = any(isinstance(one.value, int | float) for one in limits)
        if (
            name in ("time.sleep", "sleep")
            or last == "wait_for_timeout"
            or (last in ENDING and has_limit)
        ):
            yield call.lineno


@pytest.mark.slow
def test_no_test_waits_for_a_time_or_with_a_limit_of_its_own() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        if path.name != "waiting.py"
        for line in hasty(path.read_text())
    ]
    assert found == [], "use tests.waiting"


@pytest.mark.parametrize(
    "source",
    ["time.sleep(1)", "page.wait_for_timeout(9)", "thread.join(60)", "run(['x'], timeout=120)"],
)
def test_a_hasty_line_is_found(source: str) -> None:
    assert list(hasty(source)) == [1]


def test_what_is_seen_at_last_is_returned() -> None:
    seen = iter(["", "", "there"])
    assert eventually(lambda: next(seen), "a word") == "there"
    assert asyncio.run(eventually_async(lambda: 3, "three", lambda number: number == 3)) == 3


def test_what_never_comes_is_named_with_what_was_there_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "LIMIT", 0)
    with pytest.raises(AssertionError, match="in vain for five; last seen: 4"):
        eventually(lambda: 4, "five", lambda number: number == 5)
