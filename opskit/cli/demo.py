"""``opskit demo``: a fleet to try everything on."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class EngineKind(StrEnum):
    """What stands behind the demo fleet."""

    embedded = "embedded"
    dockerd = "dockerd"


def add_to(app: typer.Typer) -> None:
    """Add the demo command to the tree."""
    app.command(
        "demo",
        context_settings={"allow_extra_args": False, "ignore_unknown_options": False},
    )(demo)


def demo(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- CMD...]", help="Run this with the demo fleet, then stop it."),
    ] = None,
    engine: Annotated[
        EngineKind, typer.Option(help="embedded, or real private Docker daemons (root only).")
    ] = EngineKind.embedded,
    servers: Annotated[int, typer.Option(min=1, help="How many real servers.")] = 6,
    ssh: Annotated[bool, typer.Option("--ssh", help="Reach real servers over ssh.")] = False,
) -> int:
    """Start a demo fleet, look at it (or run CMD with it), and stop it."""
    from opskit.demo.run import run_demo

    return run_demo(engine.value, servers=servers, ssh=ssh, command=command or [])
