"""Lanes over time: segments one after the other, long idle times cut out."""

# altair has dynamic types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from opskit.pictures.picture import OUTCOMES, WIDTH, altair, beside, safe, shortened

_WORDS = 160
"""Pixels of the words at the end of each lane."""
_WORDS_AT_MOST = 26
_LANE = 22
_CHARACTER = 6.4
_BREAK = 34
"""Pixels of a time in which nothing was done."""
_LONG_IDLE_S = 2.0
_TICKS = 6
_HINTS = {"waits": "outlined: waits for tasks or a lock", "nothing": "dotted: waits for other apps"}
_ROUND = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a lane, in seconds; `waits` says what it waited for, if it did nothing else."""

    begins: float
    ends: float
    outcome: str
    label: str
    waits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What happened to one thing; `words` say how it ended."""

    name: str
    words: str
    is_bad: bool = False
    segments: Sequence[Segment] = field(default_factory=list[Segment])

    @property
    def seconds(self) -> float:
        """How long it was worked on."""
        return sum(one.ends - one.begins for one in self.segments)


class _Clock:
    """Turns seconds into pixels: even while something is done, cut short where nothing is."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        names = [shortened(safe(lane.name)) for lane in lanes]
        self.begins_at = WIDTH - beside(names) + 8
        self.ends_at = float(WIDTH - _WORDS)
        busy = sorted((one.begins, one.ends) for lane in lanes for one in lane.segments)
        self.stretches: list[tuple[float, float]] = []
        active = sum(end - begin for begin, end in _joined(busy, 0.0))
        for begin, end in _joined(busy, max(_LONG_IDLE_S, active / 4)):
            self.stretches.append((begin, end))
        total = sum(end - begin for begin, end in self.stretches) or 1.0
        room = self.ends_at - self.begins_at - _BREAK * max(len(self.stretches) - 1, 0)
        self._scale = room / total

    def at(self, seconds: float) -> float:
        x = self.begins_at
        for begin, end in self.stretches:
            if seconds <= end:
                return x + max(seconds - begin, 0.0) * self._scale
            x += (end - begin) * self._scale + _BREAK
        return x

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Return where to write which seconds; after a break they count from its end."""
        total = sum(end - begin for begin, end in self.stretches)
        step = next((one for one in _ROUND if total / one <= _TICKS), 86400)
        for number, (begin, end) in enumerate(self.stretches):
            count = int((end - begin) / step + 1e-9)
            for tick in range(count + 1):
                sign = "+" if number else ""
                yield self.at(begin + tick * step), f"{sign}{tick * step:,g} s"

    def breaks(self) -> Iterator[tuple[float, str]]:
        """Return where time is cut out, and how much."""
        for (_, before), (after, _) in zip(self.stretches, self.stretches[1:], strict=False):
            yield self.at(before) + _BREAK / 2, f"{_long(after - before)} later"


def lanes_chart(there: Sequence[Lane], back: Sequence[Lane]) -> Any:
    """Draw lanes below each other, those of the way back under a heading of their own."""
    alt = altair()
    clock = _Clock([*there, *back])
    lines: list[Lane | str] = [*there, *(["The way back", *back] if back else [])]
    texts: list[dict[str, Any]] = []
    bars: list[dict[str, Any]] = []
    for row, line in enumerate(lines):
        if isinstance(line, str):
            texts.append({"x": 0, "row": row, "said": line, "kind": "head"})
            continue
        texts.append({"x": 0, "row": row, "said": shortened(safe(line.name)), "kind": "text"})
        words = shortened(safe(line.words), _WORDS_AT_MOST)
        texts.append({"x": clock.ends_at + 10, "row": row, "said": words, "kind": "text"})
        for one in line.segments:
            bar = _bar(one, clock)
            bars.append(bar | {"row": row})
            if said := _inside(one, bar["x2"] - bar["x"]):
                kind = "waits" if one.waits else "on bar"
                texts.append({"x": bar["x"] + 5, "row": row, "said": said, "kind": kind})
    for x, said in clock.ticks():
        texts.append({"x": x, "row": len(lines), "said": said, "kind": "tick"})
    breaks = list(clock.breaks())
    for x, said in breaks:
        texts.append({"x": x, "row": len(lines) + 1, "said": said, "kind": "tick"})
    rows = len(lines) + 1 + bool(breaks)
    kinds = {bar["kind"] for bar in bars}
    if hint := " · ".join(hint for kind, hint in _HINTS.items() if kind in kinds):
        texts.append({"x": 0, "row": rows, "said": hint, "kind": "hint"})
        rows += 1
    layers = [_rules([x for x, _ in breaks], len(lines)), *_layers(bars, texts, rows)]
    return alt.layer(*layers).properties(width=WIDTH, height=alt.Step(_LANE))


