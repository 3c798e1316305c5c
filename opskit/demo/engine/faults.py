"""Things that go wrong on purpose, for tests of what happens then."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with requests of one kind.

    Parameters
    ----------
    effect
        ``drop-before`` closes the connection without acting, ``drop-after`` acts and closes it,
        ``delay`` answers late, ``refuse`` answers with `status` and does not act.
    method, path
        Which requests: a method, empty for any, and a pattern for the whole path.
    times
        How often.
    seconds
        How late.
    status, message
        The answer of a refusal.
    """

    effect: Literal["drop-before", "drop-after", "delay", "refuse"]
    method: str = ""
    path: str = ".*"
    times: int = 1
    seconds: float = 0.0
    status: int = 500
    message: str = "refused on purpose"


class Faults:
    """The faults one server has yet to show."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Let something go wrong."""
        self._waiting.append((fault, fault.times))

    def take(self, method: str, path: str) -> Fault | None:
        """Give the fault this request meets, and count it."""
        for at, (fault, left) in enumerate(self._waiting):
            if fault.method in ("", method) and re.fullmatch(fault.path, path):
                if left > 1:
                    self._waiting[at] = (fault, left - 1)
                else:
                    del self._waiting[at]
                return fault
        return None
