"""Nothing of a runbook is carried out that nobody said yes to: for this plan, here and now."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError

from opskit.demo.fleet import ANNOUNCED, DemoFleet
from tests.notebooks.shipped import FOLDER, QUICK, WIDGET, Kernel, started

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

BULK = FOLDER / "03-bulk-rotation.ipynb"
LIVE = ("apply = True", QUICK)


@pytest.fixture
def fleet(own_fleet: DemoFleet, monkeypatch: pytest.MonkeyPatch) -> DemoFleet:
    monkeypatch.setenv(ANNOUNCED, str(own_fleet.root))
    return own_fleet


def rows(fleet: DemoFleet, query: str) -> list[tuple[object, ...]]:
    """Read the journal by itself."""
    journal = fleet.root / "state" / "journal.sqlite"
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as read:
        return read.execute(query).fetchall()


def runs(fleet: DemoFleet) -> list[str]:
    return [str(kind) for (kind,) in rows(fleet, "SELECT kind FROM runs ORDER BY started_at")]


def only(*steps: str, choice: str = "Apply this plan") -> Callable[[str], str]:
    """Click once for each of these steps, and then no more."""
    left = list(steps)

    def answer(question: str) -> str:
        for step in left:
            if question.startswith(f"{step}:"):
                left.remove(step)
                return choice
        return ""

    return answer


def stops(kernel: Kernel, folder: Path, at: str, *parameters: str, **more: object) -> str:
    """Run the notebook until it stops at a question; give what it says there."""
    with pytest.raises(CellExecutionError) as stopped:
        kernel.run(BULK, folder, *parameters, **more)  # type: ignore[arg-type]
    assert stopped.value.ename == "UndecidedError"
    assert stopped.value.evalue.startswith(f"{at}: the cells below wait until somebody applies")
    return str(stopped.value)


def dry_runs(kernel: Kernel, fleet: DemoFleet, folder: Path) -> None:
    """Check that a dry run changes nothing, asks nobody, and says so at top and end."""
    text = kernel.run(BULK, folder, QUICK)

    assert text.index("Dry run: nothing is changed.") < text.index("First wave is left out")
    assert text.rindex("Dry run: nothing was changed.") > text.index("Prune is left out")
    outputs = [output for cell in json.loads(text)["cells"] for output in cell.get("outputs", [])]
    assert [output for output in outputs if WIDGET in output.get("data", {})] == []
    assert runs(fleet) == []
    assert rows(fleet, "SELECT status FROM books") == [("dry-run",)]
    assert rows(fleet, "SELECT 1 FROM entries WHERE kind IN ('step', 'check', 'decision')") == []
    (report,) = (folder / "runs").glob("*.html")
    assert report.read_text().count("Dry run: nothing was changed") == 2


@pytest.mark.nightly
def test_each_wave_and_the_prune_wait_for_their_own_yes_in_whatever_kernel(
    fleet: DemoFleet, tmp_path: Path
) -> None:
    with started() as kernel:
        dry_runs(kernel, fleet, tmp_path)
        stops(kernel, tmp_path, "First wave", *LIVE)
        assert runs(fleet) == []
        stops(kernel, tmp_path, "The rest", *LIVE, answer=only("First wave"))
        assert runs(fleet) == ["rotate"]
    with started() as another:
        # What is done is left out, though its plan is another one by now; what is not, waits.
        stops(another, tmp_path, "The rest", *LIVE)
        assert runs(fleet) == ["rotate"]
        text = another.run(BULK, tmp_path, *LIVE, answer=only("The rest"))
        assert "First wave: done by" in text
        assert "is another one than was applied: it is not applied" in text
        assert runs(fleet) == ["rotate"] * 2

        # The evening is over. All cells once more: it would be v2 to v3 now, and nothing happens.
        told = stops(another, tmp_path, "First wave", *LIVE)
        assert re.search(r"was applied by Ada.*This is another plan, \w{12}: it is shown", told)
        assert runs(fleet) == ["rotate"] * 2

        stops(another, tmp_path, "Prune", *LIVE, answer=only("First wave", "The rest"))
        assert runs(fleet) == ["rotate"] * 4
        text = another.run(BULK, tmp_path, *LIVE, answer=only("Prune", choice="Leave it"))
        assert "Prune: left, as Ada decided." in text
        assert runs(fleet) == ["rotate"] * 4
    said = rows(
        fleet,
        "SELECT step, json_extract(data, '$.choice'), length(json_extract(data, '$.digest'))"
        " FROM entries WHERE kind = 'decision' ORDER BY started_at",
    )
    yes = ("Apply this plan", 64)
    waves = [("First wave", *yes), ("The rest", *yes)]
    assert said == [*waves, *waves, ("Prune", "Leave it", 64)]


def test_an_incident_goes_on_when_the_value_comes_from_elsewhere(
    kernel: Kernel, fleet: DemoFleet, tmp_path: Path
) -> None:
    notebook = FOLDER / "04-leaked-secret.ipynb"
    given = ("app = 'notes.coop.example'", "name = 'oidc_key'", *LIVE)
    told = "insert the new value, then run from this cell on"
    with pytest.raises(CellExecutionError, match=told):
        kernel.run(notebook, tmp_path, *given)
    assert runs(fleet) == []
    subprocess.run(
        [sys.executable, "-m", "opskit", "secret", "insert", "notes.coop.example",
         "oidc_key", "--yes", "--stable", "0.2"],
        input="from-the-provider", text=True, check=True, env={**os.environ, **fleet.env},
    )  # fmt: skip

    kernel.run(notebook, tmp_path, *given)
    (report,) = (tmp_path / "runs").glob("*.html")
    said = report.read_text()
    assert "<dd>done</dd>" in said
    assert "marked generate=false, as the value comes from elsewhere" in said
    assert "Leaked: notes_coop_example_oidc_key_v1" in said
    checks = rows(fleet, "SELECT text, status FROM entries WHERE kind = 'check' ORDER BY entry")
    assert checks == [("Nothing uses the leaked version", "done")]
