"""The picture of what became of the findings from one saved snapshot to the next."""

# pandas ships partial types, altair dynamic ones.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from opskit.arguments import check_kind
from opskit.audit.registry import SEVERITIES, Severity
from opskit.pictures import picture as palette
from opskit.pictures.picture import WIDTH, Picture, altair, check_snapshot, counted, drawn
from opskit.snapshot import Snapshot
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About

SNAPSHOTS_AT_MOST = 60
"""With more snapshots, the latest are shown."""

_INFO: Severity = "info"
_LABELS = 8
_FIGURES = 24
"""With more snapshots a bar is too narrow for figures."""
_LEGIBLE = 0.045
"""Part of the highest bar below which a segment is too low for a figure."""
_BESIDE = 90


class TrendRow(Row, frozen=True, kw_only=True):
    """A row of the trend's numbers: findings of one severity in one snapshot."""

    taken_at: Annotated[datetime, Column("When the snapshot was taken.")]
    severity: Annotated[Severity, Column("How bad they are.", dtype="string")]
    findings: Annotated[int, Column("How many there are.")]
    new: Annotated[int | None, Column("How many were not in the snapshot before; NA in the first.")]
    gone: Annotated[int | None, Column("How many of the snapshot before are not there any more.")]


@dataclass(frozen=True, slots=True)
class _Audited:
    """A snapshot's findings: their keys by severity."""

    taken_at: datetime
    keys: Mapping[str, frozenset[str]]
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(count for severity, count in self.counts.items() if severity != _INFO)


