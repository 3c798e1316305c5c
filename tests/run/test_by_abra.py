"""Deploying with abra: what is found beforehand, and what is compared when it has ended.

A stand-in takes abra's place: it deploys with the docker CLI whatever a test lets it. What a real
abra does, `tests/interop/test_abra.py` looks at where one is installed.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace

import pytest

import opskit
from opskit.errors import InputError, LockLostError
from opskit.steps import Deploy, StepContext, lock
from opskit.steps.holding import Hold
from tests.abra.releases import Releases
from tests.stage import APP, QUICK, SERVER, Stage

pytestmark = pytest.mark.slow

BY_ABRA = replace(QUICK, deploy="abra")
OLD, NEW = "1.0.0+1", "2.0.0+1"
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
      labels: ["coop-cloud.${STACK_NAME}.version=VERSION"]
MORE
secrets:
  token: {external: true, name: "${STACK_NAME}_token_${SECRET_TOKEN_VERSION}"}
"""
ABRA = """#!/bin/sh
echo "$*" >> {root}/called
set -a
. {env}
set +a
git -C {recipe} show "{version}:compose.yml" > {root}/by-abra.yml
{more}
exec docker --context {server} stack deploy --compose-file {root}/by-abra.yml {stack}
"""


@dataclass(frozen=True, slots=True)
class Shop:
    """An app of two releases, and a stand-in for abra."""

    stage: Stage
    releases: Releases

    def pin(self, version: str) -> None:
        colon = ":" if version else ""
        self.stage.env_file.write_text(
            f"TYPE=shop{colon}{version}\nSTACK_NAME={self.stage.stack}\nSECRET_TOKEN_VERSION=v1\n"
        )

    def abra(self, version: str = OLD, more: str = "") -> None:
        """Let abra deploy a release, whatever is pinned."""
        program = self.stage.root / "bin" / "abra"
        program.write_text(
            ABRA.format(
                root=self.stage.root, env=self.stage.env_file, recipe=self.releases.folder,
                server=SERVER, stack=self.stage.stack, version=version, more=more,
            )
        )  # fmt: skip
        program.chmod(0o755)

    def release(self, version: str, more: str = "") -> None:
        text = COMPOSE.replace('VERSION"]', f'{version}"]').replace("MORE\n", more)
        self.releases.release(version, {"compose.yml": text})

    def runs(self) -> str:
        """Give the version that the app is labelled with."""
        spec = self.stage.engine.raw_service(f"{self.stage.stack}_app").spec
        return spec["Labels"][f"coop-cloud.{self.stage.stack}.version"]

    def called(self) -> list[str]:
        path = self.stage.root / "called"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def shop(embedded_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Shop:
    stage = embedded_stage
    stage.write_files()
    stage.create("token_v1")
    (stage.root / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{stage.root / 'bin'}:{os.environ['PATH']}")
    made = Shop(stage, Releases(stage.root / "abra" / "recipes" / "shop"))
    made.release(OLD)
    made.release(NEW, "  worker: {image: 'local/busybox:1', command: sleep 1000}\n")
    made.pin(OLD)
    made.abra()
    return made


def plan(version: str = "") -> opskit.Plan:
    return opskit.Fleet.from_abra().plan_deploy(APP, BY_ABRA, version=version)


def deployed(shop: Shop) -> opskit.Run:
    """Deploy the version that is pinned."""
    return plan().apply().raise_for_status()


def note(made: opskit.Plan) -> str:
    return "; ".join(made.changes["note"].dropna())


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (
            "    networks: [proxy]\nnetworks: {proxy: {external: true}}\n",
            "the network proxy, which",
        ),
        ("    ports: ['18083:80']\n", "port 18083/tcp of app is taken"),
        ("    extends: {service: db}\n", "services.app.extends is for docker compose only"),
        ("    configs: [ca]\nconfigs: {ca: {file: ./ca.pem}}\n", "there is no such file here"),
        ("    secrets: [other]\nsecrets: {other: {environment: X}}\n", "secrets.other.environment"),
    ],
)
def test_what_would_stop_it_half_way_is_found_when_planning(
    shop: Shop, more: str, what: str
) -> None:
    shop.stage.deploy("other", ["token"], EndpointSpec={"Ports": [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 18083}]})  # fmt: skip
    head = COMPOSE.partition("    secrets")[0]
    shop.releases.release("3.0.0+1", {"compose.yml": head + more})
    with pytest.raises(InputError, match=what):
        plan("3.0.0+1")
    shop.pin("3.0.0+1")
    with pytest.raises(InputError, match=what):
        plan()
    assert shop.called() == []


