"""What a notebook gets from `opskit.forms`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.stage import APP, Stage
from tests.waiting import LIMIT

pytestmark = pytest.mark.slow

FORM = "import opskit, opskit.forms as f; print(repr(f.{call}))"
FIELD = """
import opskit.forms as forms
given = forms.SecretInput("The key", lambda value, who: print(len(value.reveal()), who.username))
"""


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (f"insert(opskit.Fleet.from_abra(), app={APP!r})", f"`opskit secret insert {APP} SECRET`"),
        (f"prune(opskit.Fleet.from_abra(), app={APP!r})", f"`opskit secret prune {APP}`"),
        ("browse(opskit.Fleet.from_abra())", "`opskit secrets`"),
        ("undeploy(opskit.Fleet.from_abra())", "`opskit app undeploy APP`"),
    ],
)
def test_in_plain_python_a_form_says_what_it_is_and_what_does_the_same(
    stage: Stage, call: str, command: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORM.format(call=call)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("opskit form: ")
    assert f"elsewhere use {command}" in done.stdout


def test_in_a_terminal_a_field_asks_without_showing_the_value() -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", FIELD])
    shown = b""
    with os.fdopen(terminal, "r+b", buffering=0) as keys:
        for prompt in (b"The key: ", b"The key, once more: "):
            while not shown.endswith(prompt):
                shown += os.read(keys.fileno(), 1024)
            keys.write(b"c4nary\n")
        try:
            while more := os.read(keys.fileno(), 1024):
                shown += more
        except OSError:  # the child closed its side
            pass
    assert os.waitpid(child, 0)[1] == 0
    assert b"6 " in shown
    assert b"c4nary" not in shown


def test_without_a_terminal_a_field_refuses_in_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIELD],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 1
    assert "there is no terminal to type the value in" in done.stderr


@pytest.mark.slow
@pytest.mark.kernel
def test_a_run_without_people_says_what_it_showed_nobody(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(f"{FIELD}\ndisplay(given)")]
    )
    NotebookClient(
        notebook, iopub_timeout=LIMIT, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    (output,) = notebook.cells[0].outputs
    for kind in ("text/plain", "text/html"):
        assert "Nothing was given. It takes a value in JupyterLab" in output["data"][kind]
