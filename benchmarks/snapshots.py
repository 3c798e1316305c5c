"""Snapshots on disk: saved, loaded and compared, of 1,000 servers with 300 secrets on each.

Every server has 30 apps of two services: 240 secrets in force, 60 versions from before, tasks that
run and tasks that ended, volumes, networks and configs.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
from peers import report, timed

import opskit
from opskit.abra.model import Declared, DeclaredApp, DeclaredConfig, DeclaredSecret, DeclaredServer
from opskit.facts.facts import Facts
from opskit.facts.join import STACK_LABEL
from opskit.swarm import model
from opskit.swarm.observe import Observation

SERVERS, APPS, SECRETS, OLDER, ROUNDS = 1000, 30, 8, 2, 3
_NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
_NAMES = ("db_password", "db_root_password", "secret_key", "jwt_secret", "smtp_password",
          "oidc_client_secret", "admin_password", "api_token")  # fmt: skip
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Maker:
    """Makes what a fleet declares and says, with ids and times as random as Swarm's."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def ident(self) -> str:
        """Make an id of Swarm's."""
        return "".join(self._random.choices(_LETTERS, k=25))

    def time(self) -> datetime:
        """Make a time in the two years before the look."""
        return _NOW - timedelta(microseconds=self._random.randrange(63_000_000_000_000))

    def stored(self, name: str, stack: str) -> model.StoredObject:
        """Make a secret or config of a stack."""
        at = self.time()
        return model.StoredObject(
            id=self.ident(),
            version=model.ObjectVersion(index=self._random.randrange(100_000)),
            created_at=at,
            updated_at=at,
            spec=model.Spec(name=name, labels={STACK_LABEL: stack}),
        )

    def fleet(self, servers: int) -> Facts:
        """Make so many servers."""
        made = [self._server(f"s{number:04d}.example") for number in range(servers)]
        declared = Declared(
            root="/home/ops/.abra",
            servers=tuple(one for one, _ in made),
            problems=(),
            releases={"wordpress": ("1.0.0+6.4", "1.1.0+6.5", "2.0.0+6.7")},
        )
        return Facts(taken_at=_NOW, declared=declared, observed=tuple(seen for _, seen in made))

    def _server(self, server: str) -> tuple[DeclaredServer, Observation]:
        lists: dict[str, list[object]] = {
            name: [] for name in ("secrets", "configs", "services", "tasks", "networks", "volumes")
        }
        node = self.ident()
        apps = tuple(
            self._app(server, f"app{number:02d}.{server}", node, lists) for number in range(APPS)
        )
        cluster = model.Cluster(id=self.ident(), created_at=self.time())
        swarm = model.SwarmInfo(
            node_id=node, local_node_state="active", control_available=True, managers=1, nodes=1,
            cluster=cluster,
        )  # fmt: skip
        info = model.Info(
            name=server, server_version="26.1.3", operating_system="Debian GNU/Linux 12",
            architecture="x86_64", ncpu=4, mem_total=8_326_000_640, containers_running=60,
            system_time=self.time(), swarm=swarm,
        )  # fmt: skip
        nodes = (
            model.Node(
                id=node,
                created_at=self.time(),
                spec=model.NodeSpec(role="manager", availability="active"),
                description=model.NodeDescription(
                    hostname=server, engine=model.NodeEngine(engine_version="26.1.3")
                ),
                status=model.NodeStatus(state="ready", addr="10.0.0.1"),
            ),
        )
        seen = Observation(
            server=server, taken_at=_NOW, host=f"ssh://ops@{server}", reachable=True, manager=True,
            info=info, nodes=nodes, **{name: tuple(found) for name, found in lists.items()},
        )  # fmt: skip
        folder = f"/home/ops/.abra/servers/{server}"
        return DeclaredServer(name=server, folder=folder, apps=apps), seen

    def _app(
        self, server: str, domain: str, node: str, lists: dict[str, list[object]]
    ) -> DeclaredApp:
        stack, env_file = domain.replace(".", "_"), f"/home/ops/.abra/servers/{server}/{domain}.env"
        declared: list[DeclaredSecret] = []
        references: list[model.SecretReference] = []
        for at, name in enumerate(_NAMES[:SECRETS]):
            if at < OLDER:
                lists["secrets"].append(self.stored(f"{stack}_{name}_v1", stack))
            version = "v2" if at < OLDER else "v1"
            one = self.stored(f"{stack}_{name}_{version}", stack)
            lists["secrets"].append(one)
            references.append(
                model.SecretReference(
                    secret_id=one.id, secret_name=one.spec.name, file=model.FileTarget(name=name)
                )
            )
            declared.append(
                DeclaredSecret(
                    name=name, version=version, swarm_name=one.spec.name,
                    env_key=f"SECRET_{name.upper()}_VERSION", env_line=12 + at, generate=True,
                    length=32, charset="", services=("app", "db"), shared=False, key=name,
                    mounts=(("app", name), ("db", name)),
                )
            )  # fmt: skip
        config = self.stored(f"{stack}_app_conf_v3", stack)
        lists["configs"].append(config)
        lists["networks"].append(
            model.Network(
                id=self.ident(), name=f"{stack}_internal", created=self.time(), scope="swarm",
                driver="overlay", labels={STACK_LABEL: stack},
            )
        )  # fmt: skip
        lists["volumes"].append(
            model.Volume(
                name=f"{stack}_data", driver="local", created_at="2025-01-05T09:00:00Z",
                mountpoint=f"/var/lib/docker/volumes/{stack}_data/_data",
                labels={STACK_LABEL: stack},
            )
        )  # fmt: skip
        configs = (model.ConfigReference(config_id=config.id, config_name=config.spec.name),)
        self._service(stack, "app", "wordpress:6.7", references, configs, node, lists)
        self._service(stack, "db", "mariadb:11.4", references[:2], (), node, lists)
        return DeclaredApp(
            server=server, name=domain, domain=domain, recipe="wordpress",
            recipe_version="2.0.0+6.7", revision="2.0.0+6.7", stack=stack, env_file=env_file,
            env_sha256="", compose_files=("compose.yml", "compose.mariadb.yml"),
            secrets=tuple(declared),
            configs=(
                DeclaredConfig(
                    name="app_conf", version="v3", swarm_name=config.spec.name,
                    env_key="APP_CONF_VERSION",
                ),
            ),
            guessed=False, note="", problems=(),
        )  # fmt: skip

    def _service(
        self,
        stack: str,
        name: str,
        image: str,
        references: list[model.SecretReference],
        configs: tuple[model.ConfigReference, ...],
        node: str,
        lists: dict[str, list[object]],
    ) -> None:
        container = model.ContainerSpec(
            image=f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}",
            secrets=tuple(references), configs=configs,
            mounts=(model.Mount(type="volume", source=f"{stack}_data", target="/var/lib/data"),),
        )  # fmt: skip
        labels = {STACK_LABEL: stack, f"coop-cloud.{stack}.version": "2.0.0+6.7"}
        spec = model.ServiceSpec(
            name=f"{stack}_{name}",
            labels=labels,
            task_template=model.TaskTemplate(
                container_spec=container, restart_policy=model.RestartPolicy(condition="any")
            ),
            mode=model.ServiceMode(replicated=model.Replicated(replicas=1)),
            update_config=model.UpdateConfig(parallelism=1, order="start-first"),
        )
        service = model.Service(
            id=self.ident(), version=model.ObjectVersion(index=self._random.randrange(100_000)),
            created_at=self.time(), updated_at=self.time(), spec=spec, previous_spec=spec,
            update_status=model.UpdateStatus(state="completed", started_at=self.time()),
            service_status=model.ServiceStatus(running_tasks=1, desired_tasks=1),
        )  # fmt: skip
        lists["services"].append(service)
        ended = ("running", "shutdown") if name == "app" else ("running",)
        for state in ended:
            lists["tasks"].append(
                model.Task(
                    id=self.ident(), service_id=service.id, node_id=node, slot=1,
                    created_at=self.time(), desired_state=state,
                    status=model.TaskStatus(
                        state=state, timestamp=self.time(), message="started",
                        container_status=model.ContainerStatus(
                            container_id=f"{self._random.getrandbits(256):064x}"
                        ),
                    ),
                    spec=model.TaskSpec(container_spec=container),
                )
            )  # fmt: skip


