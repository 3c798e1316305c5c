"""Two servers that lead to one swarm: what either declares is declared; the docker CLI judges."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

import opskit
from opskit.cli.app import run as opskit_command
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import write_contexts
from opskit.errors import InputError
from opskit.views.frame import View
from tests.stage import APP, QUICK, SERVER, Stage

OTHER, BLOG = "two.example", "blog.example"
ONE = """
services:
  app: {image: x, secrets: [signing]}
secrets:
  signing: {external: true, name: "${STACK_NAME}_signing_${SECRET_SIGNING_VERSION}"}
"""
ENV = "TYPE=one\nSTACK_NAME={stack}\nSECRET_SIGNING_VERSION={version}  # generate=false\n"


@dataclass(slots=True)
class Twice:
    """A stage that two contexts lead to, each with the folder of a server."""

    stage: Stage

    @property
    def blog(self) -> str:
        """The stack of the app that the other folder declares."""
        return f"{self.stage.stack}-blog"

    def declare_blog(self, stack: str = "", version: str = "v1") -> None:
        text = ENV.format(stack=stack or self.blog, version=version)
        folder = self.stage.root / "abra" / "servers" / OTHER
        folder.mkdir(exist_ok=True)
        (folder / f"{BLOG}.env").write_text(text)

    def lead_the_other_to(self, host: str) -> None:
        write_contexts(self.stage.root / "docker", {SERVER: self.stage.host, OTHER: host})

    def store(self, *names: str) -> None:
        for name in names:
            self.stage.engine.create_secret(name, b"only here", {})

    def in_swarm(self) -> set[str]:
        """Return the stored names, by the docker CLI."""
        done = subprocess.run(
            ["docker", "--host", self.stage.host, "secret", "ls", "--format", "{{.Name}}"],
            env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return {name for name in done.stdout.split() if name.startswith(self.stage.stack)}


@pytest.fixture
def twice(stage: Stage) -> Twice:
    stage.write_files()
    recipe = stage.root / "abra" / "recipes" / "one"
    recipe.mkdir()
    (recipe / "compose.yml").write_text(ONE)
    stage.env_file.write_text(ENV.format(stack=stage.stack, version="v1"))
    made = Twice(stage)
    made.declare_blog()
    made.lead_the_other_to(stage.host)
    made.store(f"{stage.stack}_signing_v1", f"{made.blog}_signing_v1")
    return made


def fleet(servers: list[str] | None = None) -> opskit.Fleet:
    return opskit.Fleet.from_abra(servers=servers)


def found_by(check: str) -> list[Any]:
    findings = fleet().snapshot().audit()
    return list(findings.records(findings["id"] == check))


def states(twice: Twice, view: View) -> dict[tuple[str, str], str]:
    rows = view.keep(view["swarm_name"].str.startswith(twice.stage.stack)).records()
    return {(row.server, row.swarm_name): row.state for row in rows}


def test_what_either_declares_is_no_orphan_and_nothing_removes_it(twice: Twice) -> None:
    wiki, blog = f"{twice.stage.stack}_signing_v1", f"{twice.blog}_signing_v1"
    snap = fleet().snapshot()

    assert states(twice, snap.secrets) == {
        (SERVER, wiki): "undeployed",
        (OTHER, blog): "undeployed",
    }
    (finding,) = found_by("swarm-shared")
    assert (finding.server, finding.severity) == (SERVER, "medium")
    assert finding.what.startswith(f"{SERVER} and {OTHER} lead to one swarm")

    opskit_command(["secret", "remove", "--orphans", "--yes", "--where",
                    f"secret_id != '' and swarm_name == '{blog}'"])  # fmt: skip
    with pytest.raises(InputError, match="there is nothing to prune"):
        fleet().plan_prune(keep=0)
    assert twice.in_swarm() == {wiki, blog}


def test_what_nobody_declares_is_told_and_removed_once(twice: Twice) -> None:
    lost = f"{twice.stage.stack}-lost_signing_v1"
    twice.store(lost)
    snap = fleet().snapshot()
    view = snap.secrets.keep(snap.secrets["swarm_name"] == lost)

    assert states(twice, view) == {(SERVER, lost): "orphan"}
    run = fleet().plan_remove(view).apply()
    assert run.status == "done", run.errors
    assert lost not in twice.in_swarm()


def test_old_versions_are_those_of_the_app_that_declares_the_new_one(twice: Twice) -> None:
    old, new = f"{twice.blog}_signing_v1", f"{twice.blog}_signing_v2"
    twice.store(new)
    twice.declare_blog(version="v2")
    found = states(twice, fleet().snapshot().secrets)
    assert {place: state for place, state in found.items() if place[1] in (old, new)} == {
        (OTHER, old): "superseded",
        (OTHER, new): "undeployed",
    }
    plan = fleet().plan_prune(f"{OTHER}/{BLOG}", keep=0)
    assert plan.changes[["server", "from"]].to_numpy().tolist() == [[OTHER, "v1"]]


def test_of_a_server_that_does_not_answer_nobody_knows_which_swarm_it_is(
    twice: Twice, capsys: pytest.CaptureFixture[str]
) -> None:
    blog = f"{twice.blog}_signing_v1"
    twice.lead_the_other_to("unix:///nowhere/docker.sock")
    snap = fleet().snapshot()
    mine = snap.secrets.keep(snap.secrets["swarm_name"] == blog)
    mine = mine.keep(mine["server"] == SERVER)

    assert states(twice, mine) == {(SERVER, blog): "unknown"}
    arguments = ["secret", "remove", "--orphans", "--yes", "--where", f"swarm_name == '{blog}'"]
    assert opskit_command(arguments) != 0
    assert (
        f"{OTHER}/{BLOG} may declare it, and nobody knows whether {OTHER} leads to this swarm"
        in (capsys.readouterr().err)
    )
    with pytest.raises(InputError, match=f"{OTHER}/{BLOG} may declare it"):
        fleet().plan_remove(mine)
    assert blog in twice.in_swarm()


def test_a_fleet_of_chosen_servers_knows_what_the_others_declare(twice: Twice) -> None:
    blog = f"{twice.blog}_signing_v1"
    found = states(twice, fleet([SERVER]).snapshot().secrets)

    assert found[SERVER, blog] == "unknown"
    assert {server for server, _ in found} == {SERVER}


@pytest.mark.swarm
def test_what_another_swarm_s_server_declares_says_nothing_of_this_one(
    twice: Twice, real_fleet: DockerdFleet
) -> None:
    twice.lead_the_other_to(real_fleet.host("srv2"))
    found = states(twice, fleet().snapshot().secrets)
    blog = f"{twice.blog}_signing_v1"

    assert found[SERVER, blog] == "orphan"
    assert found[OTHER, blog] == "undeployed"
    assert not found_by("swarm-shared")


def test_an_unread_file_of_either_folder_keeps_what_it_may_declare(twice: Twice) -> None:
    lost = f"{twice.stage.stack}-lost_signing_v1"
    twice.store(lost)
    env = twice.stage.root / "abra" / "servers" / OTHER / f"{BLOG}.env"
    env.write_bytes(b"\0GITCRYPT\0\x01\x02")
    snap = fleet().snapshot()
    view = snap.secrets.keep(snap.secrets["observed"])

    assert states(twice, view) == {
        (SERVER, f"{twice.stage.stack}_signing_v1"): "undeployed",
        (SERVER, f"{twice.blog}_signing_v1"): "unknown",
        (SERVER, lost): "unknown",
    }
    with pytest.raises(InputError, match=f"{BLOG} may declare it, whose files cannot be read"):
        fleet().plan_remove(view.keep(view["swarm_name"] == lost))


def test_one_stack_name_in_both_folders_is_a_collision(twice: Twice) -> None:
    twice.declare_blog(stack=twice.stage.stack)
    for app, other in ((APP, f"{OTHER}/{BLOG}"), (BLOG, f"{SERVER}/{APP}")):
        for plan in (fleet().plan_deploy, fleet().plan_undeploy):
            with pytest.raises(InputError, match=f"{app} and {other} share the stack name"):
                plan(app, QUICK)
    (finding,) = found_by("stack-collision")
    assert finding.what == f"shares the stack name {twice.stage.stack} with {OTHER}/{BLOG}."


def test_a_shared_secret_is_not_removed_from_under_the_other_folder_s_app(twice: Twice) -> None:
    twice.declare_blog(stack=twice.stage.stack)
    with pytest.raises(InputError, match=f"is declared as {OTHER}/{BLOG} signing too"):
        fleet().plan_remove(APP, "signing")
