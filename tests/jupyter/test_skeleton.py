"""Beginning a runbook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.cli.app import run
from opskit.demo.fleet import DemoFleet
from opskit.jupyter.notebook import cells, headings, read_notebook, source
from opskit.jupyter.parameters import declared_parameters

REPOSITORY = Path(__file__).parents[2]


def test_it_has_the_structure_of_the_house_and_its_title(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new-runbook", "leaked-smtp-key", "--title", 'The "SMTP" key has leaked']) == 0
    assert capsys.readouterr().out == "leaked-smtp-key.ipynb\n"

    notebook = read_notebook(Path("leaked-smtp-key.ipynb"))
    titles = [title for cell in cells(notebook) for title in headings(cell)]
    assert titles == [
        'The "SMTP" key has leaked', "1 · Look", "2 · Plan", "3 · Apply",
        "Verify", "Undo", "Record",
    ]  # fmt: skip
    assert list(declared_parameters(notebook)) == [
        "demo", "app", "name", "apply", "approved", "who", "stable"
    ]  # fmt: skip
    code = "\n".join(source(cell) for cell in cells(notebook) if cell["cell_type"] == "code")
    assert 'opskit.Runbook("The \\"SMTP\\" key has leaked", who=who, dry_run=not apply' in code
    for call in (
        "rb.step(",
        "rb.check(",
        "rb.sign_off()",
        "rb.apply(",
        'rb.finish(report="runs/leaked-smtp-key.html")',
    ):
        assert call in code
    compile(code, "runbook", "exec")


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize(
    "apply",
    [pytest.param(False, marks=pytest.mark.nightly), True],
    ids=["looking only", "applying"],
)
def test_it_runs_as_it_is_and_writes_its_report(
    tmp_path: Path,
    own_fleet: DemoFleet,
    use: Callable[[DemoFleet], Path],
    apply: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # On a fleet that outlives the kernel, so that its journal can be read.
    use(own_fleet)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run(["new-runbook", "try-me"]) == 0

    def carry_out(*parameters: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "opskit", "run", "try-me.ipynb",
             *(word for given in parameters for word in ("-p", given))],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    parameters = (f"apply={apply}", "stable=0.2", "who=kim")
    ran = carry_out(*parameters)
    if apply:
        assert ran.returncode == 1
        (plan,) = re.findall(r"give the plan that was read: approved=(\w{12})", ran.stderr)
        ran = carry_out(*parameters, f"approved={plan}")
    assert ran.returncode == 0, ran.stderr
    capsys.readouterr()
    assert run(["journal", "--format", "json"]) == 0

    assert [one["status"] for one in json.loads(capsys.readouterr().out)] == ["done"] * apply
    report = (tmp_path / "runs" / "try-me.html").read_text()
    assert ("Dry run: nothing was changed" in report) is not apply
    assert ("Every service of the app runs" in report) is apply
    assert "kim" in report


def test_the_title_is_made_of_the_name(tmp_path: Path) -> None:
    from opskit.jupyter.skeleton import write_skeleton

    path = write_skeleton(tmp_path / "renew_all-keys.ipynb")

    assert path.name == "renew_all-keys.ipynb"
    assert next(headings(cells(read_notebook(path))[0])) == "Renew all keys"


def test_two_have_no_cell_id_in_common(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run(["new-runbook", str(tmp_path / name)]) == 0
    one, two = (
        {cell["id"] for cell in json.loads((tmp_path / f"{name}.ipynb").read_text())["cells"]}
        for name in ("one", "two")
    )
    assert not one & two


def test_it_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.ipynb").write_text("mine")

    assert run(["new-runbook", str(tmp_path / "mine")]) == 2
    assert "mine.ipynb: exists already and is left as it is." in capsys.readouterr().err
    assert (tmp_path / "mine.ipynb").read_text() == "mine"


def test_a_missing_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new-runbook", str(tmp_path / "gone" / "mine")]) == 2
    assert "cannot be written (No such file or directory)" in capsys.readouterr().err
