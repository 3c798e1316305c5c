"""Commands over what was done: the journal, unfinished runs, and locks."""

from __future__ import annotations

from typing import Annotated

import typer

from opskit.cli import complete
from opskit.cli.change import agreed, open_fleet, tell
from opskit.cli.options import DryRun, Yes
from opskit.cli.read import (
    ColumnsOption,
    DeadlineOption,
    Format,
    FormatOption,
    ServerOption,
    WhereOption,
    WideOption,
    show,
)
from opskit.cli.read import narrow as narrowed

RunArgument = Annotated[
    str, typer.Argument(help="The run's id or its beginning; else the last unfinished one.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    for command in (journal, resume, rollback, locks):
        app.command()(command)
    app.command("break-lock")(break_lock)
    app.command("give-up")(give_up)


def journal(
    run: Annotated[str, typer.Argument(help="Show this run's steps.")] = "",
    format: FormatOption = Format.table,  # noqa: A002 (the option's name)
    where: WhereOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
) -> None:
    """Show every run, or the steps of one."""
    from opskit.journal.runs import open_journal

    with open_journal() as opened:
        view = opened.steps_frame(run) if run else opened.runs_frame()
    show(narrowed(view, where, None), format, wide=wide, columns=columns)


def resume(run: RunArgument = "") -> None:
    """Carry on a run that stopped."""
    from opskit.cli.live import shown_steps
    from opskit.run.recovery import resume as resume_run

    with shown_steps(stacks=0) as told:
        ended = resume_run(run, on_progress=told)
    tell(ended)


def rollback(run: RunArgument = "", dry_run: DryRun = False, yes: Yes = False) -> None:
    """Undo a run, finished or not, once it was shown what that does."""
    from opskit.cli.live import shown_steps
    from opskit.run.recovery import plan_rollback

    back = plan_rollback(run)
    show(back.changes, Format.table)
    print(*back.data.consequences.sentences, sep="\n")
    if dry_run:
        show(back.calls, Format.table)
        return
    if not yes and not agreed(back.data.consequences.confirm):
        raise typer.Exit(1)
    with shown_steps(stacks=0) as told:
        ended = back.apply(on_progress=told)
    tell(ended, wanted="rolled-back")


def give_up(run: Annotated[str, typer.Argument(help="The run's id or its beginning.")]) -> None:
    """Leave a run that stopped as it stands, when it can be neither finished nor undone."""
    from opskit.run.recovery import give_up as give_up_run

    give_up_run(run)
    print("left as it stands; what it had locked: opskit locks. What it did: opskit journal RUN")


def locks(
    server: ServerOption = None,
    format: FormatOption = Format.table,  # noqa: A002
    where: WhereOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    deadline: DeadlineOption = None,
) -> None:
    """Show who works on which stack."""
    view = open_fleet(server or None, deadline).locks()
    show(narrowed(view, where, None), format, wide=wide, columns=columns)


def break_lock(
    server: Annotated[
        str, typer.Argument(help="The server's name.", autocompletion=complete.servers)
    ],
    stack: Annotated[str, typer.Argument(help="The stack's name.")],
) -> None:
    """Remove the lock of a stack, and say whose it was."""
    from opskit.run.recovery import break_lock

    broken = break_lock(server, stack)
    print(f"broke the lock of {stack} on {server}, held by {broken.holder()}")
