"""A value that does not get out by accident."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import pickle
import traceback
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from rich.console import Console
from rich.traceback import Traceback

from opskit.errors import InputError
from opskit.secrets.redact import redact, spellings
from opskit.secrets.value import MAX_BYTES, Secret

CANARY = "c4nary-V4lue/+with=odd&chars"
SECRET = Secret(CANARY)


@dataclasses.dataclass
class Holder:
    secret: Secret


def leaks(text: str) -> bool:
    return any(form in text for form in spellings(CANARY.encode()))


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        "{}".format,
        "{!r:>40}".format,
        lambda s: f"{s}",
        lambda s: "%s %r" % (s, s),  # noqa: UP031 (this very way is tested)
        lambda s: repr([s, {"k": s}]),
        lambda s: repr(Holder(s)),
        lambda s: repr(dir(s)),
        lambda s: repr(pd.Series([s])),
        lambda s: pd.DataFrame({"a": [s]}).to_html(),
        lambda s: repr(getattr(s, "__dict__", None)),
    ],
)
def test_no_way_of_showing_it_shows_it(show) -> None:
    assert not leaks(show(SECRET))


@pytest.mark.parametrize(
    "take",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
        vars,
        len,
        bytes,
        list,
        hash,
        sorted,
        lambda s: dataclasses.asdict(Holder(s)),
        lambda s: s < SECRET,
        lambda s: s + "x",
    ],
)
def test_no_way_of_taking_it_away_works(take) -> None:
    with pytest.raises((TypeError, AttributeError)) as refused:
        take(SECRET)
    assert not leaks(str(refused.value))


def test_a_traceback_with_locals_does_not_show_it() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError("no")

    try:
        fail(SECRET)
    except ValueError as error:
        plain = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
        console = Console(file=io.StringIO(), width=200)
        with console.capture() as capture:
            console.print(Traceback.from_exception(*_triple(error), show_locals=True))
    assert "Secret(…)" in plain
    # This very file is quoted in a rich traceback, and it names the canary in its head only.
    assert not leaks(plain)
    assert not leaks(capture.get())


def _triple(error: ValueError) -> tuple:
    return type(error), error, error.__traceback__


def test_logging_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("x").warning("value %s %r", SECRET, SECRET)
    assert not leaks(caplog.text)


def test_it_is_compared_with_its_like_only() -> None:
    assert Secret(CANARY) == SECRET
    assert Secret("other-value") != SECRET
    assert SECRET != CANARY
    assert CANARY.encode() != SECRET


def test_reveal_gives_the_bytes() -> None:
    assert SECRET.reveal() == CANARY.encode()
    assert Secret(b"\x00\xff").reveal() == b"\x00\xff"


@pytest.mark.parametrize("value", [b"", b"x" * (MAX_BYTES + 1), " \n\t"])
def test_what_swarm_would_refuse_is_refused_without_showing_it(value: bytes | str) -> None:
    with pytest.raises(InputError) as refused:
        Secret(value)
    assert "xxx" not in str(refused.value)


def test_blank_values_and_the_largest_are_taken_when_meant() -> None:
    assert Secret(" ", allow_blank=True).reveal() == b" "
    assert Secret(b"x" * MAX_BYTES).reveal()


@pytest.mark.parametrize(
    ("data", "strip", "value"),
    [
        (b"abc\n", True, b"abc"),
        (b"abc\r\n", True, b"abc"),
        (b"abc\n\n", True, b"abc\n"),
        (b"abc\n", False, b"abc\n"),
        (b"\x00\x01\n", True, b"\x00\x01"),
    ],
)
def test_one_final_newline_is_removed_unless_told_otherwise(
    tmp_path: Path, data: bytes, strip: bool, value: bytes
) -> None:
    path = tmp_path / "value"
    path.write_bytes(data)
    assert Secret.from_file(path, strip_newline=strip).reveal() == value
    assert Secret.from_stream(io.BytesIO(data), strip_newline=strip).reveal() == value


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Secret.from_file(tmp_path / "nowhere")


@pytest.mark.parametrize("form", sorted(spellings(CANARY.encode())))
def test_every_spelling_is_masked(form: str) -> None:
    assert form not in redact(f"before {form} after")
    assert redact(f"before {form} after").startswith("before [redacted]")


def test_base64_is_masked_wherever_the_value_stands_in_what_was_encoded() -> None:
    import base64

    for head in ("", "a", "ab", "abc"):
        encoded = base64.b64encode(f"{head}{CANARY}tail".encode()).decode()
        assert "[redacted]" in redact(encoded)


def test_text_without_a_value_stays_as_it_is() -> None:
    text = "an ordinary sentence, 123, with a v1 and a db_password"
    assert redact(text) == text
