"""What a redeploy changes of what runs is named for each service before it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

import opskit
from opskit.plan.data import parts_view
from tests.abra.releases import Releases
from tests.stage import APP, QUICK, Stage

pytestmark = pytest.mark.slow

OLD = "1.0.0+1"
COMPOSE = """\
version: "3.8"
services:
  app:
    image: local/busybox:1
    command: sleep 1000
    stop_grace_period: 0s
    secrets: [token]
    environment: [COLOUR=$COLOUR, FIXED=1]
    deploy: {update_config: {monitor: 300ms}}
  worker: {image: "local/busybox:1", command: sleep 1000, environment: {KEPT: "yes"}}
  migrate: {image: "local/busybox:1", command: "true", deploy: {mode: replicated-job}}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""
JOB = "migrate runs once more"


@pytest.fixture
def recipe(embedded_stage: Stage) -> Releases:
    """An app that runs as its files say."""
    embedded_stage.write_files()
    embedded_stage.create("token_v1")
    write(embedded_stage)
    made = Releases(embedded_stage.root / "abra" / "recipes" / "shop")
    made.release(OLD, {"compose.yml": COMPOSE})
    plan().apply().raise_for_status()
    return made


def write(stage: Stage, more: str = "COLOUR=red\n") -> None:
    stage.env_file.write_text(
        f"TYPE=shop:{OLD}\nSTACK_NAME={stage.stack}\nSECRET_TOKEN_VERSION=v1\n{more}"
    )


def plan(version: str = "") -> opskit.Plan:
    return opskit.Fleet.from_abra().plan_deploy(APP, QUICK, version=version)


def said(made: opskit.Plan) -> tuple[list[str], list[str]]:
    """Return what restarts, and the parts of the note."""
    (row,) = made.changes.records()
    return list(row.restarts), row.note.split("; ")


def test_what_runs_as_the_files_say_restarts_nothing_but_jobs(recipe: Releases) -> None:
    assert said(plan()) == (["migrate"], ["the whole stack", JOB])


def test_variables_of_the_env_are_named_and_their_values_are_not(
    recipe: Releases, embedded_stage: Stage
) -> None:
    write(embedded_stage, "COLOUR=c4nary\nMORE=c4nary\n")
    made = plan()
    # The service called app gets the whole environment, as with abra.
    assert said(made) == (
        ["app", "migrate"], ["the whole stack", JOB, "app: other environment (COLOUR, MORE)"],
    )  # fmt: skip
    assert "c4nary" not in made.to_json()
    assert made.apply().status == "done"
    assert said(plan())[0] == ["migrate"]


def test_commands_and_variables_of_another_version_are_named_for_each_service(
    recipe: Releases,
) -> None:
    after = COMPOSE.replace("command: sleep 1000\n", "command: sleep 2000\n")
    after = after.replace('{KEPT: "yes"}', '{KEPT: "no"}, entrypoint: ["/bin/sh"]')
    recipe.release("2.0.0+1", {"compose.yml": after})
    restarts, notes = said(plan("2.0.0+1"))
    assert restarts == ["app", "migrate", "worker"]
    assert "app: other command, environment (TYPE)" in notes
    assert "worker: other entrypoint, environment (KEPT)" in notes


def test_what_a_deploy_changes_is_named_part_by_part_and_what_undoing_it_leaves(
    recipe: Releases,
) -> None:
    with_data = COMPOSE.replace("  worker: {", "  worker: {volumes: [kept:/kept], ") + (
        "volumes: {kept: {}}\n"
    )
    recipe.release("2.0.0+1", {"compose.yml": with_data})
    plan("2.0.0+1").apply().raise_for_status()
    assert plan().data.consequences.lasting == ()

    volumes = 'worker: {volumes: [kept:/kept], image: "local/busybox'
    after = with_data.replace(f"{volumes}:1", f"{volumes}:2")
    after = after.replace("  migrate:", '  extra: {image: "local/busybox:1"}\n  migrate:')
    recipe.release("3.0.0+1", {"compose.yml": after})
    made = plan("3.0.0+1")
    rows = {
        (row.service if isinstance(row.service, str) else "", row.what): (row.before, row.after)
        for row in parts_view(made.data).records()
    }
    assert rows == {
        ("", "TYPE of the .env"): (["shop:2.0.0+1"], ["shop:3.0.0+1"]),
        ("worker", "image"): (["local/busybox:1"], ["local/busybox:2"]),
        ("app", "environment: TYPE"): ([], []),
        ("extra", "comes anew"): ([], ["local/busybox:1"]),
    }
    (lasting,) = made.data.consequences.lasting
    assert lasting.startswith("Undoing it does not bring back data that the other version changes")
    assert lasting.endswith("_kept.")
    assert lasting in made.data.consequences.sentences


