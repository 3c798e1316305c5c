"""Every shipped notebook runs from top to bottom, and carries out what it planned."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError

from opskit.demo.fleet import ANNOUNCED, DemoFleet
from tests.fleets import CopiedFleet
from tests.notebooks.shipped import CHANGING, FOLDER, NOTEBOOKS, QUICK, Kernel, everybody


@pytest.fixture
def own_fleet(own_fleet: DemoFleet, monkeypatch: pytest.MonkeyPatch) -> DemoFleet:
    """Announce a fleet that nobody else changes: it is there before the notebook starts one."""
    monkeypatch.setenv(ANNOUNCED, str(own_fleet.root))
    return own_fleet


@pytest.fixture(scope="module")
def fleet(sample_files: tuple[Path, Mapping[str, str]]) -> Iterator[DemoFleet]:
    """A fleet that is only looked at."""
    with CopiedFleet(*sample_files) as fleet:
        yield fleet


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(params=CHANGING, ids=lambda path: path.stem)
def changing(request: pytest.FixtureRequest) -> Path:
    return request.param


def cells(path: Path, kind: str) -> list[str]:
    notebook = json.loads(path.read_text())
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


def test_cells_hold_no_logic(path: Path) -> None:
    for source in cells(path, "code"):
        logic = r"(?m)^\s*(def|class|for|while|try|with (?!rb\.step\()|lambda)\b"
        assert not re.search(logic, source)


@pytest.mark.slow
@pytest.mark.kernel
def test_it_runs_from_top_to_bottom(
    path: Path,
    kernel: Kernel,
    fleet: DemoFleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ANNOUNCED, str(fleet.root))
    text = kernel.run(path, tmp_path)

    assert "2 of 6 servers missing" in text or "2 missing" in text
    assert '"status": "done"' not in text


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.usefixtures("own_fleet")
def test_it_carries_its_plan_out_on_the_demo_fleet(
    changing: Path, kernel: Kernel, tmp_path: Path
) -> None:
    given = ("apply = True", QUICK, "who = 'kim@coop.example'")
    text = kernel.run(changing, tmp_path, *given, answer=everybody)

    assert "done" in text


@pytest.mark.slow
@pytest.mark.kernel
def test_a_scheduled_audit_fails_after_keeping_what_it_saw(kernel: Kernel, tmp_path: Path) -> None:
    notebook = FOLDER / "11-scheduled-audit.ipynb"
    with pytest.raises(CellExecutionError, match="of severity high or worse"):
        kernel.run(notebook, tmp_path, "fail_on = 'high'")

    kept = tmp_path / "runs"
    assert {path.suffix for path in kept.iterdir()} == {".opskit", ".csv", ".html"}
    assert {path.stat().st_mode & 0o077 for path in kept.iterdir()} == {0}
    report = (kept / "report.html").read_text()
    assert "<dd>failed</dd>" in report
    assert "Judge" in report
    assert "of severity high or worse" in report


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("kind = 'dask'", "<Workers of dask: 2 on this machine, closed>"),
        pytest.param(
            "kind = 'ipyparallel'",
            "<Workers of ipyparallel: 2 on this machine, closed>",
            marks=pytest.mark.nightly,
        ),
        (
            "import opskit.clusters; opskit.clusters._PACKAGES['dask'] = 'not_installed'",
            "<Workers: none, as not_installed is not installed here, so that servers are read",
        ),
    ],
)
def test_many_regions_are_read_by_whichever_workers_there_are(
    given: str,
    says: str,
    kernel: Kernel,
    fleet: DemoFleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ANNOUNCED, str(fleet.root))
    text = kernel.run(FOLDER / "12-many-regions.ipynb", tmp_path, given)

    assert says in text
    assert ("'workshop.example'" in text) == ("closed" in says)
    # The reasons of the missing ones name who asked.
    assert ("2 changes" in text) == ("closed" in says)


@pytest.mark.slow
@pytest.mark.kernel
def test_a_scheduled_audit_that_is_content_ends_well(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run(FOLDER / "11-scheduled-audit.ipynb", tmp_path)

    assert "<dd>done</dd>" in (tmp_path / "runs" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.kernel
def test_a_new_app_stops_before_its_secrets_when_the_answer_is_no(
    kernel: Kernel, tmp_path: Path
) -> None:
    def no(question: str) -> str:
        return "no" if "filled in?" in question else "Apply this plan"

    refused = "'Its .env is filled in' failed. When it is, begin anew"
    with pytest.raises(CellExecutionError, match=refused):
        kernel.run(FOLDER / "06-new-app.ipynb", tmp_path, "apply = True", answer=no)
