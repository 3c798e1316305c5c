"""Who is at work in this process, as far as a Jupyter server says so."""

from __future__ import annotations

import getpass
import os
from typing import Any

from opskit.inert import visible
from opskit.progress import shell

PERSON = "opskit_person"
"""Where a message to a kernel says who it came from: see `opskit.jupyter.named`."""
_LONGEST = 200


def person_here() -> str:
    """Return who ran the cell that is being run; nothing where no server says so.

    Under ``opskit lab`` its server tells with each cell, and a JupyterHub gives each person a
    server of their own.
    """
    there = shell()
    parent: dict[str, Any] = there.get_parent() if hasattr(there, "get_parent") else {}
    metadata: dict[str, Any] = parent.get("metadata") or {}
    said = metadata.get(PERSON)
    if not isinstance(said, str) or not said:
        said = os.environ.get("JUPYTERHUB_USER", "")
    return " ".join(visible(said).split())[:_LONGEST]


def person_or_user(given: str = "") -> str:
    """Return who is at work: who is given, else who ran the cell, else this machine's user."""
    return given or person_here() or getpass.getuser()
