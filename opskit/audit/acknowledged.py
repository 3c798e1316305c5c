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
    """Return what gives a finding's acknowledgement, in force or not, from what it is about.

    Of several it is one in force, where one is.
    """
    found = facts.declared.acknowledged
    in_force = [one for one in found if holds(one, facts)]
    return {**latest(found), **latest(in_force)}.get


def holds(one: Acknowledged | None, facts: Facts) -> bool:
    """Return whether an acknowledgement was made and not over when a snapshot was taken."""
    return one is not None and _made(one, facts) and one.until >= _day(facts)


def said_of(one: Acknowledged, facts: Facts) -> str:
    """Return who acknowledged a finding, until when and why, of one that is a finding again."""
    why_not = "which is over" if _made(one, facts) else f"made on {one.made_on}, a day to come"
    return f"It was acknowledged by {one.who} until {one.until}, {why_not}: {one.why}"


def _made(one: Acknowledged, facts: Facts) -> bool:
    # Where a colleague is, it may be tomorrow. A day far off would let something be for decades.
    return one.made_on <= _day(facts) + timedelta(days=1)


def _day(facts: Facts) -> date:
    return facts.taken_at.astimezone(UTC).date()


def span(today: date) -> tuple[date, date]:
    """Return the first and the last day until when something may be let be."""
    return today + timedelta(days=1), today + LONGEST
