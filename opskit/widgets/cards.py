"""What `opskit.forms.attention` shows of an audit: cards to act on, and what is only counted."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from opskit.audit.registry import SEVERITIES, checks
from opskit.inert import visible_in
from opskit.views.frame import View
from opskit.widgets.kinds import FORMS


def cards(found: View) -> dict[str, Any]:
    """Return what is shown of an audit that holds what is acknowledged, too.

    ``cards`` are the findings worse than info, the worst first; those that one plan mends are one
    card, as bad as the worst. ``info`` are the others by their check, ``acknowledged`` what
    somebody lets be. A card goes by the key of its first finding.
    """
    known = checks()
    shown: dict[str, dict[str, Any]] = {}
    info: dict[str, dict[str, Any]] = {}
    let_be: list[dict[str, Any]] = []
    for row in found.records():
        one = card(row)
        if row.acknowledged:
            who = {"who": row.acknowledged_by, "until": row.acknowledged_until}
            let_be.append({**one, **who, "why": row.acknowledged_why})
        elif row.severity == "info":
            title = known[row.id].title
            info.setdefault(row.id, {"check": row.id, "title": title, "cards": []})["cards"].append(
                one
            )
        else:
            together = json.dumps(row.plan) if row.plan else row.key
            if together in shown:
                _join(shown[together], one)
            else:
                shown[together] = one
    for group in info.values():
        # What to do is said once, where it is the same for all.
        remedies = {one["remedy"] for one in group["cards"]}
        group["remedy"] = remedies.pop() if len(remedies) == 1 else ""
    return visible_in({
        "severities": list(SEVERITIES),
        "cards": list(shown.values()),
        "info": list(info.values()),
        "acknowledged": let_be,
    })  # fmt: skip


def counted(found: View) -> str:
    """Say how many findings there are, by severity, the worst first."""
    open_ones = found.keep(~found["acknowledged"])
    number = Counter(str(one) for one in open_ones["severity"])
    counts = ", ".join(f"{number[one]} {one}" for one in SEVERITIES if number[one])
    let_be = len(found) - len(open_ones)
    more = f"; {let_be} acknowledged" if let_be else ""
    return f"{counts or 'nothing needs attention'}{more}"


def card(row: Any) -> dict[str, Any]:
    """Return what is shown of one finding; `act` is what its button says, if it has one."""
    plan: Mapping[str, str] = row.plan
    return {
        "key": row.key,
        "keys": [row.key],
        "check": row.id,
        "severity": row.severity,
        "server": row.server,
        "app": _text(row.app),
        "secrets": [secret] if (secret := _text(row.secret)) else [],
        "what": [row.what],
        "remedy": row.remedy,
        "act": f"{FORMS[plan['plan']].verb}…" if plan else "",
    }


def _join(card: dict[str, Any], other: dict[str, Any]) -> None:
    for name in ("keys", "secrets", "what"):
        card[name] += [one for one in other[name] if one not in card[name]]


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
