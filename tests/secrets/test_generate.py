"""Making values."""

from __future__ import annotations

import math
import shutil
import sys
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets import generate as generators
from opskit.secrets.generate import (
    ALPHANUMERIC,
    FLOOR_BITS,
    PlannedPolicy,
    Policy,
    generate,
    policy_for,
)
from tests.secrets.canary import CANARY, leaks, tracebacks

CHARSETS = st.lists(st.sampled_from(["default", "hex", "safespecial", "special"])).map(",".join)

BY_PROGRAM = Policy(generator="command", command=("make-a-key",))


def text(policy: Policy) -> str:
    return generate(policy).reveal().decode()


def by(code: str) -> Policy:
    return Policy(generator="command", command=(sys.executable, "-S", "-c", code))


def test_without_any_wish_it_is_32_alphanumeric_characters() -> None:
    policy = policy_for(length=None, charset="")

    assert len(text(policy)) == 32
    assert set(text(policy)) <= set(ALPHANUMERIC)
    assert policy.describe() == "32 characters alphanumeric, 191 bits"
    assert not policy.is_weak()


@pytest.mark.parametrize(
    ("charset", "bits"),
    [("hex", 4.0), ("default", 5.954), ("", 5.954), ("hex,special", 6.23)],
)
def test_the_bits_per_character_are_those_of_the_alphabet(charset: str, bits: float) -> None:
    policy = Policy(length=100, charset=charset)
    assert policy.entropy_bits() == pytest.approx(100 * bits, rel=0.01)
    assert set(text(policy)) <= set(policy.alphabet())


@given(CHARSETS, st.integers(1, 200))
def test_a_value_has_the_length_and_the_characters_asked_for(charset: str, length: int) -> None:
    policy = Policy(length=length, charset=charset)
    value = text(policy)

    assert len(value) == length
    assert set(value) <= set(policy.alphabet())
    assert not value.startswith("-")


def test_the_bits_count_every_value_that_can_be_made_and_no_other() -> None:
    policy = Policy(length=2, charset="safespecial")
    made = {text(policy) for _ in range(40_000)}

    assert math.log2(len(made)) == pytest.approx(policy.entropy_bits() or 0, abs=0.01)


@pytest.mark.parametrize("charset", ["hex", "default", "safespecial", "special,safespecial"])
def test_no_character_is_preferred(charset: str) -> None:
    policy = Policy(length=50_001, charset=charset)
    # The first may not be a dash and is drawn from fewer.
    counted = Counter(text(policy)[1:])
    expected = 50_000 / len(policy.alphabet())
    chi_squared = sum((counted[c] - expected) ** 2 / expected for c in policy.alphabet())
    freedom = len(policy.alphabet()) - 1

    # The cube root of chi-squared is about normal (Wilson and Hilferty), it itself is not. Six
    # standard deviations from the mean: one run in hundreds of millions fails by chance.
    spread = 2 / (9 * freedom)
    assert chi_squared < freedom * (1 - spread + 6 * math.sqrt(spread)) ** 3


