"""``opskit audit`` and ``acknowledge``: what is wrong, what mends it, and what is let be."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated, cast

import typer

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
    from collections.abc import Iterable, Iterator

    from rich.console import Console
    from rich.text import Text

    from opskit.audit.blocks import Block, By, Counted
    from opskit.views.frame import View
from opskit.cli.change import open_fleet

_SEVERITIES = ("critical", "high", "medium", "low", "info")
_INDENT = 10
"""Where what is wrong begins, behind the longest severity."""


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
        from opskit.cli.fix import go_through

        if go_through(findings):
            findings = look()
    elif not is_shaped:
        show_findings(findings, by=cast("By | None", by), all_=all_)
    else:
        show(findings, format, wide=wide, columns=columns)
    if len(findings.keep((findings["severity"] != "info") & ~findings["acknowledged"])):
        raise typer.Exit(1)


def show_findings(findings: View, *, by: By | None = None, all_: bool = False) -> None:
    """Show findings as blocks in a terminal, else as a line each, with all that it says."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        show(findings, Format.table)
        return
    from opskit.audit.blocks import blocks, counted, counts

    number = ", ".join(f"{count} {severity}" for severity, count in counts(findings).items())
    said = filter(None, (number or "no findings", findings.remark, findings.missing_counted))
    console.print(_bold(" · ".join(said)))
    mild: list[Counted] = []
    if not all_:
        findings, mild = counted(findings)
    told = blocks(findings, by)
    for label, group in groupby(told, lambda one: one.group(by) if by else ""):
        if label:
            console.print(_bold(f"\n{label}"))
        print_blocks(group, console, by)
    for one in mild:
        console.print(_line("info", f"{one.check}: {_places(one)} ({one.title})", console))
    hints = [
        *(["--all lists what is counted here"] if mild else []),
        *(["opskit fix KEY… plans a remedy and asks"] if any(one.fix for one in told) else []),
    ]
    if hints:
        console.print("; ".join(hints), style="bright_black", highlight=False)


def print_blocks(told: Iterable[Block], console: Console, by: By | None = None) -> None:
    """Print blocks: severity, keys, where and what; below it what mends it."""
    for one in told:
        place = "" if by == "app" else one.place
        where = " ".join(filter(None, (place, ", ".join(one.secrets))))
        what = "; ".join(text.removesuffix(".") for text in one.what)
        said = ": ".join(filter(None, (where, what)))
        console.print(_line(one.severity, f"{' '.join(one.keys)}  {said}", console))
        remedy = "; ".join(one.remedy)
        command = f": opskit fix {' '.join(one.fix)}" if one.fix else ""
        console.print(_line("", f"→ {remedy}{command}", console))


def _line(severity: str, text: str, console: Console) -> Text:
    """Return a line, with what has no room for it below its beginning."""
    from rich.text import Text

    from opskit.views.cells import cell_text
    from opskit.views.terminal import style_of

    lines = Text("\n").join(_wrapped(Text(cell_text(text)), console))
    return Text(f"{severity:<{_INDENT}}", style_of("severity", severity)) + lines


def _wrapped(text: Text, console: Console) -> Iterator[Text]:
    from rich.text import Text

    for number, line in enumerate(text.wrap(console, max(console.width - _INDENT, _INDENT))):
        line.rstrip()
        yield Text(" " * _INDENT) + line if number else line


def _places(one: Counted) -> str:
    servers = f"{one.servers} {'server' if one.servers == 1 else 'servers'}"
    return f"{one.apps} {'app' if one.apps == 1 else 'apps'} on {servers}" if one.apps else servers


def _bold(text: str) -> Text:
    from rich.text import Text

    from opskit.inert import visible

    return Text(visible(text), "bold")


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
