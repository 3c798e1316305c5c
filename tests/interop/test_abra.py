"""Beside a real abra, where one is installed: both read the same files the same way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from tests.abra.releases import Releases

pytestmark = pytest.mark.skipif(
    shutil.which("abra") is None,
    reason="abra is not on PATH (go install coopcloud.tech/abra/cmd/abra@latest needs a proxy "
    "that serves it)",
)


@pytest.fixture
def root(demo_fleet: DemoFleet, use: Callable[[DemoFleet | DockerdFleet], Path]) -> Path:
    return use(demo_fleet)


def abra(*arguments: str) -> str:
    done = subprocess.run(
        ["abra", *arguments], env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_abra_lists_the_same_apps_on_the_same_servers(root: Path) -> None:
    found: dict[str, Any] = json.loads(abra("app", "ls", "--machine", "--offline"))
    theirs = {
        (server, app["appName"], app["recipe"])
        for server, apps in found.items()
        for app in apps["apps"]
    }
    ours = opskit.Fleet.from_abra().apps()
    assert theirs == set(ours[["server", "app", "recipe"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("app", ["git.coop.example", "cloud.coop.example"])
def test_abra_gives_secrets_the_same_names(root: Path, app: str) -> None:
    said = abra("app", "secret", "ls", app, "--machine", "--chaos", "--offline")
    for secret in opskit.Fleet.from_abra().app(app).secrets:
        assert secret.swarm_name in said


def test_abra_reads_an_app_that_opskit_made(root: Path, tmp_path: Path) -> None:
    abra_dir = Path(os.environ["ABRA_DIR"])
    recipe = Releases(abra_dir / "recipes" / "made")
    recipe.release(
        "1.0.0+1",
        {
            "compose.yml": "version: '3.8'\nservices: {app: {image: 'local/busybox:1'}}\n",
            ".env.sample": "TYPE=made\nDOMAIN=made.example.com\n",
        },
    )
    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_new("made", server="coop.example", domain="made.coop.example").apply()
    assert run.status == "done"
    try:
        found = json.loads(abra("app", "ls", "--machine", "--offline"))
        assert "made.coop.example" in {one["appName"] for one in found["coop.example"]["apps"]}
    finally:
        fleet.rollback(run.id)
