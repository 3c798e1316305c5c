"""One step of a runbook: what ``with rb.step("…"):`` enters and leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from opskit.errors import RunbookError
from opskit.progress import in_notebook
from opskit.runbook.record import Entry, EntryStatus
from opskit.secrets.redact import redact

if TYPE_CHECKING:
    from opskit.runbook.book import Runbook


class Step:
    """One step of a runbook; `due` says whether it has to be done."""

    def __init__(
        self,
        book: Runbook,
        title: str,
        finished: Entry | None,
        *,
        quiet: bool = False,
        stop: bool = True,
    ) -> None:
        self._book, self.title, self._finished = book, title, finished
        self._quiet, self._stop = quiet, stop
        self.guarded = False
        self._entry = 0
        self._since = datetime.now(UTC)

    @property
    def due(self) -> bool:
        """Whether it has to be done: it is not finished, or was asked for again."""
        return self._finished is None

    def __enter__(self) -> Self:
        if self._finished is None:
            self._since = datetime.now(UTC)
            self._entry = self._book._begin(self.title)  # pyright: ignore[reportPrivateUsage]
            return self
        done = self._finished
        said = f"{self.title}: done by {done.identity} at {done.started_at:%Y-%m-%d %H:%M} UTC."
        if not self.guarded:
            raise RunbookError(
                f"{said} Say again=True to repeat it. In a notebook it is left out by itself, "
                "where the Runbook is made in an earlier cell and the step stands in the with."
            )
        print(f"✓ {said} Left out; again=True repeats it.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if self._finished is not None:
            return None
        status: EntryStatus = "done"
        if error is not None:
            status = "failed" if isinstance(error, Exception) else "interrupted"
            error.add_note(
                f"The step {self.title!r} of runbook {self._book.id} did not finish. Mend the "
                "cause and run this cell again; in a new kernel run the notebook from its "
                "beginning: what is finished is left out."
            )
        why = _said(error) if error is not None else ""
        self._book._end(self._entry, self._since, status, redact(why))  # pyright: ignore[reportPrivateUsage]
        if error is None and not self._quiet and in_notebook():
            seconds = (datetime.now(UTC) - self._since).total_seconds()
            print(f"✓ {self.title}: done in {seconds:,.1f} s.")
        if status == "failed" and not self._stop:
            print(redact(f"✗ {self.title}: {why}"))
            return True
        return None


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 (a broken __str__ must not hide the error itself)
        return type(error).__name__
