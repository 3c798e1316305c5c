"""Which findings are let be: those that somebody acknowledged, up to a day that is not over.

What was acknowledged is part of what was declared when a snapshot was taken, and is judged by that
day. So an audit of a saved snapshot says what it said then, wherever it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, timedelta

from opskit.abra.acknowledged import LONGEST, latest
from opskit.abra.model import Acknowledged
from opskit.facts import Facts


def acknowledged_in(facts: Facts) -> Callable[[tuple[str, ...]], Acknowledged | None]:
    """Return what gives a finding's acknowledgement, over or not, from what it is about."""
    return latest(facts.declared.acknowledged).get


def holds(one: Acknowledged | None, facts: Facts) -> bool:
    """Return whether an acknowledgement was not over when a snapshot was taken."""
    return one is not None and one.until >= facts.taken_at.astimezone(UTC).date()


def said_of(one: Acknowledged) -> str:
    """Return who acknowledged a finding, until when and why, of one that is a finding again."""
    return f"It was acknowledged by {one.who} until {one.until}, which is over: {one.why}"


def span(today: date) -> tuple[date, date]:
    """Return the first and the last day until when something may be let be."""
    return today + timedelta(days=1), today + LONGEST
