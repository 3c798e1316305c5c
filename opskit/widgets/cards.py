"""What `opskit.forms.attention` shows of an audit: cards to act on, and what is only counted."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from opskit.audit.blocks import Block, blocks
from opskit.audit.registry import SEVERITIES, checks
from opskit.inert import visible_in
from opskit.mending import Mend, rounds
from opskit.views.frame import View
from opskit.widgets.kinds import FORMS

_NAMED = 2
"""So many secrets are named on a button, and of more how many they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A button of a card: what it mends, by the key of the first finding that it does away with."""

    key: str
    mend: Mend
    block: Block

    @property
    def about(self) -> dict[str, Any]:
        """What it is for, once its finding has gone."""
        one = self.block
        return {
            "check": one.check,
            "server": one.server,
            "app": one.app,
            "secrets": list(self.mend.secrets or one.secrets),
        }

    def label(self, *, alone: bool) -> str:
        """Return what stands on it: which secrets, unless it is for all of its card."""
        form, secrets = FORMS[self.mend.plan], self.mend.secrets
        if alone or not secrets:
            return form.label
        return f"{form.verb} {', '.join(secrets) if len(secrets) <= _NAMED else len(secrets)}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Findings that are read together, as `opskit audit` joins them, and what mends them."""

    block: Block
    acts: tuple[Act, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what is shown of it; it goes by the key of its first finding."""
        one = self.block
        return {
            "key": one.keys[0],
            "keys": list(one.keys),
            "check": one.check,
            "severity": one.severity,
            "server": one.server,
            "app": one.app,
            "secrets": list(one.secrets),
            "what": list(one.what),
            "remedy": "; ".join(one.remedy),
            "acts": [
                {
                    "key": act.key,
                    "label": act.label(alone=len(self.acts) == 1),
                    "secrets": act.about["secrets"],
                }
                for act in self.acts
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """What is shown of an audit that holds what is acknowledged, too.

    Parameters
    ----------
    worse
        Cards of the findings worse than info, the worst first.
    mild
        Those of the others, each of one check.
    let_be
        The findings that somebody acknowledged.
    """

    worse: Sequence[Card]
    mild: Sequence[Card]
    let_be: View

    @classmethod
    def of(cls, found: View) -> Self:
        """Return the cards of an audit."""
        open_ones = found.keep(~found["acknowledged"])
        is_mild = open_ones["severity"] == "info"
        return cls(
            worse=_cards(open_ones.keep(~is_mild)),
            mild=_cards(open_ones.keep(is_mild), apart=True),
            let_be=found.keep(found["acknowledged"]),
        )

    @property
    def acts(self) -> dict[str, Act]:
        """Every button, by its key."""
        return {act.key: act for card in (*self.worse, *self.mild) for act in card.acts}

    def to_json(self) -> dict[str, Any]:
        """Return what a browser draws."""
        known = checks()
        info: dict[str, dict[str, Any]] = {}
        for card in self.mild:
            check = card.block.check
            group = {"check": check, "title": known[check].title, "cards": []}
            info.setdefault(check, group)["cards"].append(card.to_json())
        for group in info.values():
            # What to do is said once, where it is the same for all.
            remedies = {one["remedy"] for one in group["cards"]}
            group["remedy"] = remedies.pop() if len(remedies) == 1 else ""
        return visible_in({
            "severities": list(SEVERITIES),
            "cards": [card.to_json() for card in self.worse],
            "info": list(info.values()),
            "acknowledged": [_let_be(row) for row in self.let_be.records()],
        })  # fmt: skip


def counted(found: View) -> str:
    """Say how many findings there are, by severity, the worst first."""
    open_ones = found.keep(~found["acknowledged"])
    number = Counter(str(one) for one in open_ones["severity"])
    counts = ", ".join(f"{number[one]} {one}" for one in SEVERITIES if number[one])
    let_be = len(found) - len(open_ones)
    more = f"; {let_be} acknowledged" if let_be else ""
    return f"{counts or 'nothing needs attention'}{more}"


def _cards(found: View, *, apart: bool = False) -> list[Card]:
    """Return the cards of findings; with `apart` each is of one check."""
    mends = {row.key: Mend.of(row) for row in found.records() if row.plan}
    return [
        Card(block=block, acts=tuple(_acts(block, {key: mends[key] for key in block.fix})))
        for block in blocks(found, "check" if apart else None)
    ]


def _acts(block: Block, mends: dict[str, Mend]) -> list[Act]:
    found: list[Act] = []
    for mend in (mend for together in rounds(mends.values()) for mend in together):
        key = next(
            key
            for key, one in mends.items()
            if (one.plan, one.hook) == (mend.plan, mend.hook)
            and set(one.secrets) <= set(mend.secrets)
        )
        found.append(Act(key=key, mend=mend, block=block))
    return found


def _let_be(row: Any) -> dict[str, Any]:
    secret = _text(row.secret)
    return {
        "key": row.key,
        "keys": [row.key],
        "check": row.id,
        "severity": row.severity,
        "server": row.server,
        "app": _text(row.app),
        "secrets": [secret] if secret else [],
        "what": [row.what],
        "who": row.acknowledged_by,
        "until": row.acknowledged_until,
        "why": row.acknowledged_why,
    }


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
