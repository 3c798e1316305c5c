"""What a form has of a run that goes on: its steps so far, and the values it made."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from opskit.inert import visible_in
from opskit.plan.data import Unit
from opskit.run.work import Progressed
from opskit.secrets.redact import redact
from opskit.secrets.sealed import Unrevealed
from opskit.secrets.value import Secret


@dataclass(slots=True)
class Running:
    """The steps of one run, each with a line of its own, and its new values until they are seen.

    Steps are told from threads of the run. A value is in no line, and leaves only sealed to the
    tab whose click began the run.
    """

    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _made: dict[str, tuple[str, Unrevealed]] = field(
        default_factory=dict[str, tuple[str, Unrevealed]]
    )
    _index: dict[tuple[int, int, str], int] = field(default_factory=dict[tuple[int, int, str], int])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def clear(self) -> None:
        """Forget everything, as another run begins."""
        with self._lock:
            self.steps.clear()
            self._index.clear()
            self._made.clear()

    def add(self, step: Progressed) -> None:
        """Put a step in its line, or in a new one."""
        line: dict[str, Any] = visible_in(
            {
                "app": step.app,
                "action": step.action,
                "subject": redact(step.subject),
                "phase": step.phase,
                "status": step.status,
                "seconds": round(step.seconds, 1),
                "began": round(time.time() - step.seconds, 1),
                "error": redact(step.error),
                "waits_for": step.waits_for,
            }
        )
        with self._lock:
            key = (step.unit, step.step, step.phase)
            if key in self._index:
                self.steps[self._index[key]] = line
            else:
                self._index[key] = len(self.steps)
                self.steps.append(line)

    def keep(self, unit: Unit, values: Mapping[str, Secret], tab: str) -> None:
        """Keep a stack's new values for one tab."""
        for name, value in values.items():
            self._made[f"{unit.server}/{name}"] = name, Unrevealed.now(value, tab)

    @property
    def revealable(self) -> list[dict[str, str]]:
        """The values that nobody has seen yet, each by its key, and labelled for people."""
        return [{"key": key, "label": label} for key, (label, _) in sorted(self._made.items())]

    def reveal(self, key: str, tab: object, tab_key: object) -> dict[str, str] | None:
        """Return a value sealed to the tab's key with its label, once; nothing to another tab.

        Raises
        ------
        OpskitError
            The key is none.
        """
        with self._lock:
            label, made = self._made.get(key, ("", None))
            if made is None or made.tab != tab or not isinstance(tab_key, dict):
                return None
            del self._made[key]
        return {"label": label, "sealed": made.sealed_to(cast("dict[str, object]", tab_key))}
