"""Beside a real abra, where one is installed: both read the same files the same way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.secrets.passstore import PassStore
from tests.abra.releases import Releases
from tests.stage import QUICK
from tests.waiting import LIMIT

MODULE = "coopcloud.tech/abra/cmd/abra@latest"


@pytest.fixture(autouse=True, scope="session")
def _abra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have abra on PATH, built if need be; without it nothing here can be tried."""
    with pytest.MonkeyPatch.context() as patch:
        if shutil.which("abra") is None:
            made = tmp_path_factory.mktemp("abra")
            patch.setenv("PATH", f"{made}{os.pathsep}{os.environ['PATH']}")
            _install(made)
        yield


def _install(folder: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("abra is not on PATH, and neither is go")
    done = subprocess.run(
        ["go", "install", MODULE],
        env={**os.environ, "GOBIN": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"abra is not on PATH, and go cannot install it: {done.stderr.strip()[-200:]}")


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
        shutil.rmtree(recipe.folder)


SERVER, MADE = "srv1", "made.coop.example"
STACK = "made_coop_example"
COMPOSE = """\
version: "3.8"
services:
  app:
    image: local/busybox:1
    command: sleep 1000
    stop_grace_period: 0s
    secrets: [token]
    deploy:
      update_config: {monitor: 300ms}
      labels: ["coop-cloud.${STACK_NAME}.version=1.0.0+1"]
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""


@pytest.fixture
def fleet(
    ssh_fleet: DockerdFleet, use: Callable[[DemoFleet | DockerdFleet], Path]
) -> Iterator[opskit.Fleet]:
    """A fleet with a recipe of which no app is made yet; abra reaches servers over ssh only."""
    use(ssh_fleet)
    root = Path(os.environ["ABRA_DIR"])
    Releases(root / "recipes" / "made").release(
        "1.0.0+1",
        {
            "compose.yml": COMPOSE,
            ".env.sample": "TYPE=made\nDOMAIN=made.example.com\n"
            "SECRET_TOKEN_VERSION=v1 # length=20\n",
        },
    )
    yield opskit.Fleet.from_abra()
    path = root / "servers" / SERVER / f"{MADE}.env"
    if path.exists():
        fleet = opskit.Fleet.from_abra()
        if deployed(fleet):
            fleet.plan_undeploy(MADE, QUICK).apply()
        with contextlib.suppress(InputError):  # none may be left
            fleet.plan_remove([(SERVER, MADE, "token")]).apply()
        path.unlink()
    shutil.rmtree(root / "recipes" / "made")


def deployed(fleet: opskit.Fleet) -> bool:
    return len(fleet.ps(MADE)) > 0


def states(fleet: opskit.Fleet) -> dict[str, str]:
    found = fleet.snapshot().secrets.query("app == @MADE")
    return dict(zip(found["version"], found["state"].astype(str), strict=True))


@pytest.mark.swarm
def test_abra_deploys_the_version_that_opskit_rotated_to(
    fleet: opskit.Fleet, password_store: PassStore
) -> None:
    fleet.plan_new("made", server=SERVER, domain=MADE).apply().raise_for_status()
    options = opskit.Options(stable=0.2, timeout=LIMIT, use_pass=True)
    fleet.plan_generate(MADE, None, options).apply().raise_for_status()
    fleet.plan_deploy(MADE, QUICK).apply().raise_for_status()
    (status,) = [
        app
        for app in json.loads(abra("app", "ls", "--status", "--machine", "--offline"))[SERVER][
            "apps"
        ]
        if app["appName"] == MADE
    ]
    assert (status["status"], status["version"]) == ("deployed", "1.0.0+1")

    fleet.plan_rotate([(SERVER, MADE, "token")], options).apply().raise_for_status()
    assert f"{STACK}_token_v2" in abra("app", "secret", "ls", MADE, "--machine", "--offline")
    abra("app", "deploy", MADE, "--no-input", "--force", "--offline", "--no-domain-checks")
    assert states(fleet)["v2"] == "current"
    # abra looks for an entry where it would have written it.
    abra("app", "undeploy", MADE, "--no-input", "--offline")
    abra("app", "secret", "rm", MADE, "--all", "--pass", "--no-input", "--offline")
    assert not password_store.exists(f"hosts/{SERVER}/{MADE}/token")


@pytest.mark.swarm
def test_opskit_sees_what_abra_made(fleet: opskit.Fleet, password_store: PassStore) -> None:
    new = ("app", "new", "made", "--server", SERVER, "--domain", MADE, "--secrets", "--pass")
    abra(*new, "--no-input", "--offline")
    assert len(password_store.read(f"hosts/{SERVER}/{MADE}/token").reveal()) == 20
    assert states(fleet) == {"v1": "undeployed"}
    abra("app", "deploy", MADE, "--no-input", "--offline", "--no-domain-checks")
    assert states(fleet) == {"v1": "current"}
    (row,) = fleet.snapshot().apps.query("app == @MADE").to_dict("records")
    assert (row["deployed_version"], row["chaos"]) == ("1.0.0+1", False)