def findings_trend(snaps: Iterable[Snapshot]) -> Picture:
    """Draw the findings over time.

    It answers: does it get better, and what came and went? They are stacked by severity, the worst
    at the bottom; below them is how many are new and gone since the snapshot before, and apart
    those of severity ``info``, which nobody need act on.

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
    audited = [_audited(snap) for snap in taken]
    shown = audited[-SNAPSHOTS_AT_MOST:]
    rows = [
        row
        for before, now in zip([None, *audited], audited, strict=False)
        for row in _rows(before, now)
        if now in shown
    ]
    numbers = View.from_rows(TrendRow, rows, About(noun="counts"))
    cut = f"The latest {len(shown)} of {len(audited):,} snapshots."
    return drawn(
        _chart(rows, [one.taken_at for one in shown]) if shown else None,
        title="Findings over time",
        alt=_said(audited),
        note=cut if len(shown) < len(audited) else "",
        numbers=numbers,
        labels=(),
    )


def _audited(snap: Snapshot) -> _Audited:
    keys: dict[str, set[str]] = {severity: set() for severity in SEVERITIES}
    found = list(snap.audit().records())
    for row in found:
        keys[str(row.severity)].add(str(row.key))
    return _Audited(
        taken_at=snap.facts.taken_at,
        keys={severity: frozenset(own) for severity, own in keys.items()},
        counts=Counter(str(row.severity) for row in found),
    )


def _rows(before: _Audited | None, now: _Audited) -> list[TrendRow]:
    return [
        TrendRow(
            taken_at=now.taken_at,
            severity=severity,
            findings=now.counts.get(severity, 0),
            new=None if before is None else len(now.keys[severity] - before.keys[severity]),
            gone=None if before is None else len(before.keys[severity] - now.keys[severity]),
        )
        for severity in SEVERITIES
    ]


def _said(audited: Sequence[_Audited]) -> str:
    if not audited:
        return "No snapshot was given."
    said = counted(len(audited), "snapshot")
    last = audited[-1]
    info = f"{last.counts.get(_INFO, 0):,} more only for information"
    if len(audited) == 1:
        return f"{said}: {counted(last.total, 'finding')}, {info}."
    new, gone = (sum(counts) for counts in zip(*_changes(audited[-2], last), strict=True))
    return (
        f"{said}: from {audited[0].total:,} to {counted(last.total, 'finding')}, {info}. "
        f"Since the snapshot before: {new:,} new, {gone:,} gone."
    )


def _changes(before: _Audited, now: _Audited) -> list[tuple[int, int]]:
    rows = [row for row in _rows(before, now) if row.severity != _INFO]
    return [(row.new or 0, row.gone or 0) for row in rows]


def _chart(rows: Sequence[TrendRow], times: Sequence[datetime]) -> Any:
    alt = altair()
    names = _named(times)
    every = -(-len(times) // _LABELS)
    # By number, as two snapshots may be of one minute.
    chosen = [number for number in range(len(times)) if (len(times) - 1 - number) % every == 0]
    axis = alt.Axis(
        values=chosen, labelExpr=f"{names!r}[datum.value]", labelAngle=0, grid=False, title=None
    )
    scale = alt.Scale(domain=list(range(len(times))), paddingInner=0.15, paddingOuter=0.1)
    shared = {"width": min(WIDTH - _BESIDE, 90 * len(times) + 60)}
    with_figures = len(times) <= _FIGURES
    plain = alt.X("at:O", scale=scale, axis=None)
    panels = [_stack(_segments(rows, times), plain, with_figures).properties(height=180, **shared)]
    if len(times) > 1:
        changes = _came_and_went(rows, times, plain, with_figures)
        panels.append(changes.properties(height=70, **shared))
    infos = _infos(rows, times, alt.X("at:O", scale=scale, axis=axis), with_figures)
    panels.append(infos.properties(height=44, **shared))
    return alt.vconcat(*panels, spacing=14)


def _named(times: Sequence[datetime]) -> list[str]:
    days = Counter(one.strftime("%d %b") for one in times)
    form = "%d %b" if max(days.values()) == 1 else "%d %b %H:%M"
    return [one.strftime(form) for one in times]


def _segments(rows: Sequence[TrendRow], times: Sequence[datetime]) -> list[dict[str, Any]]:
    tops: Counter[datetime] = Counter()
    segments: list[dict[str, Any]] = []
    for row in rows:
        if row.severity == _INFO or not row.findings:
            continue
        bottom = tops[row.taken_at]
        tops[row.taken_at] += row.findings
        segments.append(
            {"at": times.index(row.taken_at), "severity": row.severity, "bottom": bottom,
             "top": bottom + row.findings, "middle": bottom + row.findings / 2,
             "findings": row.findings}
        )  # fmt: skip
    highest = max(tops.values(), default=1)
    for one in segments:
        one["said"] = f"{one['findings']:,}" if one["findings"] >= highest * _LEGIBLE else ""
    return segments


def _stack(segments: list[dict[str, Any]], x: Any, with_figures: bool) -> Any:
    alt = altair()
    names = [name for name in palette.SEVERITIES if name != _INFO]
    colours = [palette.SEVERITIES[name][0] for name in names]
    base = alt.Chart(alt.Data(values=segments)).encode(x=x)
    # A gap between segments, as no outline is seen on all colours and both themes.
    bars = base.mark_bar(yOffset=-0.75, y2Offset=0.75).encode(
        y=alt.Y("bottom:Q", title="findings", axis=alt.Axis(tickMinStep=1, tickCount=5)),
        y2="top:Q",
        color=alt.Color(
            "severity:N",
            sort=names,
            scale=alt.Scale(domain=names, range=colours),
            legend=alt.Legend(symbolType="square"),
        ),
    )
    if not with_figures:
        return alt.layer(bars)
    figures = base.mark_text(fontSize=10, color="#fff").encode(y="middle:Q", text="said:N")
    return alt.layer(bars, figures)


def _came_and_went(
    rows: Sequence[TrendRow], times: Sequence[datetime], x: Any, with_figures: bool
) -> Any:
    alt = altair()
    new: Counter[int] = Counter()
    gone: Counter[int] = Counter()
    for row in rows:
        if row.severity != _INFO:
            new[times.index(row.taken_at)] += row.new or 0
            gone[times.index(row.taken_at)] += row.gone or 0
    ends = [
        {"at": at, "count": sign * count, "said": f"{mark}{count:,}", "kind": kind}
        for kind, counts, sign, mark in (("new", new, 1, "+"), ("gone", gone, -1, "-"))
        for at, count in counts.items()
        if count
    ]
    most = max([*new.values(), *gone.values(), 1])
    y = alt.Y(
        "count:Q",
        title=["gone · new"],
        scale=alt.Scale(domain=[-most * 1.5, most * 1.5]),
        axis=alt.Axis(values=[0], labels=False, gridOpacity=0.5),
    )
    layers: list[Any] = []
    for kind, filled, offset in (("new", 0.75, -8), ("gone", 0.0, 8)):
        own = alt.Chart(alt.Data(values=[one for one in ends if one["kind"] == kind]))
        layers.append(
            own.mark_bar(
                color="currentColor", fillOpacity=filled, stroke="currentColor", strokeWidth=1.2
            ).encode(x=x, y=y)
        )
        if with_figures:
            words = own.mark_text(fontSize=11, color="currentColor", dy=offset)
            layers.append(words.encode(x=x, y=y, text="said:N"))
    return alt.layer(*layers)


def _infos(rows: Sequence[TrendRow], times: Sequence[datetime], x: Any, with_figures: bool) -> Any:
    alt = altair()
    counts = [
        {"at": times.index(row.taken_at), "findings": row.findings, "said": f"{row.findings:,}"}
        for row in rows
        if row.severity == _INFO
    ]
    most = max([row.findings for row in rows if row.severity == _INFO] + [1])
    room = alt.Scale(domain=[0, most * 1.6])
    y = alt.Y("findings:Q", title="info", scale=room, axis=alt.Axis(values=[0], labels=False))
    base = alt.Chart(alt.Data(values=counts)).encode(x=x, y=y)
    bars = base.mark_bar(color=palette.SEVERITIES[_INFO][0])
    if not with_figures:
        return alt.layer(bars)
    figures = base.mark_text(fontSize=11, color="currentColor", dy=-7)
    return alt.layer(bars, figures.encode(text="said:N"))
