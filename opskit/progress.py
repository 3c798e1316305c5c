"""How far something has got: a bar in a terminal or a notebook, nothing elsewhere."""

from __future__ import annotations

import html
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol, Self, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichBar

from opskit.inert import visible


class Progress(Protocol):
    """A context manager that is told of each unit done."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def advance(self, what: str) -> None:
        """Count one unit as done and name it."""
        ...

    def name(self, what: str) -> None:
        """Name what is being done."""
        ...


class NoProgress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""

    def advance(self, what: str) -> None:
        """Take note of nothing."""

    def name(self, what: str) -> None:
        """Take note of nothing."""


class TerminalProgress(NoProgress):
    """A bar on stderr that goes away when done."""

    def __init__(self, title: str, total: int) -> None:
        self._bar = RichBar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[what]}", markup=False),
            console=Console(stderr=True),
            transient=True,
            # Else rich would draw the bar through what makes steering letters harmless.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(title, total=total, what="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def advance(self, what: str) -> None:
        """Move the bar by one and name what was done."""
        self._bar.update(self._task, advance=1, what=visible(what))

    def name(self, what: str) -> None:
        """Name what is being done."""
        self._bar.update(self._task, what=visible(what))


class NotebookProgress(NoProgress):
    """A bar in the cell's output, emptied when done; plain HTML, so it needs no widget."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._handle: Any = None

    def __enter__(self) -> Self:
        from IPython import display

        show = cast("Callable[..., Any]", display.display)
        self._handle = show(self._bundle(""), raw=True, display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Empty the output."""
        if self._handle is not None:
            self._handle.update({"text/html": "", "text/plain": ""}, raw=True)

    def advance(self, what: str) -> None:
        """Move the bar by one and name what was done."""
        self._done += 1
        self.name(what)

    def name(self, what: str) -> None:
        """Name what is being done."""
        if self._handle is not None:
            self._handle.update(self._bundle(what), raw=True)

    def _bundle(self, what: str) -> dict[str, str]:
        text = visible(f"{self._title} {self._done}/{self._total} {what}").rstrip()
        bar = f'<progress value="{self._done}" max="{self._total}" aria-label="{self._title}">'
        return {"text/plain": text, "text/html": f"{bar}</progress> {html.escape(text)}"}


class Line:
    """A line in the cell's output that becomes another one; outside of a cell, nothing.

    Parameters
    ----------
    text
        What it says at first.
    """

    def __init__(self, text: str) -> None:
        self._handle: Any = None
        if text and _in_cell():
            from IPython import display

            show = cast("Callable[..., Any]", display.display)
            self._handle = show(_as_line(text), raw=True, display_id=True)

    def becomes(self, text: str) -> None:
        """Say something else, or nothing."""
        if self._handle is not None:
            self._handle.update(_as_line(text), raw=True)


def _as_line(text: str) -> dict[str, str]:
    safe = visible(text)
    return {"text/plain": safe, "text/html": f"<div>{html.escape(safe)}</div>" if safe else ""}


def _in_cell() -> bool:
    return in_notebook() and threading.current_thread() is threading.main_thread()


def default_progress(title: str, total: int) -> Progress:
    """Choose what suits: a notebook's cell, a terminal, or nothing.

    A thread has no cell or line of its own; whoever started it shows how far it is.
    """
    if threading.current_thread() is not threading.main_thread():
        return NoProgress()
    if in_notebook():
        return NotebookProgress(title, total)
    if sys.stderr.isatty():
        return TerminalProgress(title, total)
    return NoProgress()


def in_notebook() -> bool:
    """Return whether this process is a Jupyter kernel."""
    return hasattr(shell(), "kernel")


def shell() -> Any:
    """Return IPython's shell, or nothing where there is none; loads nothing."""
    interactive = sys.modules.get("IPython")
    return interactive.get_ipython() if interactive is not None else None
