"""Waiting for what a test needs, for as long as a busy machine may take over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

LIMIT = 300
"""Seconds that anything may take: far more than it does, so that only what never comes fails."""

_PAUSE = 0.02

Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], what: str, holds: Callable[[Seen], object] = bool) -> Seen:
    """Look until what is seen is as wanted, and return it.

    Parameters
    ----------
    look
        Give what there is to see.
    what
        What is waited for, for the failure's message.
    holds
        Tell whether what is seen is as wanted. Without it, anything true is.
    """
    until = time.monotonic() + LIMIT
    while not holds(seen := look()):
        assert time.monotonic() < until, _failure(what, seen)
        time.sleep(_PAUSE)
    return seen


async def eventually_async(
    look: Callable[[], Seen], what: str, holds: Callable[[Seen], object] = bool
) -> Seen:
    """Do as `eventually` does, and let the loop's other tasks go on meanwhile."""
    until = time.monotonic() + LIMIT
    while not holds(seen := look()):
        assert time.monotonic() < until, _failure(what, seen)
        await asyncio.sleep(0.001)
    return seen


def linger(seconds: float) -> None:
    """Let a disturbance last some time; never a way to wait for something.

    How long it lasts is the story's, and nothing that a test asserts may depend on it.
    """
    time.sleep(seconds)


def pause() -> None:
    """Wait a moment before looking again, where a campaign and not a test says for how long."""
    time.sleep(_PAUSE)


def _failure(what: str, seen: object) -> str:
    return f"waited {LIMIT} s in vain for {what}; last seen: {str(seen)[-3000:]}"
