"""What is repeated of what a failing task wrote."""

from __future__ import annotations

from opskit.secrets.generate import Policy, generate
from opskit.secrets.value import Secret
from opskit.steps.complaint import _fit


def test_a_value_of_several_short_lines_is_masked_though_only_its_end_is_shown() -> None:
    codes = [f"rc{n:02}-x{n}z" for n in range(8)]
    held = Secret("\n".join(codes))
    said = _fit(["starting", *codes])
    assert held
    assert not any(code in said for code in codes)


def test_only_the_last_lines_are_shown_and_long_ones_cut() -> None:
    assert _fit(["one", "two", "three", "", "four"]) == "two | three | four"
    assert _fit(["word " * 100]) == f"{'word ' * 40}…"


def test_what_may_be_a_value_is_masked_before_anything_is_cut() -> None:
    value = generate(Policy(length=300)).reveal().decode()
    said = _fit([f"{'word ' * 38}{value} is refused"])
    assert "word [redacted]" in said
    assert value[:8] not in said
