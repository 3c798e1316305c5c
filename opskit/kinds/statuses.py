"""The statuses of a run: one entry each, which feeds journal, locks, command line and forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Ended = Literal["done", "failed", "rolled-back", "partly-rolled-back", "interrupted", "given-up"]
RunStatus = Literal["running", "crashed"] | Ended
KnownStatus = RunStatus | Literal[""]
"""How a run stands in the asking operator's own journal; nothing for another operator's."""

Way = Literal["resume", "rollback", "give-up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOn:
    """What an operator may do about a run.

    Parameters
    ----------
    label
        On a form's button.
    text
        Before the command, in a sentence.
    """

    label: str
    text: str


WAYS: Mapping[Way, WayOn] = {
    "resume": WayOn(label="Resume", text="finish it"),
    "rollback": WayOn(label="Roll back…", text="undo it"),
    "give-up": WayOn(label="Leave it", text="leave it as it stands"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a run stands, and what may be done about it.

    Parameters
    ----------
    label
        Its name in a sentence.
    tone
        How good it is, as tables and forms colour it.
    after_fault
        Its name when a fault led to it, where somebody could also have asked for it.
    meaning
        How things are then, where the name does not tell.
    stopped
        Whether the run is on its way still, and nobody works on it: it may be resumed, or given
        up and left as it stands.
    undoable
        Whether something of it can be taken back.
    """

    label: str
    tone: Literal["good", "warn", "bad", "idle"]
    after_fault: str = ""
    meaning: str = ""
    stopped: bool = False
    undoable: bool = False

    @property
    def ways(self) -> tuple[Way, ...]:
        """What may be offered, the likeliest first; a run's own steps may rule some of it out."""
        offered: Mapping[Way, bool] = {
            "resume": self.stopped,
            "rollback": self.undoable,
            "give-up": self.stopped,
        }
        return tuple(way for way, is_offered in offered.items() if is_offered)

    def name(self, *, fault: bool) -> str:
        """Return what it is called in a sentence; `fault` says whether something went wrong."""
        return self.after_fault if fault and self.after_fault else self.label

    def sentence(self, *, fault: bool) -> str:
        """Return what it is called, and how things are then."""
        name = self.name(fault=fault).capitalize()
        return f"{name}: {self.meaning}." if self.meaning else f"{name}."

    def commands(self, run: str, ways: Collection[Way] | None = None) -> str:
        """Return what may be done about a run, with the commands; empty when there is nothing.

        `ways` are those that its own steps allow, where they are known.
        """
        offered = self.ways if ways is None else ways
        said = [f"{WAYS[way].text}: opskit {way} {run}" for way in offered]
        text = "; or ".join(said)
        return text[:1].upper() + text[1:]


STATUSES: Mapping[RunStatus, Status] = {
    "running": Status(label="running", tone="good"),
    "crashed": Status(label="crashed", tone="bad", stopped=True, undoable=True),
    "interrupted": Status(
        label="interrupted", tone="bad", meaning="finish or undo it", stopped=True, undoable=True
    ),
    "failed": Status(
        label="failed",
        tone="bad",
        meaning="what could not be undone is named below",
        stopped=True,
        undoable=True,
    ),
    "done": Status(label="done", tone="good", undoable=True),
    "rolled-back": Status(
        label="rolled back",
        tone="warn",
        after_fault="failed, and rolled back",
        meaning="everything is as it was",
    ),
    "partly-rolled-back": Status(
        label="partly rolled back",
        tone="warn",
        meaning="some stacks are done, some are as they were",
        undoable=True,
    ),
    "given-up": Status(label="given up", tone="idle", meaning="left as it stands"),
}