def test_a_number_of_tasks_set_by_hand_is_named(recipe: Releases, embedded_stage: Stage) -> None:
    raw = embedded_stage.engine.raw_service(f"{embedded_stage.stack}_worker")
    raw.spec["Mode"]["Replicated"]["Replicas"] = 3
    embedded_stage.put("worker", raw.spec)
    sentence = f"Sets {embedded_stage.stack}_worker from 3 tasks back to 1, as the files say."
    assert any(sentence in one for one in plan().data.consequences.impact)
    by_stack = opskit.Fleet.from_abra().plan_rotate(APP, "token", replace(QUICK, deploy="stack"))
    assert any(sentence in one for one in by_stack.data.consequences.impact)


def test_a_rotation_by_stack_names_what_else_the_env_changes(
    recipe: Releases, embedded_stage: Stage
) -> None:
    raw = embedded_stage.engine.raw_service(f"{embedded_stage.stack}_worker")
    raw.spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["KEPT=by-hand"]
    embedded_stage.put("worker", raw.spec)
    by_stack = opskit.Fleet.from_abra().plan_rotate(APP, "token", replace(QUICK, deploy="stack"))
    rows = {row.secret if isinstance(row.secret, str) else "": row
            for row in by_stack.changes.records()}  # fmt: skip
    assert rows["token"].restarts == ["app"]
    assert rows[""].restarts == ["migrate", "worker"]
    assert "worker: other environment (KEPT)" in rows[""].note


TOLD = """\
  by_variable: {image: "local/busybox:1", command: sleep 1000, environment: {AT: $V}}
  by_command: {image: "local/busybox:1", command: "echo $V"}
  by_label: {image: "local/busybox:1", command: sleep 1000, labels: {at: $V}}
  by_limit: {image: "local/busybox:1", deploy: {placement: {constraints: ["node.id!=$V"]}}}
  only_named: {image: "local/busybox:1", command: sleep 1000, deploy: {labels: {at: $V}}}
  not_told: {image: "local/busybox:1", command: sleep 1000, environment: {AT: $$V}}
""".replace("$V", "$SECRET_TOKEN_VERSION")


def test_a_rotation_by_stack_names_every_service_that_is_told_of_the_new_version(
    recipe: Releases, embedded_stage: Stage
) -> None:
    after = COMPOSE.replace("  worker:", f"{TOLD}  worker:")
    recipe.release("2.0.0+1", {"compose.yml": after})
    plan("2.0.0+1").apply().raise_for_status()
    before = templates(embedded_stage)

    made = opskit.Fleet.from_abra().plan_rotate(APP, "token", replace(QUICK, deploy="stack"))
    named = {name for row in made.changes.records() for name in row.restarts}
    notes = "; ".join(str(row.note) for row in made.changes.records())
    made.apply().raise_for_status()
    now = templates(embedded_stage)
    assert named - {"migrate"} == {name for name in now if now[name] != before[name]}
    assert named >= {"app", "by_variable", "by_command", "by_label", "by_limit"}
    assert "by_label: labels with the new version" in notes
    assert "by_variable: environment with the new version" in notes


def templates(stage: Stage) -> dict[str, object]:
    """Return what each service's tasks are made from, by which Swarm tells whether it makes new."""
    names = [service.spec.name for service in stage.engine.services()]
    return {
        name.removeprefix(f"{stage.stack}_"): stage.engine.raw_service(name).spec["TaskTemplate"]
        for name in names
        if name.startswith(f"{stage.stack}_") and not name.endswith("_migrate")
    }


def test_a_saved_snapshot_has_no_digest_of_a_value(recipe: Releases, embedded_stage: Stage) -> None:
    snap = opskit.Fleet.from_abra().snapshot()
    assert any(one.pieces for seen in snap.facts.observed for one in seen.services)
    snap.save(embedded_stage.root / "now.opskit")
    read = opskit.Snapshot.load(embedded_stage.root / "now.opskit")
    assert not any(one.pieces for seen in read.facts.observed for one in seen.services)


def test_a_way_back_to_versions_that_are_not_declared_says_so(
    recipe: Releases, embedded_stage: Stage
) -> None:
    """As after a rotation that stopped before its services were switched."""
    embedded_stage.create("token_v2")
    declared = embedded_stage.env_file.read_text()
    embedded_stage.env_file.write_text(declared.replace("TOKEN_VERSION=v1", "TOKEN_VERSION=v2"))
    stack = embedded_stage.stack
    back = (
        f"the specs before, where {stack}_app uses {stack}_token_v1 and its .env declares "
        f"{stack}_token_v2"
    )
    made = plan()
    assert made.changes["undone_by"].tolist() == [back]
    run = made.apply()
    assert plan().changes["undone_by"].tolist() == ["the specs before"]
    undone = opskit.Fleet.from_abra().plan_rollback(run.id)
    assert undone.changes["note"].tolist() == [back]
    assert undone.apply().status == "rolled-back"
