"""One target for a time: made-up inputs, each held, and the smallest that is not held."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from opskit.swarm.transport import TRANSPORT
from tests.fuzz.held import hold
from tests.fuzz.targets import TARGETS, Inputs, corpus

_AT_ONCE = 500
"""Inputs that hypothesis makes up together."""


@dataclass(slots=True)
class Campaign:
    """What came of fuzzing one target; `fault` is empty when all was held."""

    executions: int = 0
    refused: int = 0
    fault: str = ""


def play(name: str, folder: Path, *, seconds: float, most: int, begin: int) -> Campaign:
    """Fuzz one target.

    Parameters
    ----------
    name
        Which.
    folder
        A folder of its own; ``input`` in it is what was read last, the smallest that fails.
    seconds, most
        When to end.
    begin
        The first seed; the same one makes up the same inputs in the same order.
    """
    target, seeds, found = TARGETS[name], corpus(name), Campaign()
    until = time.monotonic() + seconds
    os.environ |= {"OPSKIT_STATE_DIR": str(folder), "TMPDIR": str(folder)}
    tempfile.tempdir = str(folder)

    def one(content: bytes) -> None:
        if found.fault or time.monotonic() < until:
            found.executions += 1
            try:
                found.refused += hold(target, content, folder)
            except BaseException:
                # Until the smallest is found, which is the last.
                found.fault = traceback.format_exc(limit=-12)
                raise

    try:
        for content in seeds:
            one(content)
        while found.executions < most and time.monotonic() < until:
            _some(one, target.inputs(seeds).map(_Input), begin, min(_AT_ONCE, most))
            begin += 1
    except BaseException:  # noqa: BLE001 - it is told
        found.fault = found.fault or traceback.format_exc()
    finally:
        TRANSPORT.close()
    return found


class _Input(bytes):
    """An input that hypothesis does not print."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def _some(one: Callable[[bytes], None], inputs: Inputs, number: int, most: int) -> None:
    @seed(number)
    @settings(
        max_examples=most,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(inputs)
    def each(content: bytes) -> None:
        one(content)

    each()
