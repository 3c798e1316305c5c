"""Every shipped notebook, and the one that new runbooks begin with, is a good runbook."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opskit.jupyter.skeleton import write_skeleton
from tests.notebooks.lint import faults

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
Notebook = dict[str, Any]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_skeleton(tmp_path / "good")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_shipped_notebook_has_no_fault(path: Path) -> None:
    assert faults(path) == []


def test_a_new_runbook_has_no_fault(good: Path) -> None:
    assert faults(good) == []


def rewrite(old: str, new: str) -> Callable[[Notebook], None]:
    def change(notebook: Notebook) -> None:
        for cell in notebook["cells"]:
            cell["source"] = "".join(cell["source"]).replace(old, new)

    return change


def first_code(**changes: Any) -> Callable[[Notebook], None]:
    def change(notebook: Notebook) -> None:
        next(c for c in notebook["cells"] if c["cell_type"] == "code").update(changes)

    return change


def same_ids(notebook: Notebook) -> None:
    for cell in notebook["cells"]:
        cell["id"] = "same"


SHOWN = [{"output_type": "stream", "name": "stdout", "text": "shown"}]
KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (rewrite("**Purpose.**", "Purpose:"), "it has not a purpose"),
        (rewrite("**Prerequisites.**", ""), "it has not prerequisites"),
        (rewrite(" · ", " - "), "it has not numbered steps"),
        (rewrite("## Verify", "Verify"), "it has not a verification"),
        (rewrite("## Undo", "## Regret"), "it has not a way to undo"),
        (rewrite("# Good", "Good"), "it does not begin with its title"),
        (first_code(metadata={}), "it has not one cell of parameters"),
        (same_ids, "its cells have not each an id of their own"),
        (first_code(source="1\n" * 13), "cell 2 has more than 12 lines"),
        (first_code(outputs=SHOWN), "cell 2 has outputs"),
        (first_code(execution_count=1), "cell 2 has a count of an execution"),
        (first_code(source="import os.path"), "cell 2 imports os.path"),
        (first_code(source="from requests import get"), "cell 2 imports requests"),
        (first_code(source="smtp_password = 'hunter2'"), "cell 2 gives smtp_password a value"),
        (first_code(source="log_in(token='x')"), "cell 2 gives token a value"),
        (first_code(source=f"text = '{KEY}'"), "cell 2 holds what looks like a secret"),
        (rewrite("Who does it", KEY), "cell 1 holds what looks like a secret"),
        (
            rewrite("rb.apply(plan, ", "plan.apply("),
            "cell 9 changes something without asking: plan.apply",
        ),
        (
            rewrite("dry_run=not apply", "dry_run=False"),
            "its runbook is not a dry run unless apply is True",
        ),
        (rewrite("apply = False", "apply = True"), "it says yes by itself: apply is not False"),
        (
            rewrite("approved = []", 'approved = ["05e838050b7a"]'),
            "it says yes by itself: approved is not []",
        ),
        (
            rewrite("rb.sign_off()", 'rb.decision("Well?", ["yes", "no"], answer="yes")'),
            "it says yes by itself: 'yes' is not ''",
        ),
        (
            rewrite("rb.sign_off()", 'rb.apply(plan, "Prune")'),
            "it does not ask about each plan by itself: a plan is missing or stands twice",
        ),
        (
            rewrite("rb.sign_off()", 'rb.apply(old, "Apply the plan")'),
            "it does not ask about each plan by itself: a title is missing or stands twice",
        ),
        (
            rewrite("rb.apply(plan,", "rb.apply(opskit.Plan.join([plan, old]),"),
            "it asks about several plans at once",
        ),
        (
            rewrite(', after="Apply the plan")', ")"),
            "it verifies what was not done: its step 'Verify' follows none",
        ),
    ],
)
def test_a_fault_is_found(good: Path, change: Callable[[Notebook], None], fault: str) -> None:
    notebook = json.loads(good.read_text())
    change(notebook)
    good.write_text(json.dumps(notebook))

    assert fault in faults(good)


def test_an_output_may_be_kept_on_purpose(good: Path) -> None:
    notebook = json.loads(good.read_text())
    first_code(outputs=SHOWN, metadata={"tags": ["parameters", "keep-output"]})(notebook)
    good.write_text(json.dumps(notebook))

    assert faults(good) == []
