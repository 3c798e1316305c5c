"""``opskit disconnect``: end the ssh connections that stay for the next command."""

from __future__ import annotations

from typing import Annotated

import typer

from opskit.cli import complete


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command()(disconnect)


def disconnect(
    server: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVER...]", help="Only to these.", autocompletion=complete.servers
        ),
    ] = None,
) -> None:
    """End the ssh connections that stay open for the next command (`ssh_keep`).

    At once, also those that a notebook or another command is using.
    """
    from opskit.errors import UnreachableError
    from opskit.swarm import masters
    from opskit.swarm.context import find_context

    ended, left = masters.disconnect([find_context(name) for name in server] if server else None)
    print(f"{ended or 'No'} ssh connection{'' if ended == 1 else 's'} ended.")
    if left:
        raise UnreachableError(
            f"{len(left)} would not end: ssh still listens at {', '.join(map(str, left))}.",
            remedy="Find its process, and kill it: ss -xlp | grep "
            + " ".join(f"-e {control.name}" for control in left),
        )