def _bar(one: Segment, clock: _Clock) -> dict[str, Any]:
    begins, ends = clock.at(one.begins), clock.at(one.ends)
    return {
        "x": begins, "x2": max(ends - 1, begins + 1.5), "outcome": one.outcome,
        "kind": "nothing" if one.outcome == "waited" else "waits" if one.waits else "works",
    }  # fmt: skip


def _inside(one: Segment, room: float) -> str:
    """Return the longest of a segment's words that has room in it."""
    return next((w for w in (one.waits, one.label) if w and len(w) * _CHARACTER + 8 <= room), "")


def _rules(breaks: list[float], rows: int) -> Any:
    alt = altair()
    return (
        alt.Chart(alt.Data(values=[{"x": x} for x in breaks]))
        .mark_rule(color="currentColor", opacity=0.5, strokeDash=[2, 3])
        .encode(x=_along(), y=alt.value(0), y2=alt.value(_LANE * (rows + 1)))
    )


def _along() -> Any:
    alt = altair()
    return alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, WIDTH]))


def _layers(bars: list[dict[str, Any]], texts: list[dict[str, Any]], rows: int) -> list[Any]:
    alt = altair()
    x = _along()
    y = alt.Y("row:O", axis=None, scale=alt.Scale(domain=list(range(rows))))
    outcomes = alt.Scale(domain=list(OUTCOMES), range=list(OUTCOMES.values()))
    layers: list[Any] = []
    for kind, style in _BARS.items():
        own = alt.Chart(alt.Data(values=[bar for bar in bars if bar["kind"] == kind]))
        chart = own.mark_bar(height=14, cornerRadius=2, **style).encode(x=x, x2="x2:Q", y=y)
        if kind != "nothing":
            colour = alt.Color("outcome:N", legend=None, scale=outcomes)
            outline = alt.Stroke("outcome:N", legend=None, scale=outcomes)
            chart = chart.encode(color=colour, stroke=outline)
        layers.append(chart)
    for kind, style in _TEXTS.items():
        own = alt.Chart(alt.Data(values=[one for one in texts if one["kind"] == kind]))
        layers.append(own.mark_text(**style).encode(x=x, y=y, text="said:N"))
    return layers


_BARS: dict[str, dict[str, Any]] = {
    "works": {"strokeWidth": 0},
    "waits": {"fillOpacity": 0.22, "strokeWidth": 1},
    "nothing": {
        "fillOpacity": 0, "stroke": "currentColor", "strokeDash": [2, 2], "strokeOpacity": 0.45,
    },
}  # fmt: skip
_TEXTS: dict[str, dict[str, Any]] = {
    "head": {"align": "left", "fontSize": 12, "fontWeight": "bold", "color": "currentColor"},
    "text": {"align": "left", "fontSize": 12, "color": "currentColor"},
    "waits": {"align": "left", "fontSize": 11, "color": "currentColor"},
    "on bar": {"align": "left", "fontSize": 11, "color": "#fff"},
    "hint": {"align": "left", "fontSize": 11, "color": "currentColor", "opacity": 0.8},
    "tick": {"align": "center", "fontSize": 11, "color": "currentColor", "opacity": 0.8},
}


def _joined(busy: Sequence[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Return stretches with no more than a gap between two that follow each other."""
    found: list[tuple[float, float]] = []
    for begin, end in busy:
        if found and begin - found[-1][1] <= gap:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def _long(seconds: float) -> str:
    size, unit = next((one for one in _UNITS if seconds >= 2 * one[0]), _UNITS[-1])
    return f"{seconds / size:,.0f} {unit}"
