"""A runbook is carried out, and no value of any secret is in what it leaves behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from opskit.demo.engine import Swarm
from opskit.demo.fleet import environment, write_sample
from opskit.demo.sample import UNREACHABLE
from opskit.demo.swarms import sample_swarms
from tests.conftest import embedded
from tests.secrets.canary import encodings, leaks
from tests.waiting import LIMIT

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="opskit-") as folder:
        yield Path(folder)


def values(swarms: dict[str, Swarm]) -> dict[str, str]:
    """Give the value of every secret that exists, by server and name."""
    return {
        f"{server}/{one.spec.name}": (swarm.secrets.value(one.id) or b"").decode()
        for server, swarm in swarms.items()
        for one in swarm.secrets
    }


def left_behind(*folders: Path) -> dict[str, str]:
    return {
        str(path): path.read_bytes().decode("utf-8", "surrogateescape")
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize(
    ("name", "plans"),
    [
        ("02-rotate-one-secret", 1),
        pytest.param("03-bulk-rotation", 2, marks=pytest.mark.nightly),
    ],
)
def test_no_value_is_in_the_executed_copy_the_journal_or_anything_else(
    name: str, plans: int, root: Path, tmp_path: Path
) -> None:
    swarms = sample_swarms()
    before = values(swarms)
    with ExitStack() as serving:
        for server, host in write_sample(root).items():
            if server != UNREACHABLE:
                path = Path(host.removeprefix("unix://"))
                serving.enter_context(embedded(path, swarms[server]))
        read: list[str] = []
        said = ""
        for _ in range(plans + 1):
            ran = subprocess.run(
                [sys.executable, "-m", "opskit", "run", str(REPOSITORY / f"notebooks/{name}.ipynb"),
                 "-p", "apply=true", "-p", "stable=0.2", "-p", f"approved={','.join(read)}"],
                cwd=tmp_path,
                env={"HOME": str(tmp_path), "PATH": os.environ["PATH"],
                     "PYTHONPATH": str(REPOSITORY)} | environment(root),
                capture_output=True, text=True, check=False, timeout=LIMIT,
            )  # fmt: skip
            said += ran.stdout + ran.stderr
            # Without a browser each plan is named once it was read, one after the other.
            read += re.findall(r"give the plan that was read: approved=(\w{12})", ran.stderr)
    assert ran.returncode == 0, ran.stderr
    assert len(read) == plans
    after = values(swarms)
    made = after.keys() - before.keys()
    assert made
    assert not any(after[one].startswith("the demo fleet's") for one in made)

    texts = left_behind(tmp_path, root / "state") | {"output": said}
    assert sum(path.endswith(".ipynb") for path in texts) == plans + 1
    assert any(path.endswith("journal.sqlite") for path in texts)
    for value in {*before.values(), *after.values()}:
        assert [path for path, text in texts.items() if leaks(text, value)] == []
    # The search finds what is there.
    value = after[made.pop()]
    copy = next(text for path, text in texts.items() if path.endswith(".ipynb"))
    for form, spelt in encodings(value).items():
        assert leaks(f"{copy} {spelt} {copy}", value), form
