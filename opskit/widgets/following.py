"""Widgets that show what a watch tells, until they are closed or their cell is run again."""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from opskit.progress import shell
from opskit.reading.watching import Live
from opskit.snapshot import Snapshot
from opskit.widgets.words import TextualWidget

_lock = threading.Lock()
_made: dict[str, tuple[str, list[Callable[[], None]]]] = {}
"""By cell: which run of it that was, and what to call at the next."""


def ends_with_cell(stop: Callable[[], None]) -> None:
    """Call a function when the cell that is being run is run once more; elsewhere never."""
    there = shell()
    parent: dict[str, Any] = there.get_parent() if hasattr(there, "get_parent") else {}
    metadata: dict[str, Any] = parent.get("metadata") or {}
    header: dict[str, Any] = parent.get("header") or {}
    cell, run = metadata.get("cellId"), header.get("msg_id")
    if not isinstance(cell, str) or not isinstance(run, str):
        return
    with _lock:
        before, stops = _made.get(cell, (run, []))
        if before == run:
            _made[cell] = run, [*stops, stop]
            return
        _made[cell] = run, [stop]
    for one in stops:
        one()


class Follower(TextualWidget):
    """The base of widgets that may be told of changes."""

    _stop: Callable[[], None] | None = None

    def follow(self, live: Live, changed: Callable[[Snapshot], object]) -> None:
        """Be told of each change, until this is closed or the cell that made it is run again."""
        self._stop = live.subscribe(changed)
        ends_with_cell(self._stop)

    def close(self) -> None:
        """Close it, and be told of nothing more."""
        if self._stop is not None:
            self._stop()
        super().close()
