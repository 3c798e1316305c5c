"""A value that does not get out by accident."""

from __future__ import annotations

import copy
import dataclasses
import getpass
import io
import json
import logging
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from rich.pretty import pretty_repr

from opskit.errors import InputError
from opskit.secrets.value import MAX_BYTES, Secret
from tests.secrets.canary import CANARY, leaks, tracebacks

SECRET = Secret(CANARY)


@dataclasses.dataclass
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        "{}".format,
        "{!r:>40}".format,
        "{:>40}".format,
        lambda s: f"{s}",
        lambda s: "%s %r" % (s, s),  # noqa: UP031 (this very way is tested)
        lambda s: repr([s, {"k": s}]),
        lambda s: repr(Holder(s)),
        lambda s: repr(dir(s)),
        lambda s: repr([getattr(s, name) for name in dir(s)]),
        lambda s: json.dumps(s, default=str),
        lambda s: pretty_repr({"k": [s]}),
        lambda s: repr(pd.Series([s])),
        lambda s: pd.DataFrame({"a": [s]}).to_html() + pd.DataFrame({"a": [s]}).to_csv(),
        lambda s: repr(np.array([s])),
    ],
)
def test_no_way_of_showing_it_shows_it(show: Callable[[Secret], str]) -> None:
    assert not leaks(show(SECRET))


@pytest.mark.parametrize(
    "take",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
        msgspec.to_builtins,
        vars,
        len,
        bytes,
        list,
        hash,
        lambda s: s.__getstate__(),
        lambda s: json.dumps(s, default=vars),
        lambda s: dataclasses.asdict(Holder(s)),
        lambda s: msgspec.json.encode(Holder(s)),
        lambda s: sorted([s, s]),
        lambda s: s < SECRET,
        lambda s: s + "x",
        lambda s: "c" in s,
        lambda s: s[0],
    ],
)
def test_no_way_of_taking_it_away_works(take: Callable[[Any], object]) -> None:
    with pytest.raises((TypeError, AttributeError)) as refused:
        take(SECRET)
    assert not leaks(str(refused.value))


def test_it_is_always_true_so_that_a_test_of_it_tells_nothing() -> None:
    assert SECRET
    assert Secret("0")


def test_a_traceback_with_locals_does_not_show_it() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as raised:
        fail(SECRET)
    shown = tracebacks(raised.value)

    assert shown.count("Secret(…)") >= 3
    assert not leaks(shown)


def test_a_refused_value_is_in_no_frame_of_the_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "value"
    path.write_text(CANARY * (MAX_BYTES // len(CANARY)))
    answers = iter([CANARY, f"{CANARY}!", f"{CANARY}\ud800"])
    monkeypatch.setattr(getpass, "getpass", lambda _: next(answers))
    tries: list[Callable[[], object]] = [
        lambda: Secret.from_file(path),
        lambda: Secret.from_stream(io.BytesIO(CANARY.encode() * MAX_BYTES)),
        lambda: Secret.prompt("Value"),
        lambda: Secret.prompt("Value"),
    ]
    for attempt in tries:
        with pytest.raises(InputError) as refused:
            attempt()
        assert not leaks(tracebacks(refused.value, without=__file__))


def test_logging_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("x").warning("value %s %r", SECRET, SECRET)
    assert "Secret(…)" in caplog.text
    assert not leaks(caplog.text)


def test_it_is_compared_with_its_like_only() -> None:
    assert Secret(CANARY) == SECRET
    assert Secret("other-value") != SECRET
    assert SECRET != CANARY
    assert CANARY.encode() != SECRET


def test_reveal_gives_the_bytes() -> None:
    assert SECRET.reveal() == CANARY.encode()
    assert Secret(b"\x00\xff").reveal() == b"\x00\xff"


def test_bytes_that_came_as_undecodable_text_are_the_same_bytes_again() -> None:
    assert Secret(b"p\xe9ss".decode("utf-8", "surrogateescape")).reveal() == b"p\xe9ss"


@pytest.mark.parametrize("value", [123, None, ["x"], SECRET])
def test_a_value_is_bytes_or_text_and_nothing_else(value: Any) -> None:
    with pytest.raises(InputError, match="Give a text or bytes") as refused:
        Secret(value)
    assert "123" not in str(refused.value)


@pytest.mark.parametrize("value", [b"", b"x" * (MAX_BYTES + 1), " \n\t", "\ud800"])
def test_what_swarm_would_refuse_is_refused_without_showing_it(value: bytes | str) -> None:
    with pytest.raises(InputError) as refused:
        Secret(value)
    assert "xxx" not in str(refused.value)


def test_blank_values_and_the_largest_are_taken_when_meant() -> None:
    assert Secret(" ", allow_blank=True).reveal() == b" "
    assert Secret(b"x" * MAX_BYTES).reveal()


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"abc\n", b"abc"),
        (b"abc\r\n", b"abc"),
        (b" \tabc \n", b" \tabc "),
        ("schlüssel\n".encode(), "schlüssel".encode()),
        (b"abc", b"abc"),
        (b"abc\n\n", b"abc\n\n"),
        (b"-----BEGIN KEY-----\nabc\n-----END KEY-----\n",) * 2,
        (b"\x00\x01\n",) * 2,
        (b"\xff\xfe\n",) * 2,
    ],
)
def test_a_line_of_text_loses_its_newline_and_everything_else_is_kept(
    tmp_path: Path, data: bytes, value: bytes
) -> None:
    path = tmp_path / "value"
    path.write_bytes(data)

    assert Secret.from_file(path).reveal() == value
    assert Secret.from_stream(io.BytesIO(data)).reveal() == value
    assert Secret.from_stream(io.BytesIO(data), strip_newline=False).reveal() == data


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_the_largest_line_is_read_whole_and_a_larger_one_refused(ending: bytes) -> None:
    largest = b"x" * MAX_BYTES
    assert Secret.from_stream(io.BytesIO(largest + ending)).reveal() == largest
    with pytest.raises(InputError, match="too large"):
        Secret.from_stream(io.BytesIO(largest + b"x" + ending))
    with pytest.raises(InputError, match="too large"):
        Secret.from_stream(io.BytesIO(largest + b"\r\nx" + ending))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Secret.from_file(tmp_path / "nowhere")


def test_a_typed_value_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = iter(["typed-value"] * 2)

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return next(answers)

    monkeypatch.setattr(getpass, "getpass", answer)
    assert Secret.prompt("Value of x").reveal() == b"typed-value"
    assert asked == ["Value of x: ", "Value of x, once more: "]


def test_without_a_terminal_nothing_is_read_that_would_be_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_terminal(_: str) -> str:
        warnings.warn("Can not control echo", getpass.GetPassWarning, stacklevel=1)
        return sys.stdin.readline()

    monkeypatch.setattr(getpass, "getpass", without_terminal)
    monkeypatch.setattr(sys, "stdin", io.StringIO("shown-while-typed\n"))
    with pytest.raises(InputError, match="no terminal"):
        Secret.prompt("Value")


def test_a_process_that_holds_a_value_leaves_no_dump_and_lets_no_other_read_its_memory() -> None:
    code = """
import ctypes, resource
import opskit
def state():
    # PR_GET_DUMPABLE
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])
resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))
state()
value = opskit.Secret("c4nary-in-memory")
state()
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.split("\n") == ["1 4096", "0 0", ""]