def later(facts: Facts, every: int) -> Facts:
    """Give the fleet a week later: one secret rotated on each `every`-th server, if not 0."""
    maker, at = Maker(1), facts.taken_at + timedelta(days=7)
    observed: list[Observation] = []
    for number, seen in enumerate(facts.observed):
        info = msgspec.structs.replace(seen.info, system_time=at)
        found = msgspec.structs.replace(seen, taken_at=at, info=info)
        if every and number % every == 0:
            first = seen.secrets[0]
            name = first.spec.name.removesuffix("v1") + "v3"
            made = maker.stored(name, (first.spec.labels or {})[STACK_LABEL])
            found = msgspec.structs.replace(found, secrets=(made, *seen.secrets[1:]))
        observed.append(found)
    return Facts(taken_at=at, declared=facts.declared, observed=tuple(observed))


def without_one(facts: Facts) -> Facts:
    """Give the fleet when its first server does not answer."""
    first, *others = later(facts, 0).observed
    gone = Observation(server=first.server, taken_at=first.taken_at, error="no answer")
    return Facts(taken_at=first.taken_at, declared=facts.declared, observed=(gone, *others))


# -- measuring -----------------------------------------------------------------------------------


def thin(facts: Facts) -> Facts:
    """Give the fleet without services and what comes with them: secrets and apps alone."""
    nothing = dict.fromkeys(("services", "tasks", "configs", "networks", "volumes"), ())
    seen = (msgspec.structs.replace(one, **nothing) for one in facts.observed)
    return Facts(taken_at=facts.taken_at, declared=facts.declared, observed=tuple(seen))


