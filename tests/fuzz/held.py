"""What is asked of a reader: it answers or refuses, in little memory and little time."""

from __future__ import annotations

import faulthandler
import re
import signal
import warnings
from pathlib import Path

from opskit.errors import OpskitError
from tests.fuzz.targets import Target
from tests.waiting import LIMIT

SECONDS, MIB = 30, 300
"""Of processor time, which a busy machine does not use up, and of memory."""
INPUT = "input"
"""The file that holds what is being read, so that it is there whatever becomes of the process."""

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_NOW = re.compile(r"VmRSS:\s+(\d+) kB")


class TooMuchError(Exception):
    """An input took more memory than any may."""


def hold(target: Target, content: bytes, folder: Path) -> bool:
    """Read one input, and return whether it was refused.

    Ends the process with every thread's stack when it takes too long, as C code does not hear
    exceptions.
    """
    (folder / INPUT).write_bytes(content)
    before = _memory(_NOW)
    # From here on the peak is that of this input.
    Path("/proc/self/clear_refs").write_text("5")
    faulthandler.register(signal.SIGPROF, chain=True)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    try:
        with warnings.catch_warnings():
            # A warning on stderr is no answer.
            warnings.simplefilter("error")
            target.read(content, folder)
    except OpskitError as error:
        return bool(str(error))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        if (grown := (_memory(_PEAK) - before) // 1024) > MIB:
            raise TooMuchError(f"{grown} MiB more, and {MIB} are the most")
    return False


def _memory(pattern: re.Pattern[str]) -> int:
    found = pattern.search(Path("/proc/self/status").read_text())
    assert found, "Linux tells a process its memory"
    return int(found[1])
