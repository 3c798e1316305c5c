"""``opskit acknowledge``: findings that are let be up to a day."""

from __future__ import annotations

from typing import Annotated

import typer

from opskit.cli.change import open_fleet
from opskit.errors import InputError


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("acknowledge")(acknowledge)


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