def test_what_restarts_comes_and_is_pulled_without_credentials_is_named(shop: Shop) -> None:
    deployed(shop)
    text = COMPOSE.replace("busybox:1", "busybox:2").replace('VERSION"]', 'x"]')
    worker = "  worker: {image: 'registry.example:5000/worker:1', command: sleep 1000}\n"
    shop.releases.release("3.0.0+1", {"compose.yml": text.replace("MORE\n", worker)})
    made = plan("3.0.0+1")
    assert made.changes["restarts"].tolist() == [["app"]]
    assert made.changes["to"].tolist() == ["3.0.0+1"]
    assert "app: local/busybox:1 → local/busybox:2" in note(made)
    assert "new: worker" in note(made)
    assert "abra hands on no credentials for registry.example:5000, so worker is" in note(made)


def test_a_number_of_tasks_that_is_set_back_is_named(shop: Shop) -> None:
    deployed(shop)
    raw = shop.stage.engine.raw_service(f"{shop.stage.stack}_app")
    raw.spec["Mode"]["Replicated"]["Replicas"] = 3
    shop.stage.put("app", raw.spec)
    said = f"Sets {shop.stage.stack}_app from 3 tasks back to 1, as the files say."
    assert any(said in sentence for sentence in plan().data.consequences.impact)


def test_another_version_than_the_one_that_is_pinned_is_no_success(shop: Shop) -> None:
    deployed(shop)
    shop.abra(NEW)
    run = plan().apply()
    assert run.status == "rolled-back", run.errors
    assert f"abra deployed {NEW} of shop, and the .env pins {OLD}" in run.errors[0]
    assert [one.spec.name for one in shop.stage.services()] == [f"{shop.stage.stack}_app"]


def test_another_secret_than_the_one_that_is_declared_is_no_success(shop: Shop) -> None:
    shop.stage.create("token_v2")
    shop.abra(more="export SECRET_TOKEN_VERSION=v2")
    run = plan().apply()
    assert run.status == "rolled-back", run.errors
    token = f"{shop.stage.stack}_token"
    assert f"the secrets {token}_v2, and the files say {token}_v1" in run.errors[0]


def test_what_abra_warns_of_is_shown(shop: Shop) -> None:
    lines = (
        r"printf '\033[33mWARN\033[0m catalogue is 40 days old\n'",
        r"echo 'INFO all is well'",
        """echo 'time="2026-01-02T03:04:05Z" level=warning msg="domain has no A record"' >&2""",
    )
    shop.abra(more="\n".join(lines))
    run = deployed(shop)
    assert any("abra: catalogue is 40 days old; domain has no A record" in one
               for one in run.notes)  # fmt: skip
    assert not any("all is well" in one for one in run.notes)


def test_a_tag_that_moved_is_named_once_it_has(shop: Shop) -> None:
    deployed(shop)
    raw = shop.stage.engine.raw_service(f"{shop.stage.stack}_app")
    raw.spec["TaskTemplate"]["ContainerSpec"]["Image"] += "@sha256:" + "0a" * 32
    shop.stage.put("app", raw.spec)
    run = deployed(shop)
    said = "app: local/busybox:1 is another image than before, as its tag moved"
    assert any(said in one for one in run.notes), run.notes


def test_where_abra_chooses_the_version_that_is_said_and_nothing_is_claimed(shop: Shop) -> None:
    shop.pin("")
    made = plan()
    assert "no version is pinned: abra takes the one that runs, or the latest" in note(made)
    shop.abra(NEW)
    assert made.apply().status == "done"


