"""Binder's build, in a clean environment, as somebody without rights and without Docker."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
BINDER = REPOSITORY / "binder"


def unprivileged(home: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run something with nobody's rights, none of this environment, and the clean one's PATH."""
    nobody = pwd.getpwnam("nobody")
    return subprocess.run(
        [str(part) for part in command],
        cwd=home / "repository",
        env={
            "HOME": str(home),
            "PATH": f"{home / 'venv' / 'bin'}:/usr/bin:/bin",
            **{key: value for key, value in os.environ.items() if key.startswith("PIP_")},
        },
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_whatever_binder_starts_runs_inside_the_demo_fleet(tmp_path: Path) -> None:
    # The `opskit` that the script finds is this environment's, wherever that is.
    (tmp_path / "opskit").write_text(f'#!/bin/sh\nexec {sys.executable} -m opskit "$@"\n')
    (tmp_path / "opskit").chmod(0o755)
    ran = subprocess.run(
        [BINDER / "start", "opskit", "servers", "--format", "csv"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY),
             "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "coop.example" in ran.stdout, ran.stderr


def test_binder_installs_what_the_lab_needs_in_the_versions_that_ci_tests() -> None:
    lines = (BINDER / "requirements.txt").read_text().splitlines()
    constraint, wanted = (line for line in lines if not line.startswith("#"))
    assert (BINDER / constraint.removeprefix("-c ")).is_file()
    # Where repo2docker installs from is the repository.
    assert re.fullmatch(r"\.(\[\w+\])?", wanted)
    assert re.fullmatch(r"python-3\.\d+\n", (BINDER / "runtime.txt").read_text())


@pytest.mark.nightly
@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="giving up rights needs root")
def test_the_build_works_without_rights_and_without_docker() -> None:
    # Under /tmp itself: pytest's own folders are closed to others.
    home = Path(tempfile.mkdtemp(prefix="opskit-binder-", dir="/tmp"))
    repository = home / "repository"
    repository.mkdir()
    try:
        files = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\0")
        for name in filter(None, files):
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, repository / name)
        # The system's: this one's may be in a folder that is closed to others.
        subprocess.run(["/usr/bin/python3", "-m", "venv", home / "venv"], check=True)
        subprocess.run(["chown", "-R", "nobody", home], check=True)

        built = unprivileged(home, "pip", "install", "-q", "-r", "binder/requirements.txt")
        assert built.returncode == 0, built.stderr
        # What `opskit lab` copies where there is no checkout.
        assert list(home.glob("venv/lib/*/site-packages/opskit/notebooks/00-start-here.ipynb"))
        notebooks = sorted((repository / "notebooks").glob("*.ipynb"))
        ran = unprivileged(home, "binder/start", "jupyter", "execute", *notebooks)
        assert ran.returncode == 0, ran.stderr
    finally:
        shutil.rmtree(home, ignore_errors=True)
