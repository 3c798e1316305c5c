"""The picture of what became of the findings from one saved snapshot to the next."""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from opskit.arguments import check_kind
from opskit.audit.registry import SEVERITIES, Severity
from opskit.pictures import picture as palette
from opskit.pictures.picture import WIDTH, Picture, altair, check_snapshot, counted, drawn
from opskit.snapshot import Snapshot
from opskit.views.columns import Column, Row
from opskit.views.frame import About, View

_LABELS = 6


class TrendRow(Row, frozen=True, kw_only=True):
    """A row of the trend's numbers: findings of one severity in one snapshot."""

    taken_at: Annotated[datetime, Column("When the snapshot was taken.")]
    severity: Annotated[Severity, Column("How bad they are.", dtype="string")]
    findings: Annotated[int, Column("How many there are.")]


def findings_trend(snaps: Iterable[Snapshot]) -> Picture:
    """Draw the number of findings of each severity over time.

    Parameters
    ----------
    snaps
        Snapshots in any order, such as those saved week by week.
    """
    check_kind("snaps", snaps, Iterable, "Give a list of snapshots.")
    snaps = list(snaps)
    for snap in snaps:
        check_snapshot(snap)
    taken = sorted(snaps, key=lambda snap: snap.facts.taken_at)
    rows: list[TrendRow] = []
    totals: list[int] = []
    for snap in taken:
        found = Counter(str(severity) for severity in snap.audit()["severity"])
        totals.append(found.total())
        for severity in SEVERITIES:
            count = found[severity]
            rows.append(TrendRow(taken_at=snap.facts.taken_at, severity=severity, findings=count))
    numbers = View.from_rows(TrendRow, rows, About(noun="counts"))
    return drawn(
        _chart(numbers),
        title="Findings over time",
        alt=f"{counted(len(taken), 'snapshot')}"
        + (f": from {totals[0]:,} to {totals[-1]:,} findings." if totals else "."),
        numbers=numbers,
        labels=(),
    )


def _chart(numbers: Any) -> Any:
    alt = altair()
    rows = [
        row | {"taken_at": row["taken_at"].strftime("%Y-%m-%dT%H:%M:%SZ")}
        for row in numbers.to_dict("records")
    ]
    names = list(palette.SEVERITIES)
    colours, shapes = zip(*palette.SEVERITIES.values(), strict=True)
    legend = alt.Legend(symbolType="circle", columns=5)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("taken_at:T", title=None, scale=alt.Scale(type="utc"), axis=_times(rows)),
        y=alt.Y("findings:Q", title="findings", axis=alt.Axis(tickMinStep=1)),
        color=alt.Color(
            "severity:N", sort=names, scale=alt.Scale(domain=names, range=colours), legend=legend
        ),
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        shape=alt.Shape("severity:N", scale=alt.Scale(domain=names, range=shapes), legend=legend)
    )
    return alt.layer(base.mark_line(strokeWidth=2), points).properties(width=WIDTH - 80, height=220)


def _times(rows: list[dict[str, Any]]) -> Any:
    taken = sorted({row["taken_at"] for row in rows})
    few = taken[:: max(1, -(-len(taken) // _LABELS))]
    return altair().Axis(grid=False, values=few, format="%d %b %H:%M", labelOverlap=True)
