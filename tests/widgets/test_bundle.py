"""The bundle that browsers load is what its sources make, and small."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.waiting import LIMIT

WIDGETS = Path(__file__).parents[2] / "opskit" / "widgets"


@pytest.mark.slow
def test_the_committed_bundle_is_made_from_its_sources(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    sources = shutil.copytree(
        WIDGETS / "js", tmp_path / "js", ignore=shutil.ignore_patterns("node_modules")
    )
    (tmp_path / "static").mkdir()
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=sources, check=True, capture_output=True, timeout=LIMIT)
    for name in ("app.js", "attention.js", "form.js", "secret_input.js"):
        built = (tmp_path / "static" / name).read_bytes()
        assert built == (WIDGETS / "static" / name).read_bytes(), "make js, and commit it"


def test_a_form_costs_a_browser_less_than_its_limit() -> None:
    sizes = [path.stat().st_size for path in (WIDGETS / "static").glob("form.*")]
    assert sum(sizes) < 300_000
