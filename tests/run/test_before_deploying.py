"""What docker would stop at half way is found when planning, on a real engine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.errors import InputError
from tests.abra.releases import Releases
from tests.stage import APP, QUICK, SERVER, Stage

pytestmark = pytest.mark.swarm

HEAD = 'version: "3.8"\nservices:\n  app:\n    image: local/busybox:1\n    command: sleep 1000\n'
HEAD += "    stop_grace_period: 0s\n"


@dataclass(frozen=True, slots=True)
class Shop:
    """An app, whose recipe a test writes."""

    stage: Stage
    recipe: Path

    def write(self, compose: str, env: str = "", pinned: str = "") -> None:
        self.recipe.mkdir(parents=True, exist_ok=True)
        (self.recipe / "compose.yml").write_text(compose)
        self.pin(pinned, env)

    def pin(self, version: str, env: str = "") -> None:
        self.stage.env_file.write_text(
            f"TYPE=shop{version and ':'}{version}\nSTACK_NAME={self.stage.stack}\n{env}"
        )

    def refused(self) -> str:
        with pytest.raises(InputError) as refused:
            opskit.Fleet.from_abra().plan_deploy(APP, QUICK)
        assert self.stage.services() == []
        return str(refused.value)

    def deploy(self) -> opskit.Run:
        run = opskit.Fleet.from_abra().plan_deploy(APP, QUICK).apply()
        assert run.status == "done", run.errors
        return run

    def docker_says(self, **environment: str) -> str:
        """What docker says when it deploys the recipe by itself, under another name."""
        stack = f"{self.stage.stack}-by-hand"
        deploy = ["stack", "deploy", "-c", str(self.recipe / "compose.yml"), stack]
        done = self.docker(*deploy, **environment)
        self.docker("stack", "rm", stack)
        return "" if done.returncode == 0 else done.stderr

    def docker(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "-H", self.stage.host, *arguments],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def container(self, service: str) -> dict[str, Any]:
        raw = self.stage.engine.raw_service(f"{self.stage.stack}_{service}")
        return raw.spec["TaskTemplate"]["ContainerSpec"]


@pytest.fixture
def shop(real_stage: Stage) -> Iterator[Shop]:
    real_stage.write_files()
    made = Shop(real_stage, real_stage.root / "abra" / "recipes" / "shop")
    yield made
    made.docker("stack", "rm", real_stage.stack)
    made.docker("service", "rm", f"other-{real_stage.stack}")


def test_a_network_that_nobody_made(shop: Shop) -> None:
    shop.write(f"{HEAD}    networks: [proxy]\nnetworks: {{proxy: {{external: true}}}}\n")
    assert "could not be found" in shop.docker_says()
    said = shop.refused()
    assert f"the network proxy, which {shop.stage.stack} is to join, does not exist" in said
    remedy = re.search(r"docker --context \S+ (network create .*)", said)
    assert remedy
    shop.docker(*remedy[1].split())
    try:
        shop.deploy()
        shop.docker("stack", "rm", shop.stage.stack)
    finally:
        shop.stage.clean()
        while shop.docker("network", "rm", "proxy").returncode:
            pass


def test_a_port_that_another_service_has(shop: Shop) -> None:
    other = f"other-{shop.stage.stack}"
    shop.docker(
        "service", "create", "-d", "--name", other, "-p", "18081:80", "local/busybox:1",
        "sleep", "1000",
    )  # fmt: skip
    shop.write(f'{HEAD}    ports: ["${{PORT}}:8080"]\n', "PORT=18081\n")
    assert "already in use" in shop.docker_says(PORT="18081")
    said = shop.refused()
    assert f"port 18081/tcp of app is taken on {SERVER} by the service {other}" in said
    shop.pin("", "PORT=18082\n")
    shop.deploy()
    # Its own port is no obstacle to deploying it again.
    shop.deploy()


def test_a_file_that_git_ignores_and_nobody_put_there(shop: Shop) -> None:
    shop.write(f"{HEAD}    configs: [ca]\nconfigs: {{ca: {{file: ./local/ca.pem}}}}\n")
    releases = Releases(shop.recipe)
    releases.release("1.0.0+1", {".gitignore": "local/\n"})
    shop.pin("1.0.0+1")
    assert "no such file" in shop.docker_says()
    said = shop.refused()
    assert f"{shop.recipe}/local/ca.pem: there is no such file here, and the config ca" in said
    (shop.recipe / "local").mkdir()
    (shop.recipe / "local" / "ca.pem").write_text("a certificate")
    shop.deploy()


def test_what_only_docker_finds_is_said_with_the_recipes_path_and_version(shop: Shop) -> None:
    shop.write(f"{HEAD}    build: .\n    env_file: own.env\n")
    (shop.recipe / "own.env").write_bytes(b"NAME=\xff\n")
    Releases(shop.recipe).release("1.0.0+1", {})
    shop.pin("1.0.0+1")
    run = opskit.Fleet.from_abra().plan_deploy(APP, QUICK).apply()
    assert run.status == "rolled-back"
    assert (
        f"docker could not deploy {APP}: invalid env file ({shop.recipe}/own.env of 1.0.0+1)"
        in (run.errors[0])
    )
    assert "opskit-recipe" not in repr((run.errors, run.steps.to_dict()))


@pytest.mark.parametrize(
    ("compose", "what"),
    [
        (f"include: [db.yml]\n{HEAD}", "compose.yml:1: include is for docker compose only"),
        (f"{HEAD}    extends: {{service: db}}\n", "compose.yml:7: services.app.extends is for"),
        (
            f"{HEAD}    secrets: [key]\nsecrets: {{key: {{environment: SSH_KEY}}}}\n",
            "compose.yml:8: secrets.key.environment is for docker compose only",
        ),
    ],
)
def test_what_no_stack_can_have(shop: Shop, compose: str, what: str) -> None:
    shop.write(compose)
    assert shop.docker_says()
    assert what in shop.refused()
    findings = opskit.Fleet.from_abra().snapshot().audit().query("id == 'stack-unsupported'")
    assert [(row["app"], what in row["what"]) for _, row in findings.iterrows()] == [(APP, True)]


def test_the_operators_home_reaches_no_container(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/kim")
    monkeypatch.setenv("LOGNAME", "kim")
    environment = '["PATHY=${HOME}", "WHO=${LOGNAME:-nobody}", LOGNAME]'
    shop.write(f"{HEAD}    environment: {environment}\n    env_file: own.env\n")
    (shop.recipe / "own.env").write_text("HOME\nPLAIN=1\n")
    shop.deploy()
    env = shop.container("app")["Env"]
    assert {"PATHY=", "WHO=nobody", "PLAIN=1"} <= set(env)
    assert not [line for line in env if "kim" in line]


def test_a_path_of_the_operators_is_refused_where_a_compose_file_asks_for_it(shop: Shop) -> None:
    shop.write(f'{HEAD}    environment: ["SEEN=$PATH"]\n')
    assert (
        f"the compose files of {shop.stage.stack} use PATH that its .env does not set"
        in shop.refused()
    )


def test_an_upgrade_names_the_line_that_its_new_secret_needs_and_what_else_it_changes(
    shop: Shop,
) -> None:
    shop.write(HEAD)
    releases = Releases(shop.recipe)
    sample = "TYPE=shop\nDOMAIN=shop.example\n"
    releases.release("1.0.0+1", {"compose.yml": HEAD, ".env.sample": sample})
    after = (
        f"{HEAD.replace('busybox:1', 'busybox:2')}    secrets: [smtp_password]\n"
        "    configs: [motd]\n  worker: {image: 'local/busybox:1', command: sleep 1000}\n"
        "secrets:\n  smtp_password:\n    external: true\n"
        '    name: "${STACK_NAME}_smtp_password_${SECRET_SMTP_PASSWORD_VERSION}"\n'
        'configs:\n  motd: {file: motd, name: "${STACK_NAME}_motd_${MOTD_VERSION}"}\n'
    )
    more = "SMTP_HOST=\nSECRET_SMTP_PASSWORD_VERSION=v1  # length=40\n"
    new = {"compose.yml": after, "motd": "hello", "abra.sh": "export MOTD_VERSION=v1\n"}
    shop.pin("1.0.0+1")
    shop.deploy()
    releases.release("2.0.0+2", {**new, ".env.sample": sample + more})
    shop.docker("tag", "local/busybox:1", "local/busybox:2")

    fleet = opskit.Fleet.from_abra()
    with pytest.raises(InputError) as refused:
        fleet.plan_upgrade(APP, QUICK)
    said = str(refused.value)
    line = "SECRET_SMTP_PASSWORD_VERSION=v1  # length=40"
    assert str(shop.stage.env_file) in said
    assert f"the secret smtp_password does not exist, and the .env names no version: {line}" in said
    assert f"opskit app config {APP} (pin 2.0.0+2 and add {line})" in said
    assert f"opskit secret generate {APP} smtp_password; opskit app deploy {APP}" in said

    # Done as it says, it works.
    shop.pin("2.0.0+2", f"{line}\n")
    assert fleet.plan_generate(APP, ["smtp_password"]).apply().status == "done"
    plan = fleet.plan_deploy(APP, QUICK)
    assert plan.changes["restarts"].tolist() == [["app"]]
    note = plan.changes["note"][0]
    assert "app: local/busybox:1 → local/busybox:2" in note
    assert f"configs: +{shop.stage.stack}_motd_v1" in note
    assert "new: worker" in note
    (lacking,) = [one for one in plan.data.consequences.reading if "New in the sample" in one]
    assert lacking.endswith(f"(opskit app config {APP}):\n    SMTP_HOST=")
    assert plan.apply().status == "done"
