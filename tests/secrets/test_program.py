"""Running programs that take or print a value."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from opskit.secrets.program import run
from tests.secrets.canary import CANARY, leaks, tracebacks
from tests.waiting import eventually


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code)


def test_what_is_written_comes_back_whole_when_it_is_larger_than_any_pipe() -> None:
    data = os.urandom(400_000)
    ended = run(("cat",), seconds=30, stdin=lambda: data)

    assert ended.status == 0
    assert ended.output == data


def test_standard_input_is_empty_unless_given() -> None:
    assert run(("cat",), seconds=30).output == b""


def test_a_program_that_does_not_read_is_no_error_here() -> None:
    assert run(("true",), seconds=30, stdin=lambda: b"x" * 400_000).status == 0


def test_status_and_complaints_are_told_apart_from_output() -> None:
    ended = run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"),
                seconds=30)  # fmt: skip
    assert (ended.status, ended.output, ended.said) == (3, b"out\n", ("err",))


def test_no_shell_looks_at_the_arguments() -> None:
    assert run(("printf", "%s", "$HOME; `id` *"), seconds=30).output == b"$HOME; `id` *"


def test_what_a_program_started_ends_with_it_at_the_deadline(tmp_path: Path) -> None:
    started, it = tmp_path / "started", tmp_path / "pid"
    script = f"sleep 600 & echo $! > {it}; touch {started}; wait"

    def when_it_has_started() -> bytes:
        eventually(started.exists, "the program to have started its own")
        return b""

    with pytest.raises(TimeoutError):
        # It is asked for its input after the deadline was set: that may pass meanwhile.
        run(("sh", "-c", script), seconds=0.5, stdin=when_it_has_started)
    child = int(it.read_text())
    eventually(lambda: not is_alive(child), "what the program started to end")


def is_alive(process: int) -> bool:
    """Tell whether a process lives; what has ended and whom nobody waits for does not."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_closes_its_outputs_and_stays_is_ended_too() -> None:
    with pytest.raises(TimeoutError):
        run(("sh", "-c", "exec >&- 2>&-; sleep 600"), seconds=0.5)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_program_that_never_stops_printing_is_ended(stream: str) -> None:
    with pytest.raises(OverflowError):
        run(("sh", "-c", f"yes >&{stream}"), seconds=30)


def test_no_frame_of_a_failure_shows_what_went_in_or_came_out() -> None:
    with pytest.raises(TimeoutError) as late:
        run(("sh", "-c", "cat; cat >&2; sleep 600"), seconds=0.5, stdin=CANARY.encode)
    ended = run(("cat",), seconds=30, stdin=CANARY.encode)

    assert not leaks(tracebacks(late.value, without=__file__))
    assert not leaks(repr(ended))
