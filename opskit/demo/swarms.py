"""The demo fleet's swarms: what the engines would hold if its apps had been run for years."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from opskit.abra.layout import read_tree
from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.demo.engine import Swarm
from opskit.demo.sample import APPS, ORPHANS, SERVERS, UNREACHABLE, WORKER, SampleApp, Told

_IMAGE = "local/busybox:1"
_STACK = "com.docker.stack.namespace"


def sample_swarms(root: Path) -> dict[str, Swarm]:
    """Make the swarm of every demo server that can be reached, from the files in `root`."""
    now = datetime.now(UTC)
    swarms = {
        server: Swarm(server.partition(".")[0], "worker" if server == WORKER else "manager")
        for server in SERVERS
        if server != UNREACHABLE
    }
    samples = {(app.server, app.name): app for app in APPS}
    for server in read_tree(root).servers:
        swarm = swarms.get(server.name)
        if swarm is None or swarm.role != "manager":
            continue
        swarm.created_at = now - timedelta(days=700)
        for app in server.apps:
            _fill(swarm, root, app, samples[server.name, app.name], now)
    for server, name, age in ORPHANS:
        swarms[server].add_secret(name, created_at=now - timedelta(days=age))
    return swarms


def _fill(swarm: Swarm, root: Path, app: DeclaredApp, sample: SampleApp, now: datetime) -> None:
    used: dict[str, str] = {}
    for secret in app.secrets:
        told = sample.told.get(secret.name, Told())
        stored = ((secret.version, sample.age),) if told.stored is None else told.stored
        prefix = secret.swarm_name.removesuffix(secret.version)
        for version, age in stored:
            if not _has(swarm, prefix + version):
                swarm.add_secret(prefix + version, created_at=now - timedelta(days=age))
        used[secret.name] = prefix + (told.used or secret.version)
    if not sample.deployed:
        return
    when = now - timedelta(days=min(sample.age, 40))
    for config in app.configs:
        swarm.add_config(config.swarm_name, labels={_STACK: app.stack}, created_at=when)
    swarm.add_network(f"{app.stack}_internal", labels={_STACK: app.stack})
    swarm.add_volume(f"{app.stack}_data", labels={_STACK: app.stack})
    for name, service in _services(root, app).items():
        spec = service_spec(swarm, app, name, service, used)
        swarm.add_service(spec, created_at=when)


def service_spec(
    swarm: Swarm, app: DeclaredApp, name: str, service: Mapping[str, Any], used: Mapping[str, str]
) -> dict[str, Any]:
    """Give a service's spec as ``docker stack deploy`` would write it."""
    labels = {_STACK: app.stack, "com.docker.stack.image": str(service.get("image", _IMAGE))}
    if name == "app":
        labels[f"coop-cloud.{app.stack}.version"] = app.recipe_version or "1.0.0"
        labels[f"coop-cloud.{app.stack}.chaos"] = "false"
    references = [
        {
            "File": {"Name": secret.name, "UID": "0", "GID": "0", "Mode": 0o444},
            "SecretID": swarm.secret_id(used[secret.name]),
            "SecretName": used[secret.name],
        }
        for secret in _used_by(app, name)
        if _has(swarm, used[secret.name])
    ]
    deploy: dict[str, Any] = service.get("deploy") or {}
    update: dict[str, Any] = deploy.get("update_config") or {}
    return {
        "Name": f"{app.stack}_{name}",
        "Labels": labels,
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": str(service.get("image", _IMAGE)),
                "Labels": {_STACK: app.stack},
                "Secrets": references,
                "Isolation": "default",
            },
            "Resources": {},
            "Placement": {},
            "ForceUpdate": 0,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "UpdateConfig": {
            "Parallelism": 1,
            "FailureAction": update.get("failure_action", "pause"),
            "Monitor": 5_000_000_000,
            "MaxFailureRatio": 0,
            "Order": update.get("order", "stop-first"),
        },
        "EndpointSpec": {"Mode": "vip"},
    }


def _used_by(app: DeclaredApp, service: str) -> list[DeclaredSecret]:
    return [s for s in app.secrets if service in s.services or (app.guessed and service == "app")]


def _services(root: Path, app: DeclaredApp) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    parser = YAML(typ="safe", pure=True)
    for name in app.compose_files:
        path = root / "recipes" / app.recipe / name
        if path.is_file():
            document = parser.load(path.read_text())
            for service, body in document.get("services", {}).items():
                found[service] = {**body, **found.get(service, {})}
    return found or {"app": {"image": f"{app.recipe}:latest"}}


def _has(swarm: Swarm, name: str) -> bool:
    return swarm.secrets.named(name) is not None


def many_swarms(root: Path, servers: int, secrets: int) -> dict[str, Swarm]:
    """Write and make a large synthetic fleet: five apps and `secrets` secrets on each server."""
    now = datetime.now(UTC)
    (root / "recipes").mkdir(parents=True)
    found: dict[str, Swarm] = {}
    for number in range(servers):
        name = f"s{number:04d}.example"
        folder = root / "servers" / name
        folder.mkdir(parents=True)
        swarm = found[name] = Swarm(name.partition(".")[0])
        for app in range(5):
            domain = f"app{app}.{name}"
            (folder / f"{domain}.env").write_text(
                f"TYPE=none\nDOMAIN={domain}\nSECRET_KEY0_VERSION=v1\nSECRET_KEY1_VERSION=v1\n"
            )
        for secret in range(secrets):
            app, key = secret % 5, secret // 5
            stack = f"app{app}.{name}".replace(".", "_")
            swarm.add_secret(f"{stack}_key{key}_v1", created_at=now - timedelta(days=secret % 400))
    return found
