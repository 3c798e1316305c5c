"""The choices an operator has: commit, probes, other ways to deploy, removing for good."""

from __future__ import annotations

import socket
import subprocess
import threading
from dataclasses import replace
from typing import Literal

import pytest

import opskit
from opskit.errors import InputError, MissingToolError, StepError
from opskit.plan.options import Options
from opskit.steps import Probe
from tests.stage import APP, QUICK, SERVER, Stage, hurry_probes
from tests.waiting import eventually

TOKEN = (SERVER, APP, "token")
REAL = """
version: "3.8"
services:
  app: {image: "local/busybox:1", command: sleep 1000, secrets: [token], stop_grace_period: 0s,
    deploy: {update_config: {monitor: 300ms}}}
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    return embedded_stage


def rotate(options: Options) -> opskit.Run:
    return opskit.Fleet.from_abra().plan_rotate([TOKEN], options).apply()


def git(stage: Stage, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example", *arguments],
        cwd=stage.env_file.parent,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.slow
def test_the_env_file_is_committed_and_its_undoing_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.set_up()
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "tester")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "tester@test.example")
    git(stage, "init", "-q")
    git(stage, "add", ".")
    git(stage, "commit", "-qm", "as it was")
    run = rotate(replace(QUICK, commit=True))

    assert run.status == "done", run.errors
    assert git(stage, "log", "-1", "--format=%s").strip() == (
        f"{APP}: rotate token v2 (opskit {run.id})"
    )
    assert opskit.Fleet.from_abra().rollback(run.id).status == "rolled-back"
    assert git(stage, "log", "-1", "--format=%s").startswith(f"Undo: {APP}: rotate token v2")
    assert git(stage, "status", "--porcelain") == ""


def test_a_probe_that_succeeds_is_part_of_the_proof(stage: Stage) -> None:
    stage.set_up()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        run = rotate(replace(QUICK, probe=Probe(kind="tcp", target=(address,))))
    assert run.status == "done", run.errors


@pytest.mark.slow
@pytest.mark.parametrize(
    "probe",
    [
        Probe(kind="tcp", target=("127.0.0.1:9",)),
        Probe(kind="http", target=("http://127.0.0.1:9/",)),
        Probe(kind="command", target=("false",)),
    ],
    ids=lambda probe: probe.kind,
)
def test_a_probe_that_fails_undoes_the_change(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, probe: Probe
) -> None:
    stage.set_up()
    before = stage.state()
    hurry_probes(monkeypatch)
    run = rotate(replace(QUICK, probe=probe))

    assert run.status == "rolled-back"
    assert f"probe {probe.kind}" in run.errors[0]
    assert stage.state() == before


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("tcp", ("db.example",)),
        ("tcp", ("db.example:many",)),
        ("tcp", (":5432",)),
        ("http", ("db.example",)),
        ("http", ("https://db.example:many/",)),
        ("command", ()),
    ],
)
def test_a_probe_that_can_never_be_asked_is_refused_before_anything_is_planned(
    kind: Literal["http", "tcp", "command"], target: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match=f"the probe {kind} cannot be asked of .* Its target is"):
        Probe(kind=kind, target=target)


@pytest.mark.slow
def test_a_probe_is_asked_again_when_the_answer_is_no_http(stage: Stage) -> None:
    stage.set_up()
    answers = [b"not http\r\n\r\n", b"HTTP/1.0 503 starting\r\n\r\n", b"HTTP/1.0 200 fine\r\n\r\n"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)

        def answer() -> None:
            for one in answers:
                with server.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(one)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        run = rotate(replace(QUICK, probe=Probe(kind="http", target=(url,))))
        thread.join()
    assert run.status == "done", run.errors


@pytest.mark.slow
def test_a_line_that_was_empty_is_empty_again_after_the_undoing(stage: Stage) -> None:
    stage.set_up()
    recipe = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    recipe.write_text(
        recipe.read_text().replace("SECRET_TOKEN_VERSION", "SECRET_TOKEN_VERSION:-v1")
    )
    before = stage.env_file.read_bytes().replace(b"'v1'  # length", b"  # length")
    stage.env_file.write_bytes(before)
    run = rotate(QUICK)
    assert b"SECRET_TOKEN_VERSION=v2  # length=40" in stage.env_file.read_bytes()
    assert opskit.Fleet.from_abra().rollback(run.id).status == "rolled-back"
    assert stage.env_file.read_bytes() == before


def test_without_deploying_the_new_version_waits(stage: Stage) -> None:
    stage.set_up()
    before = stage.state()
    run = rotate(replace(QUICK, deploy="none"))
    after = stage.state()

    assert run.status == "done", run.errors
    assert after["uses"] == before["uses"]
    states = opskit.Fleet.from_abra().snapshot().secrets.query("secret == 'token'")["state"]
    assert sorted(states) == ["pending", "stale"]


def test_what_nothing_uses_is_removed_for_good(stage: Stage) -> None:
    stage.set_up()
    for service in ("app", "worker"):
        raw = stage.engine.raw_service(f"{stage.stack}_{service}")
        raw.spec["TaskTemplate"]["ContainerSpec"]["Secrets"] = []
        # Twice, so that no previous spec needs the secrets either.
        stage.put(service, raw.spec)
        stage.put(service, raw.spec)
    stage.wait_until_converged()
    eventually(
        lambda: opskit.Fleet.from_abra().snapshot().secrets.query(f"stack == {stage.stack!r}"),
        "no use of the stack's secrets",
        lambda secrets: not any(secrets["used_by"]),
    )
    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_remove([TOKEN]).apply()
    assert run.status == "done", run.errors
    assert stage.state()["secrets"] == [f"{stage.stack}_key_v1"]

    with pytest.raises(StepError, match="cannot be brought back"):
        fleet.rollback(run.id)


@pytest.mark.nightly
@pytest.mark.swarm
def test_docker_stack_deploy_switches_and_its_undoing_deploys_again(real_stage: Stage) -> None:
    stage = real_stage
    stage.set_up()
    for service in ("app", "worker"):
        stage.transport.request(
            stage.engine.context, "DELETE", f"/services/{stage.stack}_{service}",
            deadline=stage.deadline(),
        )  # fmt: skip
    (stage.root / "abra" / "recipes" / "shop" / "compose.yml").write_text(REAL)
    fleet = opskit.Fleet.from_abra()
    assert fleet.plan_deploy(APP).apply().status == "done"
    stage.wait_until_converged()
    before = stage.state()
    run = rotate(replace(QUICK, deploy="stack"))

    assert run.status == "done", run.errors
    (names,) = stage.state()["uses"].values()
    assert [name for name, *_ in names] == [f"{stage.stack}_token_v2"]
    assert fleet.rollback(run.id).status == "rolled-back"
    assert stage.state() == before


@pytest.mark.parametrize(("mode", "program"), [("abra", "abra"), ("stack", "docker")])
def test_what_deploys_is_looked_for_before_anything_is_changed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, mode: Literal["stack", "abra"], program: str
) -> None:
    stage.set_up()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingToolError, match=f"{program} is not installed here"):
        opskit.Fleet.from_abra().plan_rotate([TOKEN], Options(deploy=mode))
