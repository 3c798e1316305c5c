"""Commands over notebooks: run one without anybody watching, begin a new one."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from opskit.cli.read import (
    ColumnsOption,
    Format,
    FormatOption,
    WhereOption,
    WideOption,
    narrow,
    show,
)
from opskit.errors import NotebookError
from opskit.statuses import STATUSES

FAILED, INTERRUPTED = 1, 130


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.command("run")(run_notebook)
    app.command("new-runbook")(new_runbook)
    app.command()(runbooks)
    app.command()(report)


def run_notebook(
    notebook: Annotated[Path, typer.Argument(help="The notebook; it stays as it is.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Repeatable; never a secret."),
    ] = None,
    output: Annotated[Path, typer.Option(help="The folder for the executed copy.")] = Path("runs"),
) -> None:
    """Run a notebook from top to bottom and keep the executed copy; also from cron.

    Parameters are those of its cell tagged `parameters`. Exit status 1 when a cell fails.
    """
    from opskit.jupyter.execute import execute

    begun = datetime.now(UTC)
    try:
        copy = execute(
            notebook,
            parameter or [],
            output=output,
            bar=sys.stderr.isatty(),
            on_stop=_tell_it_stops,
        )
    except NotebookError as error:
        print(f"opskit: {error}", file=sys.stderr)
        _tell_how_to_resume(begun)
        raise typer.Exit(INTERRUPTED if error.stopped else FAILED) from None
    print(copy)


def _tell_it_stops() -> None:
    print(
        "opskit: interrupting the cell and waiting for it to end; once more to end it at once.",
        file=sys.stderr,
    )


def new_runbook(
    name: Annotated[Path, typer.Argument(help="Its file; .ipynb may be left out.")],
    title: Annotated[str, typer.Option(help="Its title; else made of the name.")] = "",
) -> None:
    """Write a notebook to begin a runbook with; it runs on the demo fleet as it is."""
    from opskit.jupyter.skeleton import write_skeleton

    print(write_skeleton(name, title))


def runbooks(
    format: FormatOption = Format.table,  # noqa: A002 (the option's name)
    where: WhereOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
) -> None:
    """Show every runbook that was carried out, finished or not."""
    from opskit.journal.runbooks import books

    show(narrow(books(), where, None), format, wide=wide, columns=columns)


def report(
    book: Annotated[str, typer.Argument(help="The runbook's id or its beginning.")],
    path: Annotated[Path, typer.Argument(help="Where to: .html or .md.")],
) -> None:
    """Write the report of a runbook: time line, steps, findings, runs and signatures."""
    from opskit.journal.runbooks import Book
    from opskit.runbook.report import write_report

    print(write_report(path, Book.find(book)))


def _tell_how_to_resume(begun: datetime) -> None:
    from opskit.journal.runbooks import unfinished_since
    from opskit.journal.runs import open_journal
    from opskit.run.ways import ways_of
    from opskit.settings import journal_path

    if not journal_path().exists():
        return
    for book, title, step in unfinished_since(begun):
        print(
            f"opskit: runbook {book} ({title}) stopped in its step {step!r}. Mend the cause and "
            "run the notebook again: what is finished is left out.",
            file=sys.stderr,
        )
    with open_journal() as journal:
        unfinished = journal.last_unfinished()
        ways = ways_of(journal, unfinished) if unfinished else ()
    if unfinished is not None:
        run = unfinished.run
        print(
            f"opskit: run {run} is unfinished. {STATUSES[unfinished.status].commands(run, ways)}",
            file=sys.stderr,
        )
