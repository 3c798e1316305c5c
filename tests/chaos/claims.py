"""What opskit said of versions, and which of it must still be so at the end of a round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A word of opskit's on the version that a variable declares.

    `began` and `ended` are when the process that said so did; `holds` tells whether a version
    agrees with it.
    """

    app: str
    variable: str
    began: float
    ended: float
    said: str
    holds: Callable[[str], bool]


class Claims:
    """All words of one round."""

    def __init__(self) -> None:
        self._all: list[Claim] = []
        self._guard = Lock()

    def add(self, claim: Claim) -> None:
        """Note one."""
        with self._guard:
            self._all.append(claim)

    def broken(self, app: str, variable: str, before: str, now: str) -> str:
        """Return which words are broken; nothing when all is as the last of them said.

        Of processes that ran side by side any may have been last; one that began after another
        had ended was later. With no word at all, the version stays as it was.
        """
        mine = [one for one in self._all if (one.app, one.variable) == (app, variable)]
        last = [one for one in mine if not any(other.began > one.ended for other in mine)]
        if not mine and now != before:
            return f"declares {now}, was {before}, and nobody said that they changed it"
        if last and not any(one.holds(now) for one in last):
            return f"declares {now}, was {before}, but {_listed(last)}"
        return ""


def _listed(claims: Iterable[Claim]) -> str:
    return "; ".join(one.said for one in claims)
