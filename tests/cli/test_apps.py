"""`opskit app`, on the demo fleet and on a real engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.secrets.value import Secret
from tests.run.test_stacks import NEW, OLD, two_releases
from tests.stage import APP, Stage
from tests.waiting import eventually

Use = Callable[[DemoFleet | DockerdFleet], Path]
Capture = pytest.CaptureFixture[str]
QUICK = ["--stable", "0.2", "--timeout", "180", "--yes"]


@pytest.fixture
def stage(real_stage: Stage) -> Stage:
    two_releases(real_stage)
    return real_stage


def listed(capsys: Capture, *command: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run([*command, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.swarm
def test_an_app_from_deploy_to_undeploy(stage: Stage, capsys: Capture) -> None:
    (row,) = listed(capsys, "app", "ls", "-S")
    assert (row["deployed"], row["upgrades"]) == (False, None)
    assert run(["app", "deploy", APP, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"stack deploy --compose-file … {stage.stack}" in out
    assert OLD in out

    assert run(["app", "deploy", APP, *QUICK]) == 0
    (row,) = listed(capsys, "app", "ls", "-S")
    assert (row["app"], row["recipe"], row["recipe_version"]) == (APP, "shop", OLD)
    assert (row["deployed"], row["running"], row["desired"]) == (True, 2, 2)
    assert (row["deployed_version"], row["chaos"], row["upgrades"]) == (OLD, False, [NEW])

    tasks = listed(capsys, "app", "ps", APP)
    assert {task["state"] for task in tasks} == {"running"}
    assert sorted(task["service"] for task in tasks) == [
        f"{stage.stack}_app", f"{stage.stack}_worker"
    ]  # fmt: skip

    eventually(lambda: listed(capsys, "app", "logs", APP, "app"), "a line of the app's log")
    (line,) = listed(capsys, "app", "logs", APP)
    assert (line["service"], line["stream"]) == ("app", "stdout")
    assert line["line"] == f"release {OLD} for {APP}"
    assert run(["app", "logs", APP, "--tail", "5"]) == 0
    assert capsys.readouterr().out.endswith(f" app | release {OLD} for {APP}\n")
    fleet = opskit.Fleet.from_abra()
    found = fleet.app(APP)
    aside = stage.env_file.rename(stage.env_file.with_suffix(".aside"))
    assert list(fleet.logs(found)["line"]) == [f"release {OLD} for {APP}"], "no file is read again"
    aside.rename(stage.env_file)
    held = Secret(f"release {OLD}")
    (line,) = listed(capsys, "app", "logs", APP)
    assert line["line"] == f"[redacted] for {APP}"
    del held
    assert listed(capsys, "app", "logs", APP, "--since", "2999-01-01T00:00:00+00:00") == []

    assert run(["app", "restart", APP, "app", *QUICK]) == 0
    assert len(listed(capsys, "app", "ps", APP, "--past")) == 3
    assert run(["app", "undeploy", APP, "--yes"]) == 0
    assert listed(capsys, "app", "ps", APP) == []
    assert run(["app", "logs", APP]) == 2
    assert "is not deployed" in capsys.readouterr().err


def test_a_value_in_an_error_is_masked(demo_fleet: DemoFleet, use: Use, capsys: Capture) -> None:
    use(demo_fleet)
    held = Secret("c4nary-in-a-message")
    assert run(["app", "ps", "c4nary-in-a-message"]) == 2
    assert capsys.readouterr().err.startswith("opskit: there is no app called '[redacted]'.")
    del held


def test_listing_apps_without_asking_any_server(
    demo_fleet: DemoFleet, use: Use, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(demo_fleet)
    everything = listed(capsys, "apps")
    monkeypatch.setenv("DOCKER_CONFIG", "/nonexistent")
    rows = listed(capsys, "app", "ls")
    assert [row["app"] for row in rows] == [row["app"] for row in everything if row["env_file"]]
    assert set(rows[0]) == {"server", "recipe", "app", "recipe_version"}


@pytest.mark.slow
def test_the_catalogue_knows_upgrades_that_were_not_fetched(use: Use, capsys: Capture) -> None:
    with DemoFleet() as fleet:
        root = use(fleet)
        abra = next(root.rglob("servers")).parent
        (abra / "catalogue").mkdir()
        entry = {"gitea": {"name": "gitea", "versions": [{"9.9.9+1.99.0-rootless": {}}, {"x": {}}]}}
        (abra / "catalogue" / "recipes.json").write_text(json.dumps(entry))
        where = "recipe == 'gitea' and deployed and not chaos"
        rows = listed(capsys, "app", "ls", "-S", "--where", where)
    assert rows
    assert all(row["upgrades"][-1] == "9.9.9+1.99.0-rootless" for row in rows)


@pytest.mark.parametrize("command", [["ps"], ["logs"], ["deploy"], ["undeploy"], ["restart"]])
def test_an_app_that_is_not_there_is_named(
    demo_fleet: DemoFleet, use: Use, capsys: Capture, command: list[str]
) -> None:
    use(demo_fleet)
    assert run(["app", *command, "nowhere.example"]) == 2
    assert "there is no app called 'nowhere.example'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["deploy", "undeploy"])
def test_an_app_whose_stack_another_app_has_too_is_left_alone(
    demo_fleet: DemoFleet, use: Use, capsys: Capture, command: str
) -> None:
    use(demo_fleet)
    assert run(["app", command, "padsold.workshop.example", "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert "padsold.workshop.example and pads.workshop.example share the stack name pads" in said
    assert "opskit app config workshop.example/padsold.workshop.example" in said
