"""What ``import opskit`` promises: its names, their documentation, and how its objects show."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest

import opskit
from opskit.demo.fleet import DemoFleet
from opskit.swarm.transport import TRANSPORT

CANARY = "c4nary-in-a-repr"
SCRIPT = "<script>alert(1)</script>"


def test_what_is_listed_is_what_is_visible() -> None:
    assert opskit.__all__ == sorted(opskit.__all__)
    assert dir(opskit) == opskit.__all__
    for name in opskit.__all__:
        assert getattr(opskit, name) is not None
    assert opskit.__version__ == metadata.version("opskit")


def test_what_stands_in_the_package_is_listed_or_private() -> None:
    code = "import opskit; print(*vars(opskit))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = {"errors", "inert", "annotations"}
    helpers = {"import_module", "TYPE_CHECKING"}
    found = {name for name in ran.stdout.split() if not name.startswith("_")}
    assert found - modules - helpers <= set(opskit.__all__)


def test_pandas_and_jupyter_are_loaded_only_when_they_are_needed() -> None:
    code = "import opskit, sys; dir(opskit); print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "ipywidgets", "importlib.metadata"} & set(ran.stdout.split())


def members(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """Give the public functions, methods and properties of a class or module of ours."""
    for member in getattr(thing, "__all__", dir(thing)):
        found = inspect.getattr_static(thing, member)
        for inner in ("__func__", "fget", "func"):
            found = getattr(found, inner, found)
        is_ours = (getattr(found, "__module__", None) or "").startswith("opskit")
        if callable(found) and is_ours and not member.startswith("_"):
            yield f"{name}.{member}", found


def test_everything_public_says_in_a_sentence_what_it_is() -> None:
    things = [(name, getattr(opskit, name)) for name in opskit.__all__ if name != "__version__"]
    documented = dict(things) | {k: v for one in things for k, v in members(*one)}
    silent = [
        name
        for name, thing in documented.items()
        if not (inspect.getdoc(thing) or "").partition("\n")[0].endswith((".", ":"))
    ]
    assert {
        "Fleet.plan_rotate",
        "Snapshot.secrets",
        "Plan.apply",
        "Run.steps",
        "forms.approve",
    } <= documented.keys()
    assert silent == []


@pytest.fixture(scope="module")
def fleet(demo_fleet: DemoFleet) -> Iterator[opskit.Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo_fleet.env.items():
            patch.setenv(name, value)
        yield opskit.Fleet.from_abra()
    TRANSPORT.close()


def shown(thing: Any) -> dict[str, str]:
    """Give what a notebook shows of something."""
    return dict(thing._repr_mimebundle_())


def test_a_fleet_shows_its_folder_and_its_apps(fleet: opskit.Fleet) -> None:
    assert repr(fleet) == f"<Fleet {fleet.root}>"
    some = opskit.Fleet(fleet.root, servers=["mutual.example", "coop.example"])
    assert repr(some) == f"<Fleet {fleet.root}, only coop.example, mutual.example>"
    assert shown(some)["text/plain"] == repr(some)
    assert "cloud.coop.example" in shown(some)["text/html"]
    assert "garden.example" not in shown(some)["text/html"]


def test_a_fleet_whose_folder_is_gone_shows_itself_all_the_same() -> None:
    gone = opskit.Fleet("/nonexistent")
    assert shown(gone) == {"text/plain": "<Fleet /nonexistent>"}


def test_a_snapshot_shows_its_time_and_its_servers(fleet: opskit.Fleet) -> None:
    snap = fleet.snapshot()
    taken = f"{snap.facts.taken_at:%Y-%m-%d %H:%M}"
    assert repr(snap) == f"<Snapshot of 6 servers, 2 missing, {taken} UTC>"
    html = shown(snap)["text/html"]
    assert "&lt;Snapshot of 6 servers" in html
    assert [html.count(f">{name}<") for name in snap.servers["server"]] == [1] * 6


def test_help_and_completion_name_each_option_of_a_run(fleet: opskit.Fleet) -> None:
    plan = fleet.plan_restart("notes.coop.example")
    options = ["max_parallel", "keep_going", "identity", "on_progress"]
    for method, own in (
        (plan.apply, ["confirm", "on_made"]),
        (fleet.resume, ["run"]),
        (fleet.rollback, ["run"]),
    ):
        assert list(inspect.signature(method).parameters) == [*own, *options]
    documented = inspect.getdoc(opskit.RunOptions) or ""
    assert all(f"\n{name}\n" in documented for name in options)


def test_a_plan_shows_in_short_what_it_is_and_in_a_notebook_what_it_changes(
    fleet: opskit.Fleet,
) -> None:
    secret = opskit.Secret(CANARY)
    plan = fleet.plan_insert("cloud.coop.example", "admin_password", secret)
    assert repr(plan) == f"<Plan to insert: 1 change of 1 stack on 1 server, {plan.digest[:12]}>"
    assert "admin password" in shown(plan)["text/html"] or "admin_password" in str(shown(plan))
    assert CANARY not in repr(plan) + str(shown(plan))


def test_a_run_shows_how_it_ended_escaped_and_without_values() -> None:
    secret = opskit.Secret(CANARY)
    run = opskit.Run(
        id="20261128-1",
        status="partly-rolled-back",
        stacks={"rolled-back": 1, "done": 2},
        errors=(f"coop.example wiki: {SCRIPT} {secret.reveal().decode()}",),
        notes=("one node is down",),
    )
    assert repr(run) == "<Run 20261128-1: partly-rolled-back, stacks: 2 done, 1 rolled-back>"
    html = shown(run)["text/html"]
    assert "2 done, 1 rolled-back" in html
    assert "one node is down" in html
    assert "&lt;script&gt;" in html
    assert SCRIPT not in html
    assert CANARY not in html + repr(run)
    assert repr(opskit.Run(id="1", status="done")) == "<Run 1: done>"