def gzipped(facts: Facts, path: Path) -> None:
    """Save as format 1 did: gzipped JSON."""
    whole = {
        "opskit_snapshot": 1, "taken_at": facts.taken_at, "declared": facts.declared,
        "observed": facts.observed,
    }  # fmt: skip
    path.write_bytes(gzip.compress(msgspec.json.encode(whole), compresslevel=3))


class Old(msgspec.Struct):
    """What format 1 holds."""

    declared: Declared
    observed: tuple[Observation, ...]


def ungzipped(path: Path) -> Old:
    """Load as format 1 did, without its limit."""
    return msgspec.json.decode(gzip.decompress(path.read_bytes()), type=Old)


def measure(kind: str, folder: Path) -> None:
    """Time each job on one kind of fleet, a few times, beside what does the same barely."""
    facts = Maker().fleet(SERVERS)
    facts = thin(facts) if kind == "secrets alone" else facts
    path, bare, old = folder / "one.opskit", folder / "bare.parquet", folder / "old.gz"
    opskit.Snapshot(facts).save(path)
    table = pq.read_table(path)
    plain = {"compression": "zstd", "compression_level": 1, "use_dictionary": False}
    jobs: dict[str, Callable[[], object]] = {
        "save": lambda: opskit.Snapshot(facts).save(path),
        "bare PyArrow writes the same table": lambda: pq.write_table(table, bare, **plain),
        "format 1 (gzipped JSON) saves": lambda: gzipped(facts, old),
        "load": lambda: opskit.Snapshot.load(path),
        "bare PyArrow reads the same table": lambda: pq.read_table(bare),
        "format 1 loads": lambda: ungzipped(old),
        "load, and all that servers said": lambda: opskit.Snapshot.load(path).facts.observed,
    }
    rows = {name: [timed(job) for _ in range(ROUNDS)] for name, job in jobs.items()}
    for part, base in (("save", 0), ("load", 3)):
        names = list(jobs)[base : base + 3] + (["load, and all that servers said"] if base else [])
        report(f"{kind}: {part}", {name: rows[name] for name in names}, names[1])
    sizes = {one.name: one.stat().st_size / 1e6 for one in (path, bare, old)}
    print(f"{kind}: MB {sizes}")
    looks: dict[str, Callable[[], Facts]] = {
        "nothing changed": lambda: later(facts, 0),
        "each 20th server changed": lambda: later(facts, 20),
        "one server gone": lambda: without_one(facts),
        "each server changed": lambda: later(facts, 1),
    }
    for what, look in looks.items():
        opskit.Snapshot(look()).save(folder / "later.opskit")
        times: list[float] = []
        for _ in range(ROUNDS):
            before, after = map(opskit.Snapshot.load, (path, folder / "later.opskit"))
            times.append(timed(partial(after.diff, before)))
        report(f"{kind}: diff, {what}", {"diff": times}, "diff")


def main() -> None:
    """Measure both fleets, each in a process of its own."""
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as folder:
            measure(sys.argv[1], Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak {peak:,.0f} MB, with the fleet in memory")
        return
    for kind in ("secrets alone", "with services and tasks"):
        subprocess.run([sys.executable, __file__, kind], check=True)


if __name__ == "__main__":
    main()
