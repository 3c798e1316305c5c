"""One point in time by which a whole exchange must be over, whatever hangs in it."""

from __future__ import annotations

import time

from opskit.errors import UnreachableError


class Deadline:
    """A deadline for one server.

    Parameters
    ----------
    seconds
        From now; monotonic, so that a clock change does not matter.
    server
        Named in the error when the time is up.
    """

    __slots__ = ("_at", "seconds", "server")

    def __init__(self, seconds: float, server: str = "") -> None:
        self.seconds, self.server = seconds, server
        self._at = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self._at

    def remaining(self, doing: str = "waiting for an answer") -> float:
        """Give the seconds left, at most; the value suits ``socket.settimeout``.

        Raises
        ------
        UnreachableError
            The time is up while `doing`.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise self.passed(doing)
        return left

    def passed(self, doing: str) -> UnreachableError:
        """Make the error for a deadline that passed while `doing`."""
        return UnreachableError(
            f"no answer within {self.seconds:g} s ({doing}).", server=self.server
        )
