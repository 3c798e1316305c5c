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
from opskit.demo.fleet import DemoFleet
from opskit.widgets.choices import app_choices, offered, whole_apps
from opskit.widgets.kinds import FORMS
from opskit.widgets.table import table
from tests.audit.test_keys import Use
from tests.conftest import embedded
from tests.stage import APP, SERVER, Stage, staged

BY_DRIVER = "Its value comes from the driver vaultish; change it there."
A_TEMPLATE = "It is a template; insert a new one."
GIVEN = "Not generated: insert it."


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


def browsed(verb: str) -> list[str]:
    """Return why a verb cannot be done, by the rows of the table."""
    told = table(opskit.Fleet.from_abra().snapshot(), FORMS["browse"])["obstacles"][verb]
    return [told["values"][code] for code in told["codes"]]


def test_the_table_says_for_each_verb_and_row_why_not(stage: Stage) -> None:
    stage.set_up()
    for name in ("token_v0", "other_v1"):
        stage.create(name)

    told = table(opskit.Fleet.from_abra().snapshot(), FORMS["browse"])
    names = [
        (told["columns"]["orphan"]["values"][one], told["columns"]["used_by"]["values"][other])
        for one, other in zip(
            told["columns"]["orphan"]["codes"], told["columns"]["used_by"]["codes"], strict=True
        )
    ]
    orphan = f"{stage.stack}_other_v1"
    assert names == [("", "app"), (orphan, ""), ("", ""), ("", "app, worker")]
    in_use = "Services use it: take the app down first, or rotate it and prune."
    assert browsed("remove") == [in_use, "", in_use, in_use]
    assert browsed("rotate") == ["", "No app declares it.", "", ""]
    never = "It has no superseded version."
    assert browsed("prune") == [never, "No app declares it.", "", ""]


def test_of_an_app_it_is_said_whether_a_checkout_that_is_no_release_runs(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    apps = whole_apps(opskit.Fleet.from_abra().snapshot(), FORMS["restart"])
    runs = {app["app"]: dict(app["about"])["Deployed"] for app in apps}
    assert [app for app, said in runs.items() if said.endswith(" (chaos)")] == [
        "neighbourhood-archive-press.garden.example"
    ]


def test_an_app_whose_server_does_not_answer_is_not_said_not_to_be_there(stage: Stage) -> None:
    stage.set_up()
    stage.point_at(f"unix://{stage.root}/nobody-is-here.sock")
    snap = opskit.Fleet.from_abra().snapshot()
    for kind in ("undeploy", "restart"):
        asked = offered(snap, FORMS[kind], APP)["asked"]
        assert asked.startswith(f"{APP} is not read, as {SERVER} is not: ")
    assert offered(snap, FORMS["undeploy"], "no.such")["asked"] == (
        "There is no app no.such here that is deployed."
    )
    (app,) = offered(snap, FORMS["rotate"], APP)["apps"]
    assert {one["obstacle"] for one in app["secrets"]} == {"Its server is not read."}


def test_what_has_its_value_from_elsewhere_is_greyed_with_the_reason(stage: Stage) -> None:
    stage.write_files()
    store(stage, "token_v1", Driver={"Name": "vaultish"})
    store(stage, "key_v1", Templating={"Name": "golang"})

    assert obstacles("rotate") == {"token": BY_DRIVER, "key": A_TEMPLATE}
    assert obstacles("insert") == {"token": BY_DRIVER, "key": ""}
    snap = opskit.Fleet.from_abra().snapshot()
    assert browsed("rotate") == [A_TEMPLATE, BY_DRIVER]
    assert browsed("insert") == ["", BY_DRIVER]
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
    assert browsed("generate") == ["", GIVEN]
