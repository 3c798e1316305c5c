"""What commands print in terminals of 80 and of 120 columns, kept as files to be read.

A file that is to change is written anew by
``OPSKIT_RENEW=1 python -m pytest tests/cli/test_golden.py``: read what git says of it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.demo.swarms import anchor
from opskit.facts.facts import Facts
from opskit.saved.saved import save_facts
from tests.cli.screen import shown

GOLDEN = Path(__file__).parent / "golden"
VIEWS = ("servers", "apps", "secrets", "services", "audit")
PLANS = {
    "rotate": ("secret", "rotate", "git.coop.example", "db_password", "--hook", "postgres:db"),
    "prune": ("secret", "prune", "cloud.coop.example"),
}
ONE_SCREEN = 40


@pytest.fixture(scope="module")
def file(demo_fleet: DemoFleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of the demo fleet at an hour that is as far from its beginning every day."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo_fleet.env.items():
            patch.setenv(name, value)
        facts = opskit.Fleet.from_abra().snapshot().facts
    path = tmp_path_factory.mktemp("golden") / "demo.opskit"
    at = anchor(datetime.now(UTC)) + timedelta(days=3, hours=8)
    save_facts(Facts(taken_at=at, declared=facts.declared, observed=facts.observed), path)
    return path


@pytest.fixture(autouse=True)
def on_the_demo_fleet(
    use: Callable[[DemoFleet | DockerdFleet], Path], demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)


def compare(name: str, lines: list[str]) -> None:
    """Hold what was printed to the file of this name, or write that anew."""
    path, text = GOLDEN / f"{name}.txt", "\n".join(lines).rstrip() + "\n"
    if os.environ.get("OPSKIT_RENEW"):
        path.write_text(text)
    kept = path.read_text() if path.exists() else ""
    assert text.splitlines() == kept.splitlines(), (
        f"{path.name} says something else. If it is to: OPSKIT_RENEW=1 python -m pytest {__file__}"
    )


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("view", VIEWS)
def test_what_is_read_looks_as_it_did(
    view: str, width: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(monkeypatch, width, view, "--snapshot", str(file))
    assert max(map(len, lines)) <= width
    compare(f"{view}-{width}", lines)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_looks_as_it_did(plan: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    lines = shown(monkeypatch, width, *PLANS[plan])
    assert max(map(len, lines)) <= width
    compare(f"plan-{plan}-{width}", [re.sub(r"plan [0-9a-f]{12}", "plan …", one) for one in lines])


def test_the_audit_of_the_demo_fleet_fits_on_one_screen(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(monkeypatch, 100, "audit", "--snapshot", str(file))
    # The last line is for the prompt.
    assert len(lines) < ONE_SCREEN
    assert max(map(len, lines)) <= 100
