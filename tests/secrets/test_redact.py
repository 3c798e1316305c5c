"""Masking values wherever text leaves the process."""

from __future__ import annotations

import base64
import gc
import html
import io
import json
import secrets
import shlex
import textwrap
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.panel import Panel

from opskit.secrets.redact import MASK, Registry, redact
from opskit.secrets.value import MAX_BYTES, Secret
from tests.secrets.canary import CANARY, encodings, leaks

SECRET = Secret(CANARY)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Owner:
    """Something that holds a value."""


@pytest.mark.parametrize("encoding", encodings())
def test_every_encoding_is_masked_and_its_surroundings_stay(encoding: str) -> None:
    masked = redact(f"before «{encodings()[encoding]}» after")

    assert not leaks(masked)
    assert MASK in masked
    assert masked.startswith("before «")
    assert masked.endswith("» after")


@pytest.mark.parametrize(
    "spell",
    [
        repr,
        html.escape,
        shlex.quote,
        lambda v: repr(v.encode()),
        lambda v: json.dumps(v).replace("&", r"\u0026").replace("<", r"\u003c")
        .replace(">", r"\u003e"),
        lambda v: json.dumps(v).replace("/", r"\/"),
        lambda v: "\n".join(textwrap.wrap(v, 10)),
        lambda v: textwrap.indent("\n".join(textwrap.wrap(v.encode().hex(), 16)), "    "),
        lambda v: " ".join(textwrap.wrap(v.encode().hex(), 2)),
        lambda v: json.dumps(base64.encodebytes(v.encode() * 3).decode()),
        lambda v: f"\x1b[31m{v[:9]}\x1b[0m\x1b[1;32m{v[9:]}\x1b[0m",
    ],
)  # fmt: skip
def test_a_value_is_masked_however_a_program_quotes_or_cuts_it(spell: Callable[[str], str]) -> None:
    assert not leaks(redact(f"x {spell(CANARY)} y"))
    assert redact(f"x {spell(CANARY)} y").startswith("x ")


def test_a_value_wrapped_by_a_narrow_terminal_is_masked() -> None:
    console = Console(file=io.StringIO(), width=24)
    with console.capture() as capture:
        console.print(Panel(f"the password is {CANARY.replace('[', '')}", title="Traceback"))
    assert MASK in redact(capture.get())


def test_each_line_of_a_value_of_several_lines_is_masked() -> None:
    lines = [secrets.token_urlsafe(32) for _ in range(3)]
    key = Secret("\n".join(["-----BEGIN KEY-----", *lines, "-----END KEY-----", ""]))
    log = "\n".join(f"app.1 | {line}" for line in lines)

    assert redact(log) == "\n".join([f"app.1 | {MASK}"] * 3)
    assert redact(key.reveal().decode()).strip() == MASK


def test_white_space_around_a_value_is_not_needed_to_find_it() -> None:
    held = Secret(b"  kept-with-its-newline\n")
    assert redact("got kept-with-its-newline.") == f"got {MASK}."
    assert held


def test_binary_values_are_masked_as_hex_base64_and_as_python_shows_them() -> None:
    data = bytes(range(128, 160))
    held = Secret(data)
    for text in (data.hex(), base64.b64encode(data).decode(), repr(data), str([data])):
        assert MASK in redact(text)
        assert data.hex() not in redact(text)
    assert redact("\N{REPLACEMENT CHARACTER}" * 40) == "\N{REPLACEMENT CHARACTER}" * 40
    assert held


def test_values_too_short_to_tell_from_ordinary_text_are_left_alone() -> None:
    held = Secret("admin")
    assert redact("the admin of 12345") == "the admin of 12345"
    assert held


def test_text_without_a_value_stays_as_it_is() -> None:
    text = "an ordinary sentence, 123, with a v1 and a db_password\n\tand  white space\r\n"
    assert redact(text) == text


@given(st.binary(min_size=6, max_size=60), st.text(), st.text())
@example(b"aaaaaaa", "aaa", "aaaaaa")
@example(b"[redacted]", "", "")
def test_a_value_is_never_left_in_any_text(value: bytes, before: str, after: str) -> None:
    if len(value.strip()) < 6:
        return
    # Of its own: what hypothesis thinks of, such as aaaaaa, must not be masked in other tests.
    registry, owner = Registry(), Owner()
    registry.remember(lambda: value, owner=owner)
    text = value.decode(errors="backslashreplace")
    for form in (text, value.hex(), base64.b64encode(value).decode(), json.dumps(text)[1:-1]):
        masked = registry.redact(f"{before}{form}{after}")
        assert MASK in masked
        # A value that is part of the mask itself is hidden as well as can be.
        assert form not in masked.replace(MASK, "\0") or form in before + after


@given(st.text(alphabet="ab\n\u2502 \\n", max_size=60))
def test_cutting_marks_move_nothing_but_what_is_masked(noise: str) -> None:
    registry, owner = Registry(), Owner()
    registry.remember(lambda: b"correct-horse-battery", owner=owner)
    cut = "correct-ho\n  │ rse-battery"

    assert registry.redact(f"{noise}<{cut}>{noise}") == f"{noise}<{MASK}>{noise}"
    assert registry.redact(noise) == noise


def test_values_stop_being_masked_some_minutes_after_their_last_holder_is_gone() -> None:
    clock = Clock()
    registry, first, second = Registry(clock), Owner(), Owner()
    for owner in (first, second):
        registry.remember(lambda: b"a-passing-value", owner=owner)
    del first
    gc.collect()
    clock.now = 1_000
    registry.redact("")
    clock.now = 2_000
    assert registry.redact("a-passing-value") == MASK

    del second, owner
    gc.collect()
    assert registry.redact("a-passing-value") == MASK
    clock.now = 2_599
    assert registry.redact("a-passing-value") == MASK
    clock.now = 2_600
    assert registry.redact("a-passing-value") == "a-passing-value"
    assert not any(b"a-passing-value" in vars(registry)[name] for name in ("_known", "_released"))


def test_a_value_that_has_not_come_to_its_end_is_noticed() -> None:
    registry, owner = Registry(), Owner()
    registry.remember(CANARY.encode, owner=owner)
    for length in range(1, len(CANARY)):
        assert registry.unfinished(f"output: {CANARY[:length]}") == len("output: ")
    assert registry.unfinished(f"output: {CANARY}!") == len(f"output: {CANARY}!")
    assert registry.unfinished("") == 0


def test_a_hundred_values_are_looked_for_in_much_text_without_changing_it() -> None:
    held = [Secret(secrets.token_urlsafe(24)) for _ in range(100)]
    noise = "an ordinary line with db_password_v1 in it\n" * 25_000
    masked = redact(noise + held[57].reveal().decode() + noise)

    assert masked == noise + MASK + noise


def test_the_largest_value_is_masked() -> None:
    text = "0123456789abcdefghij" * (MAX_BYTES // 20)
    held = Secret(text + "!")
    assert redact(f"x{text}!x") == f"x{MASK}x"
    assert held
