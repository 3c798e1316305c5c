"""Finished steps are left out in notebooks, whatever else their cells do."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from opskit.runbook.step import StepGuards
from tests.waiting import LIMIT


class Thing:
    """Has steps, and knows nothing of runbooks."""

    def __init__(self, due: bool | None) -> None:
        if due is not None:
            self.due, self.guarded = due, False

    def step(self, _: str = "") -> Thing:
        return self

    def __enter__(self) -> Thing:
        return self

    def __exit__(self, *_: object) -> None: ...


def carry_out(source: str, **names: object) -> list[str]:
    said: list[str] = []
    tree = ast.fix_missing_locations(StepGuards().visit(ast.parse(source)))
    exec(compile(tree, "<cell>", "exec"), {**names, "say": said.append})
    return said


@pytest.mark.parametrize(("due", "expected"), [(True, ["in", "out"]), (False, ["out"])])
@pytest.mark.parametrize(
    "source",
    [
        "with rb.step('x'):\n    say('in')\nsay('out')",
        "with rb.step('x'): say('in')\nsay('out')",
        "with rb.step('x') as step:\n    step.due\n    say('in')\nsay('out')",
        "with open('/dev/null') as f, rb.step('x'):\n    say('in')\nsay('out')",
        "def go():\n    with rb.step('x'):\n        say('in')\ngo()\nsay('out')",
    ],
)
def test_the_body_is_carried_out_when_it_is_due(
    source: str, due: bool, expected: list[str]
) -> None:
    thing = Thing(due)
    assert carry_out(source, rb=thing) == expected
    assert thing.guarded


def test_steps_of_other_things_stay_as_they_are() -> None:
    assert carry_out("with x.step():\n    say('in')", x=Thing(None)) == ["in"]


@pytest.mark.parametrize(
    "source",
    ["with a: b", "with a() as b, c(): d", "async def f():\n async with a.step(): b"],
)
def test_what_is_no_step_is_not_touched(source: str) -> None:
    assert ast.dump(StepGuards().visit(ast.parse(source))) == ast.dump(ast.parse(source))


def client(notebook: nbformat.NotebookNode, **more: bool) -> NotebookClient:
    """Give what runs a notebook: whole texts, however often the kernel sends what it printed."""
    return NotebookClient(
        notebook, kernel_name="python3", coalesce_streams=True, iopub_timeout=LIMIT, **more
    )


@pytest.mark.slow
@pytest.mark.kernel
def test_a_notebook_run_anew_leaves_out_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BROKEN", "1")
    cells = [
        "import opskit, os\nrb = opskit.Runbook('A leak')",
        "with rb.step('Revoke'):\n    print('revoking')",
        "with rb.step('Rotate'):\n    rb.check('it can be', not os.environ.get('BROKEN'))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    client(notebook, allow_errors=True).execute()
    line, printed = notebook.cells[1].outputs
    assert line["data"]["text/plain"].startswith("✓ Revoke: done in ")
    assert printed["text"] == "revoking\n"
    assert "A leak" not in notebook.cells[2].outputs[-1]["evalue"]
    assert any("did not finish" in line for line in notebook.cells[2].outputs[-1]["traceback"])

    monkeypatch.delenv("BROKEN")
    client(notebook).execute()
    assert "Goes on with runbook" in notebook.cells[0].outputs[0]["text"]
    assert "Left out; rerun=True repeats it." in notebook.cells[1].outputs[0]["text"]
    assert "revoking" not in str(notebook.cells[1].outputs)
    assert notebook.cells[2].outputs[0]["data"]["text/plain"].startswith("✓ Rotate: done in ")
