"""Commands over notebooks: run one without anybody watching, begin a new one, open all in a lab."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from opskit.kinds.statuses import STATUSES

if TYPE_CHECKING:
    from opskit.jupyter.shipped import Copy


FAILED, INTERRUPTED = 1, 130


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.command("run")(run_notebook)
    app.command("new-runbook")(new_runbook)
    app.command()(runbooks)
    app.command()(report)
    app.command("lab")(lab)


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


_WORDS = {
    "new": "new",
    "updated": "updated",
    "edited": "edited by you",
    "newer": "edited by you",
}
_SHOWN = 12
"""Lines of a difference."""


def lab(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where you work on them.")] = Path(
        "opskit-notebooks"
    ),
    demo: Annotated[bool, typer.Option("--demo", help="On made-up servers.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Else the first free one from 8888.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Copy opskit's notebooks to DIR, leaving those you edited, and open them in JupyterLab.

    The server listens on 127.0.0.1 only and asks for its token.
    """

    def start() -> None:
        from opskit.jupyter.lab import prepare, serve
        from opskit.jupyter.shipped import copy_notebooks, shipped_folder
        from opskit.settings import state_dir

        server = prepare(folder, state_dir(), port=port)
        _tell_copies(copy_notebooks(shipped_folder(), folder), folder)

        def tell_address() -> None:
            print(f"Open {server.address}")
            print("\n".join(server.sharing()))
            sys.stdout.flush()

        serve(server, on_listening=tell_address, browser=not no_browser)

    if not demo:
        return start()
    from opskit.demo.run import run_demo

    status = run_demo("embedded", 1, ssh=False, command=[], look=start)
    raise typer.Exit(status)


def _tell_copies(copies: list[Copy], folder: Path) -> None:
    counted = Counter(_WORDS[copy.status] for copy in copies if copy.status in _WORDS)
    detail = ", ".join(f"{count} {word}" for word, count in counted.items())
    print(f"{len(copies)} notebooks in {folder}{f' ({detail})' if detail else ''}")
    for copy in copies:
        if copy.status == "newer":
            print(f"{copy.path.name}: yours was edited and stays; opskit's is newer:")
            for line in copy.diff[:_SHOWN]:
                print(f"  {line}")
            if len(copy.diff) > _SHOWN:
                print(f"  … and {len(copy.diff) - _SHOWN} more lines")
            mine = copy.path.with_name(f"my-{copy.path.name}")
            take = shlex.join(["mv", str(copy.path), str(mine)])
            print(f"  to take it: {take} and start opskit lab again")
