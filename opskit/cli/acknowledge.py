"""``opskit acknowledge``: findings that are let be up to a day."""

from __future__ import annotations

from typing import Annotated

import typer

from opskit.cli.change import open_fleet


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("acknowledge")(acknowledge)


def acknowledge(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY…", help="Of the findings: see opskit audit.")
    ],
    until: Annotated[
        str, typer.Option("--until", metavar="DATE", help="The last day, such as 2027-03-31.")
    ],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for colleagues.")],
    who: Annotated[
        str, typer.Option("--who", metavar="NAME", help="Who says so; else this machine's user.")
    ] = "",
    commit: Annotated[
        bool, typer.Option("--commit", help="Commit the file in its git checkout.")
    ] = False,
) -> None:
    """Let findings be up to a day, within a year; then they are findings again.

    Written into opskit.toml in the server's folder, where colleagues share it.
    """
    fleet = open_fleet()
    snapshot = fleet.snapshot()
    for key in keys:
        done = fleet.acknowledge(
            key, why=why, until=until, who=who, commit=commit, snapshot=snapshot
        )
        print(f"{key}: {done}")
