"""A runbook's report: one redacted file that needs nothing else, in HTML or Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import pandas as pd

from opskit.errors import InputError
from opskit.operations.run import open_journal
from opskit.private import private_folder, write_private
from opskit.runbook.asking import digest
from opskit.runbook.kept import table
from opskit.runbook.record import Book, Entry
from opskit.runbook.timeline import timeline
from opskit.secrets.redact import redact
from opskit.views.render import cell_text

_STEPS = ["server", "app", "action", "subject", "phase", "status", "seconds", "error"]


def write_report(path: Path, log: Book, *, still_open: Sequence[str] = ()) -> Path:
    """Write a report.

    Parameters
    ----------
    path
        Where to; ``.html`` or ``.md``.
    log
        What it is about.
    still_open
        What people were asked and have not answered.

    Raises
    ------
    InputError
        The file has another suffix, or cannot be written there.
    MissingToolError
        Jinja is not installed.
    """
    if path.suffix not in (".html", ".md"):
        raise InputError("a report is saved as .html or .md.", path=path, remedy="Name it so.")
    book, entries = log.record, log.entries
    facts = {
        "book": book,
        "made_at": datetime.now(UTC),
        "people": sorted({one.identity for one in entries}),
        "picture": timeline(book, entries).picture,
        "parts": _parts(entries),
        "steps": [one for one in _last(entries) if one.kind == "step"],
        "signatures": _signatures(entries),
        "still_open": still_open,
    }
    text = redact(_template(path.suffix).render(facts))
    private_folder(path.parent)
    write_private(path, text)
    return path


@cache
def _template(suffix: str) -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("opskit.runbook"),
        autoescape=suffix == ".html",  # noqa: S701 (Markdown has its own filter)
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    environment.filters |= {"when": _when, "took": _took, "md": _markdown}
    return environment.get_template(f"report{suffix}")


def _parts(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Put entries together by step, in the order the steps were first begun."""
    parts: dict[str, dict[str, Any]] = {}
    for one in entries:
        if one.kind == "signature":
            continue
        part = parts.setdefault(one.step, {"step": one.step, "attempts": [], "entries": []})
        if one.kind == "step":
            part["attempts"].append(one)
        else:
            part["entries"].append({"entry": one, "run": _run(one)})
    return list(parts.values())


def _run(entry: Entry) -> dict[str, Any] | None:
    if entry.kind != "run":
        return None
    with open_journal() as journal:
        try:
            record = journal.run(str(entry.data["run"]))
        except InputError:
            return None
        steps = journal.steps_frame(record.run)
    return {"record": record, "table": table(cast("pd.DataFrame", steps[_STEPS]))}


def _last(entries: Sequence[Entry]) -> list[Entry]:
    return list({(one.kind, one.step): one for one in entries}.values())


def _signatures(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Give each signature, and whether what it was put under is unchanged."""
    return [
        {
            "entry": one,
            "holds": digest([e for e in entries if e.entry in set(one.data["entries"])])
            == one.data["sha256"],
            "last": max(one.data["entries"], default=0),
        }
        for one in entries
        if one.kind == "signature"
    ]


def _shown(value: object) -> object:
    """Leave out of plain text what would reorder or hide the words around it."""
    if type(value) is not str:
        return value
    return "\n".join(cell_text(line) for line in value.split("\n"))


def _when(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment is not None else "-"


def _took(entry: Entry) -> str:
    if entry.finished_at is None:
        return "-"
    seconds = (entry.finished_at - entry.started_at).total_seconds()
    return f"{seconds:,.1f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"


def _markdown(text: object) -> str:
    """Give text that Markdown shows as it is."""
    flat = cell_text(text).replace("\n", " ")
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", flat)
