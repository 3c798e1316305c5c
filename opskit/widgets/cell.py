"""Which cell of a notebook made something, so that it ends when that cell is run again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from opskit.progress import shell

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