def test_values_differ() -> None:
    assert len({text(Policy()) for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("charset", ["klingon", "hex,klingon", "hex,", ",", "HEX"])
def test_an_unknown_charset_is_refused_and_the_known_are_named(charset: str) -> None:
    with pytest.raises(InputError, match="default, hex, safespecial, special"):
        Policy(charset=charset)


def test_less_than_the_floor_is_made_when_asked_for_and_is_known() -> None:
    policy = policy_for(length=7, charset="hex")

    assert len(text(policy)) == 7
    assert policy.describe() == "7 characters hex, 28 bits"
    assert policy.is_weak()
    assert policy.is_guessable()
    # 64 bits.
    assert not policy_for(length=16, charset="hex").is_guessable()
    assert policy_for(length=16, charset="hex").is_weak()


@pytest.mark.parametrize(
    ("wish", "length", "charset", "expected"),
    [
        # What is wished for alone keeps the marks beside it.
        (Policy(generator="pwgen"), 128, "", Policy(generator="pwgen", length=128)),
        (Policy(charset="hex"), 128, "", Policy(length=128, charset="hex")),
        (Policy(length=64), None, "hex", Policy(length=64, charset="hex")),
        (Policy(generator="characters"), 128, "hex", Policy(length=128, charset="hex")),
        # It goes before the same mark.
        (Policy(length=64), 128, "hex", Policy(length=64, charset="hex")),
        (Policy(charset="default"), 128, "hex", Policy(length=128, charset="default")),
        (Policy(generator="words", length=12), 128, "", Policy(generator="words", length=12)),
        # What pwgen prints is letters and digits anyway.
        (Policy(generator="pwgen"), 20, "default", Policy(generator="pwgen", length=20)),
        (BY_PROGRAM, 128, "hex", BY_PROGRAM),
        (None, 128, "hex", Policy(length=128, charset="hex")),
    ],
)
def test_what_a_wish_leaves_open_is_as_the_recipe_says(
    wish: Policy | None, length: int | None, charset: str, expected: Policy
) -> None:
    assert policy_for(length=length, charset=charset, wish=wish) == expected


@pytest.mark.parametrize(
    ("wish", "length", "charset", "lost"),
    [
        (Policy(generator="words"), 128, "", "length=128"),
        (Policy(generator="words", length=9), 128, "hex", "charset=hex"),
        (Policy(generator="pwqgen"), 20, "", "length=20"),
        (Policy(generator="pwgen"), None, "hex", "charset=hex"),
        (Policy(generator="pwqgen"), 20, "hex", "length=20 charset=hex"),
    ],
)
def test_a_generator_that_cannot_keep_the_recipes_word_is_refused(
    wish: Policy, length: int | None, charset: str, lost: str
) -> None:
    with pytest.raises(InputError, match=f"asks for {lost}, which {wish.generator} cannot make"):
        policy_for(length=length, charset=charset, wish=wish)


@pytest.mark.parametrize("generator", ["characters", "words", "pwqgen", "pwgen"])
def test_no_default_is_below_the_floor(generator: str) -> None:
    bits = Policy(generator=generator).entropy_bits()
    assert bits is not None
    assert bits >= FLOOR_BITS


def test_words_come_from_the_whole_long_list() -> None:
    words = generators.word_list()
    assert len(words) == 7776
    # A dash between words and a dash within one cannot be confused: the parts are no words.
    assert not any({*word.split("-")} <= {*words} for word in words if "-" in word)
    assert text(Policy(generator="words", length=3)).count("-") >= 2
    assert Policy(generator="words").describe() == "10 EFF words, 129 bits"


def test_pwgen_is_called_for_random_values_not_pronounceable_ones() -> None:
    if shutil.which("pwgen") is None:
        pytest.skip("pwgen is not installed")
    made = Counter("".join(text(Policy(generator="pwgen", length=2000)) for _ in range(20)))

    # Pronounceable ones would have several times as many vowels as digits.
    assert len(made) == 62
    assert max(made.values()) < 2 * min(made.values())


def test_the_bits_of_pwgen_leave_out_values_without_a_capital_or_a_digit() -> None:
    for length in (3, 4):
        made = 62**length - 52**length - 36**length + 26**length
        bits = Policy(generator="pwgen", length=length).entropy_bits()
        assert bits == pytest.approx(math.log2(made))


def test_pwqgen_is_called_for_as_many_bits_as_are_said() -> None:
    if shutil.which("pwqgen") is None:
        pytest.skip("pwqgen is not installed")
    policy = Policy(generator="pwqgen")
    assert policy.describe() == "pwqgen, 128 bits"
    assert len(text(policy)) > 30


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        (b"made by hand\n\n", b"made by hand\n"),
        (b"no newline", b"no newline"),
        (b"\xff\0", b"\xff\0"),
    ],
)
def test_any_command_makes_a_value_and_loses_one_newline(printed: bytes, value: bytes) -> None:
    policy = by(f"import sys; sys.stdout.buffer.write({printed!r})")
    assert generate(policy).reveal() == value


def test_a_command_is_described_without_its_arguments_and_no_bits_are_claimed() -> None:
    policy = Policy(generator="command", command=("vault", "read", "token=abc"))
    assert policy.describe() == "command vault"
    assert policy.entropy_bits() is None
    assert not policy.is_weak()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit(3)", "status 3"),
        ("pass", "empty"),
        ("print()", "empty"),
        ("print(' ')", "white space"),
        ("while True: print('x' * 4096)", "too much"),
    ],
)
def test_a_command_that_fails_or_makes_no_value_is_an_error(code: str, said: str) -> None:
    with pytest.raises(OpskitError, match=said):
        generate(by(code))


def test_a_command_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "_TIMEOUT_S", 0.3)
    with pytest.raises(OpskitError, match="did not end"):
        generate(Policy(generator="command", command=("sleep", "600")))


def test_a_command_that_is_not_there_or_cannot_run_is_named() -> None:
    with pytest.raises(MissingToolError, match="no-such-program"):
        generate(Policy(generator="command", command=("no-such-program",)))
    with pytest.raises(OpskitError, match="/dev/null"):
        generate(Policy(generator="command", command=("/dev/null",)))


def test_a_failing_command_tells_nothing_of_what_it_printed(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    with pytest.raises(OpskitError) as failed:
        generate(by("import os, sys; print(v := os.environ['CANARY']); sys.exit(v)"))
    printed = "".join(capfd.readouterr())

    assert not leaks(str(failed.value) + printed)
    assert not leaks(tracebacks(failed.value, without=__file__))


@pytest.mark.parametrize(
    "parts",
    [
        {"length": 0},
        {"length": -1},
        {"length": 10**9},
        {"generator": "pwqgen", "length": 20},
        {"generator": "command"},
        {"generator": "pwgen", "charset": "hex"},
        {"command": ["date"]},
    ],
)
def test_parts_that_do_not_go_together_are_refused_when_they_are_wished_for(parts: dict) -> None:
    with pytest.raises(InputError):
        Policy(**parts)


@pytest.mark.parametrize(
    ("charset", "letters"), [("weird,thing", ALPHANUMERIC), ("hex,", "0123456789abcdef")]
)
def test_a_charset_of_a_journal_makes_what_it_made_when_the_plan_was_approved(
    charset: str, letters: str
) -> None:
    saved = b'{"length": 3000, "charset": "%s"}' % charset.encode()
    read = msgspec.json.decode(saved, type=PlannedPolicy)
    assert set(text(read)) == set(letters)
    assert read.entropy_bits() == pytest.approx(3000 * math.log2(len(letters)))


def test_a_policy_reads_back_from_json() -> None:
    policy = Policy(generator="command", command=("date", "+%s"))
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy
