"""The import contract: it holds every part of the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
APART = {"__init__", "__main__", "demo"}
"""The package itself, its entry, and the fleet to try it on, which stands in for servers."""


def test_each_module_and_package_has_its_layer() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (layers,) = (
        one["layers"] for one in project["tool"]["importlinter"]["contracts"] if "layers" in one
    )
    held = {name.strip() for layer in layers for name in layer.split("|")}
    parts = {
        one.stem
        for one in (ROOT / "opskit").iterdir()
        if one.suffix == ".py" or (one / "__init__.py").exists()
    }
    assert held == {f"opskit.{name}" for name in parts - APART}
