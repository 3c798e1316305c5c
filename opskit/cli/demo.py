"""``opskit demo``: a fleet to try everything on."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from opskit.cli.blocks import show_findings
from opskit.cli.read import Format, show

_NEXT_STEPS = """
To open the notebooks on this fleet:
  make lab
or, in JupyterLab: opskit lab --demo
and then run the cells of 00-start-here.ipynb from the top."""


class EngineKind(StrEnum):
    """What stands behind the demo fleet."""

    embedded = "embedded"
    dockerd = "dockerd"


def add_to(app: typer.Typer) -> None:
    """Add the demo command to the tree."""
    app.command("demo")(demo)


def demo(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- CMD...]", help="Run this with the demo fleet, then stop it."),
    ] = None,
    engine: Annotated[
        EngineKind, typer.Option(help="embedded, or real private Docker daemons (root only).")
    ] = EngineKind.embedded,
    servers: Annotated[int, typer.Option(min=1, max=30, help="How many real servers.")] = 3,
    ssh: Annotated[bool, typer.Option("--ssh", help="Reach real servers over ssh.")] = False,
) -> None:
    """Start a demo fleet, look at it (or run CMD with it), and stop it."""
    from opskit.demo.run import run_demo

    status = run_demo(engine.value, servers, ssh=ssh, command=command or [], look=_look)
    raise typer.Exit(status)


def _look() -> None:
    from opskit.fleet import Fleet

    snapshot = Fleet.from_abra().snapshot()
    for view in (snapshot.servers, snapshot.apps, snapshot.secrets):
        show(view, Format.table)
    show_findings(snapshot.audit())
    print(_NEXT_STEPS, file=sys.stdout)