def test_what_abra_chooses_is_no_fault_though_another_release_is_checked_out(shop: Shop) -> None:
    shop.pin("")
    shop.abra(OLD)
    deployed(shop)
    assert shop.runs() == OLD


def test_a_commit_that_is_pinned_is_what_abra_labels_by_its_beginning(shop: Shop) -> None:
    text = COMPOSE.replace('VERSION"]', '${LABEL}"]').replace("MORE\n", "")
    commit = shop.releases.release("3.0.0+1", {"compose.yml": text})
    shop.pin(commit)
    shop.abra(commit, f"export LABEL={commit[:8]}")
    deployed(shop)
    assert shop.runs() == commit[:8]


def test_a_secret_that_was_declared_meanwhile_is_not_deployed(shop: Shop) -> None:
    deployed(shop)
    shop.stage.create("token_v2")
    shop.abra(more=f"sed -i s/TOKEN_VERSION=v1/TOKEN_VERSION=v2/ {shop.stage.env_file}")
    (said,) = plan().apply().errors
    token = f"{shop.stage.stack}_token"
    assert f"{APP} on {SERVER} was deployed, but {shop.stage.stack}_app uses {token}_v1" in said
    assert f"its .env declares {token}_v2. Deploy it again: opskit app deploy {APP}" in said


def test_a_deploy_without_its_lock_is_made_again_though_the_run_is_told_to_stop(
    shop: Shop,
) -> None:
    """With what no label tells: a variable that the services' environment has."""
    stage, stop, begun = shop.stage, threading.Event(), shop.stage.root / "begun"
    shop.release("3.0.0+1", "    environment: ['COLOUR=${COLOUR}']\n")
    shop.pin("3.0.0+1")
    declared = stage.env_file.read_text()
    stage.env_file.write_text(f"{declared}COLOUR=red\n")
    shop.abra("3.0.0+1", f"""
if mkdir {begun}.once; then
    docker --context {SERVER} stack deploy --compose-file {stage.root}/by-abra.yml {stage.stack}
    touch {begun}
    exec sleep 1000
fi
""")  # fmt: skip

    def colleague() -> None:
        if begun.exists():
            lock.break_lock(stage.engine, stage.stack)
            stage.env_file.write_text(f"{declared}COLOUR=blue\n")
            stop.set()

    hold = Hold(engine=stage.engine, stack=stage.stack, run="r", owner="kim", host="laptop")
    hold.take()
    ctx = StepContext(
        engine=stage.engine, run="r", actor="kim", host="laptop", stop=stop,
        lock=hold, keep_lock=colleague, ask_lock=hold.ask,
    )  # fmt: skip
    step = Deploy(
        mode="abra", root=str(stage.root / "abra"), server=SERVER, app=APP, stack=stage.stack
    )
    with pytest.raises(LockLostError, match="was deployed again, as declared now"):
        step.do(ctx)
    container = stage.engine.raw_service(f"{stage.stack}_app").spec["TaskTemplate"]["ContainerSpec"]
    assert container["Env"] == ["COLOUR=blue"]
    assert lock.locks_among(SERVER, stage.engine.configs()) == []


def test_a_rotation_by_abra_names_what_else_it_restarts(shop: Shop) -> None:
    deployed(shop)
    shop.release("3.0.0+1", "  worker: {image: 'local/busybox:1', command: sleep 1000}\n")
    shop.pin("3.0.0+1")
    shop.abra("3.0.0+1")
    made = opskit.Fleet.from_abra().plan_rotate(APP, "token", BY_ABRA)
    assert "abra asks registries what tags mean now" in note(made)
    assert "new: worker" in note(made)
    run = made.apply()
    assert run.status == "done", run.errors
    assert shop.called()[-1] == f"app deploy --no-input --force --offline {APP}"
    # The way back deploys again, and compares with the files as they are by then.
    assert opskit.Fleet.from_abra().rollback(run.id).status == "rolled-back"
    (uses,) = [used for name, used in shop.stage.state()["uses"].items() if name == "_app"]
    assert [name for name, *_ in uses] == [f"{shop.stage.stack}_token_v1"]
