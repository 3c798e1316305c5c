"""What forms offer, and what they grey out with the reason why."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.cli.app import run
from opskit.demo.engine import Swarm
from opskit.widgets.choices import app_choices, table
from opskit.widgets.kinds import FORMS
from tests.conftest import embedded
from tests.stage import Stage, staged

BY_DRIVER = "Its value comes from the driver vaultish; change it there."
A_TEMPLATE = "It is a template; insert a new one."
GIVEN = "The recipe says that it is not generated: insert it."


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A server with a secret driver."""
    swarm = Swarm("driven")
    swarm.secrets.plugins = frozenset({"vaultish"})
    with embedded(tmp_path / "docker.sock", swarm) as host:
        yield from staged(tmp_path, host, monkeypatch)


def store(stage: Stage, name: str, **more: Any) -> None:
    data = {} if "Driver" in more else {"Data": base64.b64encode(b"{{ x }}").decode()}
    stage.post("/secrets/create", {"Name": f"{stage.stack}_{name}", "Labels": {}} | data | more)


def obstacles(kind: str) -> dict[str, str]:
    (app,) = app_choices(opskit.Fleet.from_abra().snapshot(), FORMS[kind])
    return {secret["name"]: secret["obstacle"] for secret in app["secrets"]}


def test_what_has_its_value_from_elsewhere_is_greyed_with_the_reason(stage: Stage) -> None:
    stage.write_files()
    store(stage, "token_v1", Driver={"Name": "vaultish"})
    store(stage, "key_v1", Templating={"Name": "golang"})

    assert obstacles("rotate") == {"token": BY_DRIVER, "key": A_TEMPLATE}
    assert obstacles("insert") == {"token": BY_DRIVER, "key": ""}
    snap = opskit.Fleet.from_abra().snapshot()
    browsed = table(snap, FORMS["browse"])["columns"]["obstacle"]
    assert [browsed["values"][code] for code in browsed["codes"]] == [A_TEMPLATE, BY_DRIVER]
    (app,) = app_choices(snap, FORMS["rotate"])
    assert {one["name"]: one["hint"] for one in app["secrets"]} == {
        "token": "driver vaultish",
        "key": "template golang",
    }
    shown = snap.secrets.set_index("secret")[["driver", "templating"]].fillna("")
    assert shown.loc["token"].tolist() == ["vaultish", ""]
    assert shown.loc["key"].tolist() == ["", "golang"]


def test_opskit_secrets_shows_drivers_and_templates_where_there_are_some(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.write_files()
    assert run(["secrets"]) == 0
    assert "driver" not in capsys.readouterr().out
    store(stage, "token_v1", Driver={"Name": "vaultish"})
    store(stage, "key_v1", Templating={"Name": "golang"})
    assert run(["secrets"]) == 0
    said = capsys.readouterr().out
    for word in ("driver", "vaultish", "templating", "golang"):
        assert word in said


def test_that_holds_for_a_version_that_is_still_to_come(stage: Stage) -> None:
    stage.write_files()
    store(stage, "token_v1", Driver={"Name": "vaultish"})
    store(stage, "key_v1", Templating={"Name": "golang"})
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"'v1'", b"'v2'").replace(b"=v1", b"=v2"))

    assert obstacles("generate") == {"token": BY_DRIVER, "key": A_TEMPLATE}
    assert obstacles("insert") == {"token": BY_DRIVER, "key": ""}


def test_a_form_makes_nothing_up_that_the_recipe_says_comes_from_elsewhere(stage: Stage) -> None:
    stage.write_files()
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"length=40", b"generate=false"))

    assert obstacles("generate") == {"token": GIVEN, "key": ""}
    assert obstacles("insert") == {"token": "", "key": ""}
    browsed = table(opskit.Fleet.from_abra().snapshot(), FORMS["browse"])["columns"]["obstacle"]
    assert [browsed["values"][code] for code in browsed["codes"]] == ["", GIVEN]
