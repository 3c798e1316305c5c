"""What failed in a parallel run is tried once more, alone, and never silently."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = {
    "late": "assert 'PYTEST_XDIST_WORKER' not in os.environ, 'the machine was busy'",
    "wrong": "assert False, 'it is wrong'",
    "good": "assert True",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small test suite with this one's plugin."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(
        "from tests import late\ndef pytest_configure(config):\n    late.register(config)\n"
    )
    return tmp_path


def run(project: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run some tests with two workers."""
    for name in names:
        (project / f"test_{name}.py").write_text(
            f"import os\ndef test_{name}():\n    {TESTS[name]}\n"
        )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider"],
        cwd=project,
        env={
            **clean,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "-p xdist",
        },
        check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_test_that_passes_alone_is_named_at_the_very_end_with_its_first_failure(
    project: Path,
) -> None:
    ended = run(project, "late", "good")

    assert ended.returncode == 0, ended.stdout
    *_, last = ended.stdout.strip().splitlines()
    assert "1 passed" in last
    assert "1 late" in last
    block = ended.stdout[ended.stdout.index("late under load") :]
    assert "late under load: test_late.py::test_late" in block
    assert "the machine was busy" in block
    assert "FAILURES" not in ended.stdout


@pytest.mark.slow
def test_a_test_that_fails_again_fails_the_run(project: Path) -> None:
    ended = run(project, "late", "wrong", "good")

    assert ended.returncode == 1, ended.stdout
    *_, last = ended.stdout.strip().splitlines()
    assert "1 failed" in last
    assert "1 late" in last
    assert "alone, once more: test_wrong.py::test_wrong failed again" in ended.stdout
    assert "it is wrong" in ended.stdout


def test_a_run_in_which_nothing_fails_says_nothing_of_it(project: Path) -> None:
    ended = run(project, "good")

    assert ended.returncode == 0, ended.stdout
    assert "late" not in ended.stdout
