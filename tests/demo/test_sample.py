"""The sample: its files read without surprises, and its swarms are what deploys would leave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.abra.deployment import deployment
from opskit.abra.layout import read_tree
from opskit.abra.model import DeclaredApp
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet, write_contexts
from opskit.demo.history import SwarmSeed, sample_seeds, sample_stack
from opskit.demo.real import load_sample
from opskit.demo.sample import APPS, SERVERS
from opskit.demo.tree import write_abra
from opskit.swarm.context import Context
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT
from tests.waiting import LIMIT

Use = Callable[[DemoFleet | DockerdFleet], Path]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "abra"
    write_abra(root)
    return root


@pytest.fixture(scope="module")
def apps(root: Path) -> dict[str, DeclaredApp]:
    return {app.name: app for server in read_tree(root).servers for app in server.apps}


@pytest.fixture(scope="module")
def seeds() -> dict[str, SwarmSeed]:
    return sample_seeds()


def test_the_tree_has_six_servers_and_eight_recipes(
    root: Path, apps: dict[str, DeclaredApp]
) -> None:
    assert {path.name for path in (root / "servers").iterdir()} == set(SERVERS)
    assert len(SERVERS) == 6
    assert len(list((root / "recipes").iterdir())) == 8
    assert len(apps) == len(APPS) == 22


def test_only_the_line_meant_to_be_unreadable_is(apps: dict[str, DeclaredApp]) -> None:
    assert {name for name, app in apps.items() if app.problems} == {"git.workshop.example"}
    assert {name for name, app in apps.items() if app.guessed} == {"meet.workshop.example"}


def test_an_overlay_is_enabled_as_an_operator_does_it(root: Path) -> None:
    lines = (root / "servers/mutual.example/blog.mutual.example.env").read_text().splitlines()

    assert lines[0] == "TYPE=wordpress:1.4.0+6.6.2"
    assert 'COMPOSE_FILE="$COMPOSE_FILE:compose.mail.yml"' in lines
    assert "SECRET_SMTP_PASSWORD_VERSION=v1    # generate=false" in lines
    assert "SECRET_DB_PASSWORD_VERSION=v10       # length=32" in lines
    assert "#EXTRA_DOMAINS=', `www.wordpress.example.com`'" in lines


def test_declarations_include_the_awkward_ones(apps: dict[str, DeclaredApp]) -> None:
    found = {secret.swarm_name: secret for app in apps.values() for secret in app.secrets}

    assert found["mail_relay_password_v1"].shared
    assert found["mail_mutual_example_x_v2_v1"].name == "x_v2"
    assert found["notes_coop_example_oidc_key_v1"].env_key == "OIDC_CLIENT_SECRET_VERSION"
    assert found["matrix_mutual_example_form_v1"].env_line == 0
    assert found["git_coop_example_db_password_v1"].charset == "hex"
    assert apps["pads.workshop.example"].stack == apps["padsold.workshop.example"].stack
    assert 62 <= max(len(name) for name in found) <= 64


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_some_recipes_are_checkouts_and_one_was_edited(
    apps: dict[str, DeclaredApp], tmp_path: Path
) -> None:
    assert apps["traefik.coop.example"].revision.startswith("2.5.0+v2.11.12 (")
    assert apps["shop.workshop.example"].revision.endswith("+U)")
    # A pinned version is read from the history, whatever is checked out and edited.
    assert apps["blog.mutual.example"].revision.startswith("1.4.0+6.6.2 (")
    assert "+U" not in apps["blog.mutual.example"].revision
    assert apps["notes.coop.example"].revision == "0.7.1+1.10.0"

    write_abra(tmp_path / "abra", ["coop.example"])
    (server,) = read_tree(tmp_path / "abra").servers
    assert {app.name: app.revision for app in server.apps}.items() <= {
        app.name: app.revision for app in apps.values()
    }.items()


def test_seeds_are_the_same_every_time(seeds: dict[str, SwarmSeed]) -> None:
    assert sample_seeds() == seeds


def test_about_sixty_secrets_are_days_to_years_old(seeds: dict[str, SwarmSeed]) -> None:
    ages = [secret.age for seed in seeds.values() for secret in seed.secrets]

    assert 55 <= len(ages) <= 65
    assert min(ages) < 7
    assert max(ages) > 365


def test_services_refer_to_what_their_swarm_has(seeds: dict[str, SwarmSeed]) -> None:
    for seed in seeds.values():
        secrets = {one.name: f"id of {one.name}" for one in seed.secrets}
        configs = {one.name: f"id of {one.name}" for one in seed.configs}
        networks = {network.name for network in seed.networks}
        for service in seed.services:
            spec = service.resolved(secrets, configs)
            container = spec["TaskTemplate"]["ContainerSpec"]
            assert all(r["SecretID"] for r in container.get("Secrets", []))
            assert all(r["ConfigID"] for r in container.get("Configs", []))
            assert {n["Target"] for n in spec["TaskTemplate"]["Networks"]} <= networks


def test_an_older_deploy_has_the_older_image(seeds: dict[str, SwarmSeed]) -> None:
    images = {service.spec["Name"]: service.image for service in seeds["mutual.example"].services}

    assert images["cloud_mutual_example_app"] == "nextcloud:28.0.9-fpm"
    assert images["cloud_mutual_example_cron"] == "nextcloud:28.0.9-fpm"
    assert images["cloud_mutual_example_db"] == "mariadb:10.11"


@pytest.mark.skipif(not shutil.which("docker"), reason="the docker CLI is not installed")
def test_the_docker_cli_lists_the_contexts(tmp_path: Path) -> None:
    write_contexts(tmp_path, {"coop.example": "unix:///run/coop", "far.example": "ssh://far"})
    environment = {**os.environ, "DOCKER_CONFIG": str(tmp_path)}
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        environment.pop(name, None)
    done = subprocess.run(
        ["docker", "context", "ls", "--format", "{{.Name}} {{.DockerEndpoint}}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = done.stdout.splitlines()

    assert "coop.example unix:///run/coop" in listed
    assert "far.example ssh://far" in listed


@pytest.mark.nightly
@pytest.mark.swarm
@pytest.mark.slow
def test_specs_are_those_docker_stack_deploy_writes(
    fresh_fleet: Callable[[int], DockerdFleet], root: Path, apps: dict[str, DeclaredApp]
) -> None:
    context = Context(server="srv1", host=fresh_fleet(1).host("srv1"))

    def docker(*arguments: str, **more: Any) -> None:
        command = ["docker", "-H", context.host, *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True, **more)

    def listed(path: str) -> list[Json]:
        reply = TRANSPORT.request(context, "GET", path, deadline=Deadline(LIMIT))
        return json.loads(reply.body)

    docker("network", "create", "--driver", "overlay", "--attachable", "proxy")
    # One app of each recipe.
    chosen = {app.recipe: app for app in reversed(APPS) if app.server != "workshop.example"}
    for name in {secret.swarm_name for s in chosen.values() for secret in apps[s.name].secrets}:
        docker("secret", "create", name, "-", input="x")
    expected: dict[str, Json] = {}
    for sample in chosen.values():
        with deployment(root, sample.server, sample.name) as deploy:
            files = [part for file in deploy.compose_files for part in ("--compose-file", file)]
            docker("stack", "deploy", "--resolve-image", "never", *files, deploy.stack,
                   env={**os.environ, **deploy.environment})  # fmt: skip
        expected |= {spec["Name"]: spec for spec in sample_stack(sample).services}
    networks = {network["Id"]: network["Name"] for network in listed("/networks")}
    written = {one["Spec"]["Name"]: anonymous(one["Spec"], networks) for one in listed("/services")}

    assert len(chosen) == 8
    assert written == expected


def anonymous(spec: Json, networks: dict[str, str]) -> Json:
    """Put names in the place of ids, as specs of seeds have them."""
    template = spec["TaskTemplate"]
    for noun in ("Secret", "Config"):
        for reference in template["ContainerSpec"].get(f"{noun}s", []):
            reference[f"{noun}ID"] = ""
    for attachment in template["Networks"]:
        attachment["Target"] = networks[attachment["Target"]]
    template["Networks"].sort(key=lambda attachment: attachment["Target"])
    return spec


@pytest.mark.nightly
@pytest.mark.swarm
@pytest.mark.slow
def test_the_sample_runs_on_real_engines(
    use: Use, fresh_fleet: Callable[[int], DockerdFleet], seeds: dict[str, SwarmSeed]
) -> None:
    fleet = fresh_fleet(1)
    load_sample(fleet)
    use(fleet)
    snap = opskit.Fleet.from_abra().snapshot()
    secrets = snap.secrets.set_index("swarm_name")

    assert list(snap.servers["server"]) == ["coop.example"]
    assert (snap.services["running"] == snap.services["desired"]).all()
    assert len(snap.services) == len(seeds["coop.example"].services)
    assert set(secrets.index) == {secret.name for secret in seeds["coop.example"].secrets}
    assert secrets.loc["git_coop_example_jwt_secret_v1", "state"] == "stale"
    assert secrets.loc["git_coop_example_jwt_secret_v2", "state"] == "pending"
