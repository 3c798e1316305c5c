"""Findings in a terminal: what stands together as a block, and below it what mends it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from opskit.cli.read import Format, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console
    from rich.text import Text

    from opskit.audit.blocks import Block, By, Counted
    from opskit.views.frame import View

_INDENT = 10
"""Where what is wrong begins, behind the longest severity."""


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
