"""``opskit audit`` and ``acknowledge``: what is wrong, what mends it, and what is let be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from opskit.cli.blocks import show_findings
from opskit.cli.change import open_fleet
from opskit.cli.fix import go_through
from opskit.cli.options import one_of
from opskit.cli.read import (
    ColumnsOption,
    DeadlineOption,
    Format,
    FormatOption,
    ServerOption,
    SnapshotOption,
    WhereOption,
    WideOption,
    narrow,
    show,
    take_snapshot,
)
from opskit.errors import InputError

if TYPE_CHECKING:
    from opskit.audit.blocks import By
    from opskit.views.frame import View

_SEVERITIES = ("critical", "high", "medium", "low", "info")


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("audit")(audit)


def audit(
    format: FormatOption = Format.table,  # noqa: A002 (the option's name)
    server: ServerOption = None,
    where: WhereOption = None,
    min_severity: Annotated[
        str | None, one_of(_SEVERITIES, "--min-severity", help="Only findings this bad or worse.")
    ] = None,
    by: Annotated[
        str | None, one_of(("server", "app", "check"), "--by", help="What stands together.")
    ] = None,
    all_: Annotated[
        bool,
        typer.Option(
            "--all", help="List also what is for information only, and what is acknowledged."
        ),
    ] = False,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    snapshot: SnapshotOption = None,
    with_pass: Annotated[
        bool, typer.Option("--pass", help="Look into the password store, too; opens no entry.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Go through those that opskit can mend, and ask of each.")
    ] = False,
    deadline: DeadlineOption = None,
) -> None:
    """Run every check; exit status 1 when there are findings worse than info.

    What is acknowledged is left out and counts as none.
    """
    from opskit.audit.registry import at_least, listed

    if snapshot is not None and (with_pass or fix):
        lacking = "fits no servers of today" if fix else "does not say what the store had then"
        raise InputError(
            f"a saved snapshot {lacking}.",
            remedy=f"Leave out --snapshot or {'--fix' if fix else '--pass'}.",
        )
    is_shaped = format is not Format.table or wide or columns is not None
    if fix and (is_shaped or by is not None):
        raise InputError(
            "--fix goes through findings one by one, and shows no table of them.",
            remedy="Leave out --fix, or --format, --columns, --wide and --by.",
        )

    def look() -> View:
        taken = take_snapshot(snapshot, server, deadline, with_pass=with_pass)
        found = narrow(taken.audit(acknowledged=True), where, server)
        found = found if min_severity is None else at_least(found, min_severity)
        return listed(found, acknowledged=all_)

    findings = look()
    if fix:
        if go_through(findings):
            findings = look()
    elif not is_shaped:
        show_findings(findings, by=cast("By | None", by), all_=all_)
    else:
        show(findings, format, wide=wide, columns=columns)
    if len(findings.keep((findings["severity"] != "info") & ~findings["acknowledged"])):
        raise typer.Exit(1)


def acknowledge(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY…", help="Of the findings: see opskit audit.")
    ],
    until: Annotated[
        str, typer.Option("--until", metavar="DATE", help="The last day, such as 2027-03-31.")
    ] = "",
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="The reason, for colleagues.")
    ] = "",
    who: Annotated[
        str, typer.Option("--who", metavar="NAME", help="Who says so; else this machine's user.")
    ] = "",
    commit: Annotated[
        bool, typer.Option("--commit", help="Commit the file in its git checkout.")
    ] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Let them be findings again, at once.")
    ] = False,
) -> None:
    """Let findings be up to a day, within a year; then they are findings again.

    Written into opskit.toml in the server's folder, where colleagues share it.
    """
    if withdraw and (until or why or who):
        raise InputError(
            "what is withdrawn has no day, reason or name.",
            remedy="Leave out --withdraw, or --until, --why and --who.",
        )
    if not withdraw and not (until and why):
        raise InputError(
            "it is not said until when, or why.",
            remedy="Give --until DATE and --why TEXT; or --withdraw, to end it.",
        )
    fleet = open_fleet()
    snapshot = fleet.snapshot()
    for key in keys:
        done = (
            fleet.withdraw(key, commit=commit, snapshot=snapshot)
            if withdraw
            else fleet.acknowledge(
                key, why=why, until=until, who=who, commit=commit, snapshot=snapshot
            )
        )
        print(f"{key}: {done}")
