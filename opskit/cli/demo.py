"""``opskit demo``: a fleet to try everything on."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from opskit.cli.read import Format, show
from opskit.errors import InputError

if TYPE_CHECKING:
    from opskit.demo.dockerd import DockerdFleet
    from opskit.demo.fleet import DemoFleet

_NEXT_STEPS = """
To open the notebooks on this fleet:
  make lab
or, where JupyterLab is installed: opskit demo -- jupyter lab notebooks
and then open 00-start-here.ipynb and run its cells from the top."""


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
    with _fleet(engine, servers, ssh=ssh) as fleet:
        environment = {**os.environ, **fleet.env}
        for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
            environment.pop(name, None)
        if command:
            raise typer.Exit(_run(command, environment))
        os.environ.clear()
        os.environ.update(environment)
        _look()


def _fleet(
    engine: EngineKind, servers: int, *, ssh: bool
) -> AbstractContextManager[DockerdFleet] | AbstractContextManager[DemoFleet]:
    if engine is EngineKind.dockerd:
        from opskit.demo.dockerd import DockerdFleet

        return DockerdFleet(servers, ssh=ssh)
    if ssh:
        raise InputError("--ssh needs real servers.", remedy="Add --engine dockerd.")
    from opskit.demo.fleet import DemoFleet

    return DemoFleet()


def _run(command: list[str], environment: dict[str, str]) -> int:
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except FileNotFoundError:
        raise InputError(
            f"there is no command {command[0]!r}.", remedy="Check its name and PATH."
        ) from None
    except KeyboardInterrupt:
        return 130


def _look() -> None:
    from opskit.fleet import Fleet

    snapshot = Fleet.from_abra().snapshot()
    for view in (snapshot.servers, snapshot.apps, snapshot.secrets, snapshot.audit()):
        show(view, Format.table)
    print(_NEXT_STEPS, file=sys.stdout)
