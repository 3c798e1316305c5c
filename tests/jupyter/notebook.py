"""Making small notebooks for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def cell(kind: str, source: str, *tags: str) -> dict[str, Any]:
    """Make a cell."""
    made: dict[str, Any] = {
        "cell_type": kind,
        "id": f"c{abs(hash((kind, source, tags))) % 10**8}",
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
    }
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def write(path: Path, *cells: dict[str, Any]) -> Path:
    """Write a notebook that asks for a kernel nobody has."""
    kernel = {"name": "no-such-kernel", "display_name": "none", "language": "python"}
    path.write_text(
        json.dumps(
            {
                "cells": list(cells),
                "metadata": {"kernelspec": kernel},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        )
    )
    return path
