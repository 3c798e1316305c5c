"""``opskit lab``: the shipped notebooks in JupyterLab."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from opskit.jupyter.shipped import Copy

_WORDS = {
    "new": "new",
    "updated": "updated",
    "edited": "edited by you",
    "newer": "edited by you",
}
_SHOWN = 12
"""Lines of a difference."""


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("lab")(lab)


def lab(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where you work on them.")] = Path(
        "opskit-notebooks"
    ),
    demo: Annotated[bool, typer.Option("--demo", help="On made-up servers.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Else the first free one from 8888.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Copy opskit's notebooks to DIR, leaving those you edited, and open them in JupyterLab.

    The server listens on 127.0.0.1 only and asks for its token.
    """

    def start() -> None:
        from opskit.jupyter.lab import prepare, serve
        from opskit.jupyter.shipped import copy_notebooks, shipped_folder
        from opskit.settings import state_dir

        server = prepare(folder, state_dir(), port=port)
        _tell(copy_notebooks(shipped_folder(), folder), folder)
        print(f"Open {server.address}")
        print("\n".join(server.sharing()))
        sys.stdout.flush()
        serve(server, browser=not no_browser)

    if not demo:
        return start()
    from opskit.demo.run import run_demo

    status = run_demo("embedded", 1, ssh=False, command=[], look=start)
    raise typer.Exit(status)


def _tell(copies: list[Copy], folder: Path) -> None:
    counted = Counter(_WORDS[copy.status] for copy in copies if copy.status in _WORDS)
    detail = ", ".join(f"{count} {word}" for word, count in counted.items())
    print(f"{len(copies)} notebooks in {folder}{f' ({detail})' if detail else ''}")
    for copy in copies:
        if copy.status == "newer":
            print(f"{copy.path.name}: yours was edited and stays; opskit's is newer:")
            for line in copy.diff[:_SHOWN]:
                print(f"  {line}")
            if len(copy.diff) > _SHOWN:
                print(f"  … and {len(copy.diff) - _SHOWN} more lines")
            kept = copy.path.with_name(f"my-{copy.path.name}")
            take = shlex.join(["mv", str(copy.path), str(kept)])
            print(f"  to take it: {take} and start opskit lab again")
