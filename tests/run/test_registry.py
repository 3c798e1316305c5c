"""Deploying images of a registry with a password, on a real engine and a real registry."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import opskit
from tests.registry import ADDRESS, OTHER, PASSWORD, USER, Registry, log_in, registry
from tests.stage import APP, QUICK, Stage

pytestmark = pytest.mark.swarm

COMPOSE = f"""\
version: "3.8"
services:
  app:
    image: {ADDRESS}/coop/app:1.0
    command: ["/bin/sleep", "100000"]
    stop_grace_period: 0s
    secrets: [token]
    deploy: {{update_config: {{monitor: 300ms}}}}
  side:
    image: {ADDRESS}/coop/side:1.0
    command: ["/bin/sleep", "100000"]
    stop_grace_period: 0s
    deploy: {{update_config: {{monitor: 300ms}}}}
secrets:
  token: {{external: true, name: "${{STACK_NAME}}_token_${{SECRET_TOKEN_VERSION}}"}}
"""


@pytest.fixture
def stage(real_stage: Stage) -> Stage:
    """An app of two services, whose images are at the registry and nowhere else."""
    real_stage.write_files()
    recipe = real_stage.root / "abra" / "recipes" / "shop"
    (recipe / "compose.yml").write_text(COMPOSE)
    real_stage.env_file.write_text(
        f"TYPE=shop\nDOMAIN={APP}\nSTACK_NAME={real_stage.stack}\nSECRET_TOKEN_VERSION=v1\n"
    )
    real_stage.create("token_v1")
    return real_stage


@pytest.fixture
def images(stage: Stage, tmp_path: Path) -> Iterator[Registry]:
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry(folder, stage.host) as made:
        for name in ("app", "side"):
            made.push(f"coop/{name}:1.0", label=name)
        made.forget()
        yield made
        stage.clean()
        made.forget()


def log_in_here(stage: Stage, user: str = USER) -> None:
    log_in(stage.root / "docker", {ADDRESS: (user, PASSWORD)})


def log_out_here(stage: Stage) -> None:
    (stage.root / "docker" / "config.json").write_text("{}")


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def inspected(stage: Stage) -> dict[str, str]:
    """What the docker CLI says of each service's image."""
    form = "{{.Spec.Name}} {{.Spec.TaskTemplate.ContainerSpec.Image}}"
    names = [f"{stage.stack}_{name}" for name in ("app", "side")]
    said = docker(stage, "service", "inspect", "--format", form, *names)
    pairs = (line.split() for line in said.splitlines())
    return {name.removeprefix(f"{stage.stack}_"): image for name, image in pairs}


def tasks(stage: Stage, service: str) -> set[str]:
    """The tasks that the docker CLI counts as running."""
    name = f"{stage.stack}_{service}"
    listed = ["--no-trunc", "--format", "{{.ID}}", "--filter", "desired-state=running"]
    return set(docker(stage, "service", "ps", *listed, name).split())


