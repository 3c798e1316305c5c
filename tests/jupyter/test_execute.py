"""`opskit run`, as a person or cron starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opskit.cli.app import run
from opskit.demo.fleet import DemoFleet
from opskit.jupyter.execute import without_secrets
from opskit.secrets.value import Secret
from tests.jupyter.notebook import cell, write
from tests.waiting import LIMIT, eventually, linger

REPOSITORY = Path(__file__).parents[2]
CANARY = "c4nary-value-of-a-cell"

pytestmark = pytest.mark.slow
kernel = pytest.mark.kernel


def opskit(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run opskit as cron does: no terminal, hardly an environment."""
    return subprocess.run(
        [sys.executable, "-m", "opskit", *arguments],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
        | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def outputs(path: Path) -> str:
    notebook = json.loads(path.read_text())
    return json.dumps([one.get("outputs") for one in notebook["cells"]])


def only_copy(folder: Path) -> Path:
    (copy,) = (folder / "runs").glob("*.ipynb")
    return copy


@kernel
def test_the_executed_copy_is_private_and_complete_and_the_source_stays(tmp_path: Path) -> None:
    source = write(
        tmp_path / "hello {x}.ipynb",
        cell("code", "name = 'nobody'\nwhere = \"app == 'x'\"\nloud = False", "parameters"),
        cell("code", "import sys\nprint(f'hello {name} {loud} {sys.executable}')"),
    )
    before = source.read_bytes()

    ran = opskit(tmp_path, "run", source.name, "-p", "name=kim", "-p", "loud=yes")

    assert (ran.returncode, ran.stderr) == (0, "")
    copy = tmp_path / ran.stdout.strip()
    assert copy == only_copy(tmp_path)
    assert re.fullmatch(r"\d{8}T\d{6}Z-hello {x}\.ipynb", copy.name)
    assert f"hello kim True {sys.executable}" in outputs(copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert source.read_bytes() == before
    assert sorted(path.name for path in copy.parent.iterdir()) == [copy.name]


@kernel
def test_a_failing_cell_is_named_with_its_heading_and_the_copy_kept(tmp_path: Path) -> None:
    write(
        tmp_path / "bad.ipynb",
        cell("markdown", "# Title\n\n```\n# no heading\n```\n\n## 1 · Look"),
        cell("code", "1 + 1"),
        cell("code", "raise ValueError('the first line\\nthe last line')"),
        cell("markdown", "## 2 · Never"),
        cell("code", "print('never ' + 'reached')"),
    )

    ran = opskit(tmp_path, "run", "bad.ipynb")

    copy = only_copy(tmp_path)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr == (
        'opskit: bad.ipynb: cell [2], under "1 · Look", failed: the last line'
        f" (executed copy: runs/{copy.name})\n"
    )
    assert "ValueError" in outputs(copy)
    assert "never reached" not in outputs(copy)


@kernel
def test_a_kernel_is_ended_without_an_interrupt(tmp_path: Path) -> None:
    # Between cells a kernel ignores interrupts, except for a moment after each: then it complains.
    note = tmp_path / "interrupted"
    listen = (
        "import asyncio, pathlib, signal\n"
        f"def told(*_): pathlib.Path({str(note)!r}).touch()\n"
        "between = lambda: signal.signal(signal.SIGINT, told)\n"
        "asyncio.get_running_loop().call_soon(between)"
    )
    write(tmp_path / "ends.ipynb", cell("code", listen), cell("code", "1 + 1"))

    ran = opskit(tmp_path, "run", "ends.ipynb")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert not note.exists()


@kernel
def test_a_dead_kernel_is_told_like_a_failed_cell(tmp_path: Path) -> None:
    write(
        tmp_path / "dies.ipynb",
        cell("markdown", "## Deadly"),
        cell("code", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
    )

    ran = opskit(tmp_path, "run", "dies.ipynb", "--output", "elsewhere/kept")

    assert ran.returncode == 1
    assert 'under "Deadly", failed: Kernel died' in ran.stderr
    assert len(list((tmp_path / "elsewhere" / "kept").iterdir())) == 1


def test_bad_input_is_status_2_and_leaves_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "some.ipynb", cell("code", "keep = 1", "parameters"))
    (tmp_path / "none.ipynb").write_text("{}")
    (tmp_path / "file").touch()

    for arguments, said in (
        (["gone.ipynb"], "gone.ipynb: cannot be read"),
        (["none.ipynb"], "is not a notebook"),
        (["some.ipynb", "-p", "keep=x"], "takes a whole number. Declared: keep (int, 1)."),
        (["some.ipynb", "-p", "password=x"], "looks like a secret"),
        (["some.ipynb", "--output", "file/runs"], "cannot be written"),
    ):
        assert run(["run", *arguments]) == 2
        complaint = capsys.readouterr().err
        assert said in complaint
        assert len(complaint.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@kernel
def test_values_are_masked_and_typed_input_is_not_kept(tmp_path: Path) -> None:
    write(
        tmp_path / "careless.ipynb",
        cell("code", "from opskit import Secret\nvalue = Secret('c4nary-' + 'value-of-a-cell')"),
        cell("code", "print(value.reveal().decode())\nvalue.reveal()"),
        cell(
            "code",
            "import os, subprocess, sys\n"
            "_ = subprocess.run(['echo', value.reveal().decode()])\n"
            "_ = subprocess.run(['echo', value.reveal().decode()], stdout=sys.stderr)\n"
            "_ = os.write(1, value.reveal()[:9]); _ = os.write(1, value.reveal()[9:])",
        ),
        cell("code", "import ipywidgets\nipywidgets.Password(value='typed' + '-in-a-field')"),
        cell("code", "raise ValueError(value.reveal().decode())"),
    )

    ran = opskit(tmp_path, "run", "careless.ipynb")

    text = only_copy(tmp_path).read_text()
    assert ran.returncode == 1
    assert "failed: ValueError: [redacted]" in ran.stderr
    assert text.count("[redacted]") >= 6
    assert CANARY not in text + ran.stdout + ran.stderr
    assert "typed-in-a-field" not in text


@kernel
def test_nothing_of_the_input_is_remembered(tmp_path: Path) -> None:
    write(
        tmp_path / "history.ipynb",
        cell("code", "manager = get_ipython().history_manager\nmanager.enabled, manager.hist_file"),
    )

    assert opskit(tmp_path, "run", "history.ipynb").returncode == 0

    assert "(False, ':memory:')" in outputs(only_copy(tmp_path))
    assert list(tmp_path.rglob("history.sqlite")) == []


@pytest.mark.nightly
@kernel
def test_what_was_begun_and_not_finished_is_told(tmp_path: Path, demo_fleet: DemoFleet) -> None:
    state = {**demo_fleet.env, "OPSKIT_STATE_DIR": str(tmp_path / "state")}
    write(
        tmp_path / "cut.ipynb",
        cell("code", "import os, opskit\nfleet = opskit.Fleet.from_abra()"),
        cell("code", "plan = fleet.plan_rotate('notes.coop.example', 'session')"),
        cell("code", "plan.apply(on_progress=lambda step: os._exit(1))"),
    )

    ran = opskit(tmp_path, "run", "cut.ipynb", env=state)

    assert ran.returncode == 1
    assert re.search(r"run (\S+) is unfinished\. Finish it: opskit resume \1; ", ran.stderr)
    # The fleet is shared.
    assert opskit(tmp_path, "rollback", "--yes", env=state).returncode == 0


@contextmanager
def long_cell(folder: Path, *more: str) -> Generator[tuple[subprocess.Popen[str], int]]:
    """Start a long cell, and give the process and its kernel's id."""
    write(
        folder / "long.ipynb",
        # In one piece: what is printed in pieces may be sent in pieces.
        cell("code", "import os\nprint(f'kernel {os.getpid()}')"),
        cell("markdown", "## Wait"),
        cell("code", "\n".join([*more, "import time", "time.sleep(300)"])),
        cell("code", "print('never ' + 'reached')"),
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "opskit", "run", "long.ipynb"],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told = re.compile(r"kernel (\d+)")
        printed = eventually(lambda: so_far(folder), "the kernel's number", told.search)
        (kernel,) = told.findall(printed)
        yield process, int(kernel)
    finally:
        process.kill()
        process.communicate()


def so_far(folder: Path) -> str:
    return "".join(map(outputs, folder.glob("runs/*.ipynb")))


@kernel
@pytest.mark.parametrize(
    ("number", "begun"),
    [
        pytest.param(signal.SIGINT, False, id="Ctrl-C at once"),
        pytest.param(signal.SIGTERM, True, id="SIGTERM later"),
        pytest.param(signal.SIGTERM, False, id="SIGTERM at once", marks=pytest.mark.nightly),
        pytest.param(signal.SIGINT, True, id="Ctrl-C later", marks=pytest.mark.nightly),
    ],
)
def test_stopped_it_interrupts_its_cell_and_keeps_how_far_it_came(
    tmp_path: Path, number: signal.Signals, begun: bool
) -> None:
    with long_cell(tmp_path, "import pathlib", "pathlib.Path('begun').touch()") as (
        process,
        kernel,
    ):
        if begun:
            eventually((tmp_path / "begun").exists, "the long cell to have begun")
        process.send_signal(number)
        _, said = process.communicate(timeout=LIMIT)

    assert process.returncode == 130
    assert said.startswith("opskit: interrupting the cell and waiting for it to end; once more")
    assert "opskit: long.ipynb: stopped at cell [" in said
    assert len(said.splitlines()) == 2
    assert "never reached" not in outputs(only_copy(tmp_path))
    assert not Path(f"/proc/{kernel}").exists()


LATE = """
import os, signal, sys, time
from jupyter_client.asynchronous import AsyncKernelClient
from opskit.cli.app import run

send = AsyncKernelClient.execute

def late(self, code, **more):
    if "sleep" in code:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.5)
    return send(self, code, **more)

AsyncKernelClient.execute = late
sys.exit(run(["run", "late.ipynb"]))
"""


@kernel
def test_a_cell_on_its_way_to_the_kernel_is_interrupted_when_it_has_come(tmp_path: Path) -> None:
    write(tmp_path / "late.ipynb", cell("code", "import time\ntime.sleep(300)"))
    ran = subprocess.run(
        [sys.executable, "-c", LATE],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip

    assert ran.returncode == 130
    assert "opskit: late.ipynb: stopped at cell [1]" in ran.stderr
    assert "KeyboardInterrupt" in outputs(only_copy(tmp_path))


@kernel
def test_a_cell_that_does_not_mind_is_ended_by_the_second_signal(tmp_path: Path) -> None:
    stubborn = (
        "import pathlib, signal",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "pathlib.Path('deaf').touch()",
    )
    with long_cell(tmp_path, *stubborn) as (process, kernel):
        eventually((tmp_path / "deaf").exists, "the cell to mind no signal")
        process.send_signal(signal.SIGTERM)
        # It has heard the first: of two at once it would see one.
        assert process.stderr is not None
        assert process.stderr.readline().startswith("opskit: interrupting the cell and waiting")
        linger(1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=LIMIT)

    assert process.returncode == 130
    assert 'stopped at cell [2], under "Wait" (executed copy: ' in said
    assert not Path(f"/proc/{kernel}").exists()


def test_known_values_are_masked_in_the_parent_too() -> None:
    held = Secret(CANARY)
    notebook: dict[str, Any] = {
        "cells": [
            {"cell_type": "code", "source": "x", "metadata": {"tags": ["a", "b"]},
             "outputs": [{"output_type": "stream", "text": f"it is {CANARY}"}]}
        ],
        "metadata": {"widgets": {"application/x": {"state": {}}}},
    }  # fmt: skip

    cleaned = without_secrets(notebook)

    assert cleaned["cells"][0]["outputs"][0]["text"] == "it is [redacted]"
    assert cleaned["cells"][0]["metadata"]["tags"] == ["a", "b"]
    assert "widgets" not in cleaned["metadata"]
    del held


@pytest.mark.nightly
@kernel
def test_a_copy_never_takes_the_name_of_another(tmp_path: Path) -> None:
    # In one process, as a person with two terminals meets within one second.
    path = write(tmp_path / "same.ipynb", cell("code", "raise SystemExit(3)"))
    command = [sys.executable, "-m", "opskit", "run", path.name]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [one.wait(LIMIT) for one in both] == [1, 1]
    assert len(list((tmp_path / "runs").iterdir())) == 2


DIES = """import os, signal, opskit
rb = opskit.Runbook("Move the mail")
with rb.step("Stop it"):
    pass
with rb.step("Copy it"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@kernel
def test_a_kernel_that_dies_in_a_step_is_told_with_the_step_and_how_to_go_on(
    tmp_path: Path,
) -> None:
    ran = opskit(tmp_path, "run", str(write(tmp_path / "mail.ipynb", cell("code", DIES))))
    assert ran.returncode == 1
    assert "(Move the mail) stopped in its step 'Copy it'. Mend the cause and run" in ran.stderr
