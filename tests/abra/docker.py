"""The docker CLI's own reading of compose files, to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest


def docker_stack_config(
    files: Sequence[Path], variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run ``docker stack config``, which needs no engine; skip the test without it."""
    if shutil.which("docker") is None:
        pytest.skip("the docker CLI is not installed")
    arguments = [argument for file in files for argument in ("-c", str(file))]
    done = subprocess.run(
        ["docker", "stack", "config", *arguments],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unknown shorthand flag" in done.stderr:
        pytest.skip("this docker CLI is older than 'docker stack config'")
    return done