def docker(stage: Stage, *arguments: str) -> str:
    command = ["docker", "-H", stage.host, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def deploy_by_hand(stage: Stage, images: Registry) -> None:
    """Deploy as somebody else who is logged in, and wait until both services run."""
    compose = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    subprocess.run(
        ["docker", "-H", stage.host, "stack", "deploy", "--with-registry-auth",
         "-c", str(compose), stage.stack],
        env={
            "PATH": os.environ["PATH"],
            "DOCKER_CONFIG": str(images.folder / "docker"),
            "STACK_NAME": stage.stack,
            "SECRET_TOKEN_VERSION": "v1",
        },
        check=True,
        capture_output=True,
    )  # fmt: skip
    stage.wait_until_converged()


def test_a_deploy_hands_on_the_credentials_of_whoever_is_logged_in(
    stage: Stage, images: Registry
) -> None:
    log_in_here(stage)
    plan = fleet().plan_deploy(APP, QUICK)
    assert any("--with-registry-auth" in call for call in plan.calls["call"])
    assert "no credentials" not in plan.changes["note"][0]
    run = plan.apply()

    assert run.status == "done", run.errors
    assert all("@sha256:" in image for image in inspected(stage).values())
    # A node that is new pulls with what the services keep.
    log_out_here(stage)
    both = [f"{stage.stack}_app", f"{stage.stack}_side"]
    docker(stage, "service", "scale", "-d", *(f"{name}=0" for name in both))
    images.forget()
    docker(stage, "service", "scale", "-d", *(f"{name}=1" for name in both))
    stage.wait_until_converged()
    assert PASSWORD not in json.dumps(plan.to_json())


def test_credentials_of_a_helper_are_handed_on_too(
    stage: Stage, images: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "helpers" / "docker-credential-tests"
    helper.parent.mkdir()
    answer = json.dumps({"ServerURL": ADDRESS, "Username": USER, "Secret": PASSWORD})
    # It finds what it needs by a variable of its own, as real ones do.
    helper.write_text('#!/bin/sh\ncat >/dev/null\nexec cat "$TESTS_KEYRING"\n')
    helper.chmod(0o755)
    (tmp_path / "keyring").write_text(answer)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TESTS_KEYRING", str(tmp_path / "keyring"))
    config = {"credHelpers": {ADDRESS: "tests"}}
    (stage.root / "docker" / "config.json").write_text(json.dumps(config))
    run = fleet().plan_deploy(APP, QUICK).apply()

    assert run.status == "done", run.errors
    assert all("@sha256:" in image for image in inspected(stage).values())
    (tmp_path / "keyring").unlink()
    before = inspected(stage)
    plan = fleet().plan_deploy(APP, QUICK)
    assert "credential helper tests gives no credentials" in plan.changes["note"][0]
    assert plan.apply().status == "done"
    assert inspected(stage) == before


def test_without_credentials_the_plan_says_so_beforehand(stage: Stage, images: Registry) -> None:
    log_out_here(stage)
    plan = fleet().plan_deploy(APP, QUICK)
    (note,) = plan.changes["note"]
    assert f"no credentials here for {ADDRESS}" in note
    assert f"docker login {ADDRESS}" in note
    assert not any("--with-registry-auth" in call for call in plan.calls["call"])


@pytest.mark.nightly
@pytest.mark.parametrize("user", [USER, OTHER, ""])
def test_a_rotation_by_deploying_keeps_every_image_even_when_its_tag_has_moved(
    stage: Stage, images: Registry, user: str
) -> None:
    deploy_by_hand(stage, images)
    if user:
        log_in_here(stage, user)
    else:
        log_out_here(stage)
    before, side, app = inspected(stage), tasks(stage, "side"), tasks(stage, "app")
    assert all("@sha256:" in image for image in before.values())
    images.push("coop/side:1.0", label="moved")
    options = opskit.Options(deploy="stack", stable=QUICK.stable, timeout=QUICK.timeout)
    plan = fleet().plan_rotate(APP, "token", options=options)
    # What was deployed by hand was not told its versions, as abra and opskit tell the service app.
    assert [names for names in plan.changes["restarts"] if names] == [["app"]]
    run = plan.apply()

    assert run.status == "done", run.errors
    assert inspected(stage) == before
    assert tasks(stage, "side") == side
    assert tasks(stage, "app").isdisjoint(app)
    assert run.notes == ()


@pytest.mark.nightly
def test_a_deploy_without_credentials_leaves_the_images_that_run(
    stage: Stage, images: Registry
) -> None:
    deploy_by_hand(stage, images)
    log_out_here(stage)
    before, side = inspected(stage), tasks(stage, "side")
    run = fleet().plan_deploy(APP, QUICK).apply()

    assert run.status == "done", run.errors
    assert inspected(stage) == before
    assert tasks(stage, "side") == side
    (note,) = run.notes
    assert "app, side: the image stays as it runs" in note
    assert f"docker login {ADDRESS}" in note


@pytest.mark.nightly
def test_a_deploy_moves_to_what_the_tag_means_now_and_the_plan_names_another_tag(
    stage: Stage, images: Registry
) -> None:
    deploy_by_hand(stage, images)
    log_in_here(stage)
    app, digest = tasks(stage, "app"), images.push("coop/side:1.0", label="moved")
    newest = images.push("coop/app:1.1", label="newest")
    assert fleet().plan_deploy(APP, QUICK).apply().status == "done"
    assert inspected(stage)["side"].endswith(digest)

    recipe = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    recipe.write_text(COMPOSE.replace("coop/app:1.0", "coop/app:1.1"))
    plan = fleet().plan_deploy(APP, QUICK)
    assert plan.changes["restarts"].tolist() == [["app"]]
    assert f"app: {ADDRESS}/coop/app:1.0 → {ADDRESS}/coop/app:1.1" in plan.changes["note"][0]
    side = tasks(stage, "side")
    assert plan.apply().status == "done"
    assert inspected(stage)["app"].endswith(newest)
    assert tasks(stage, "app").isdisjoint(app)
    assert tasks(stage, "side") == side


@pytest.mark.nightly
def test_what_docker_warns_of_is_told_though_it_ends_well(stage: Stage, images: Registry) -> None:
    log_out_here(stage)
    images.docker("pull", "-q", f"{ADDRESS}/coop/app:1.0")
    images.docker("pull", "-q", f"{ADDRESS}/coop/side:1.0")
    recipe = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    recipe.write_text(COMPOSE.replace("    secrets: [token]", "    build: .\n    secrets: [token]"))
    run = fleet().plan_deploy(APP, QUICK).apply()
    assert run.status == "done", run.errors
    (note,) = run.notes
    assert note.endswith("docker: Ignoring unsupported options: build")

    # Of digests docker speaks when it updates a service, not when it makes one.
    run = fleet().plan_deploy(APP, QUICK).apply()
    assert run.status == "done", run.errors
    (note,) = run.notes
    assert f"image {ADDRESS}/coop/app:1.0 could not be accessed on a registry to record" in note
    assert "detach" not in note
    assert "/tmp" not in note
