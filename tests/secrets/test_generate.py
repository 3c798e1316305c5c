"""Making values."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets.generate import ALPHANUMERIC, FLOOR_BITS, Policy, generate, policy_for


def text(policy: Policy) -> str:
    return generate(policy).reveal().decode()


def test_without_any_wish_it_is_32_alphanumeric_characters() -> None:
    value = text(policy_for(length=None, charset=""))

    assert len(value) == 32
    assert set(value) <= set(ALPHANUMERIC)
    assert policy_for(length=None, charset="").describe() == "32 characters alphanumeric, 191 bits"


@pytest.mark.parametrize(
    ("charset", "bits"),
    [("hex", 4.0), ("default", 5.954), ("", 5.954), ("unheard-of", 5.954), ("hex,special", 6.23)],
)
def test_the_bits_per_character_are_those_of_the_alphabet(charset: str, bits: float) -> None:
    policy = Policy(length=100, charset=charset)
    assert policy.entropy_bits() == pytest.approx(100 * bits, rel=0.01)
    assert set(text(policy)) <= set(policy.alphabet())


def test_a_length_asked_for_is_given() -> None:
    assert len(text(Policy(length=7, charset="hex"))) == 7
    assert Policy(length=7, charset="hex").is_weak()
    with pytest.raises(InputError):
        generate(Policy(length=0))


def test_values_differ_and_no_character_is_preferred() -> None:
    values = [text(Policy(length=64, charset="hex")) for _ in range(300)]
    counted = Counter("".join(values))

    assert len(set(values)) == 300
    # 19,200 draws over 16 characters: 1,200 each, and five standard deviations are 168.
    assert all(1032 < counted[character] < 1368 for character in "0123456789abcdef")


def test_a_value_never_begins_with_a_dash() -> None:
    assert not any(text(Policy(charset="safespecial")).startswith("-") for _ in range(300))


def test_words_come_from_the_long_list() -> None:
    policy = Policy(generator="words")
    assert len(text(policy).split("-")) >= 10
    assert policy.entropy_bits() == pytest.approx(129.2, abs=0.1)
    assert not policy.is_weak()
    assert FLOOR_BITS == 128


@pytest.mark.parametrize("generator", ["pwgen", "pwqgen"])
def test_the_programs_of_old_are_called(generator: str) -> None:
    import shutil

    if shutil.which(generator) is None:
        pytest.skip(f"{generator} is not installed")
    assert len(text(Policy(generator=generator))) >= 16


def test_any_command_makes_a_value_and_loses_one_newline() -> None:
    command = (sys.executable, "-c", r"print('made by hand\n')")
    assert text(Policy(generator="command", command=command)) == "made by hand\n"


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "pass"])
def test_a_command_that_fails_or_says_nothing_is_an_error(code: str) -> None:
    with pytest.raises(OpskitError):
        generate(Policy(generator="command", command=(sys.executable, "-c", code)))


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingToolError, match="no-such-program"):
        generate(Policy(generator="command", command=("no-such-program",)))
