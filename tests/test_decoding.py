"""Text of others: decoded or refused; into types that any thread may decode into."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from opskit.decoding import decode_json, parse_python

TWO_THREADS = """
import threading, msgspec
from opskit.decoding import ready

begun, go_on, found = threading.Event(), threading.Event(), []

def slowly():
    begun.set()
    go_on.wait(60)
    return int

class Inner(msgspec.Struct):
    value: "slowly()"

class Outer(msgspec.Struct):
    inner: Inner

def decode():
    found.append(msgspec.json.decode(b'{"inner": {"value": 1}}', type=ready(Outer)))

first, second = threading.Thread(target=decode), threading.Thread(target=decode)
first.start()
begun.wait(60)
second.start()
second.join(0.5)
go_on.set()
first.join()
second.join()
print([one.inner.value for one in found])
"""


def test_a_second_thread_does_not_use_a_type_that_is_half_worked_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[1, 1]\n")


@pytest.mark.parametrize(
    "text", [b'["\xff"]', b"\x80", "['\ud800']", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_text_or_too_deep_is_refused_like_any_other_fault(text: bytes | str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_json(text, list[str])


@pytest.mark.parametrize("text", ["x = '\ud800", "a\0b", "(" * 100_000, "-" * 100_000, "'\\d' +"])
def test_text_that_is_no_python_is_one_kind_of_fault(text: str) -> None:
    with pytest.raises(SyntaxError):
        parse_python(text, "exec")
