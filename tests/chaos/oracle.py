"""What is so, by the engines' own word and plain files: nothing here is opskit's.

An engine is asked over its socket, past every line and sshd that a fault may break.
"""

from __future__ import annotations

import http
import http.client
import json
import os
import re
import socket
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.world import App, World
from tests.waiting import eventually

_VERSION = re.compile(r"(?m)^(SECRET_\w*VERSION=)(\S+)")
_TYPE = re.compile(r"(?m)^TYPE=\w+:(\S+)")
_LOCK = "opskit_lock_"
_ANSWER_S = 30.0
ENDED = ("done", "rolled-back", "partly-rolled-back", "given-up")
"""The statuses of runs that nobody needs to finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A secret in the swarm, by its id and the run that made it."""

    ident: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service: what it mounts, by target, its version label, and its running processes."""

    mounts: Mapping[str, str]
    before: Mapping[str, str]
    release: str
    replicas: int
    processes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A server as it is."""

    secrets: Mapping[str, Stored]
    services: Mapping[str, Service]
    locks: tuple[str, ...]

    def services_of(self, app: App) -> dict[str, Service]:
        """Return an app's services by their own names."""
        prefix = f"{app.stack}_"
        return {
            name.removeprefix(prefix): service
            for name, service in self.services.items()
            if name.startswith(prefix)
        }

    def secrets_of(self, app: App) -> dict[str, Stored]:
        """Return the versions of an app's secrets, by swarm name."""
        return {n: one for n, one in self.secrets.items() if n.startswith(f"{app.stack}_")}

    def are_all_there(self) -> bool:
        """Tell whether what the engine calls running is running: it can miss that one ended."""
        running = [pid for one in self.services.values() for pid in one.processes]
        return all(Path(f"/proc/{pid}").exists() for pid in running)

    def needed(self, app: App) -> set[str]:
        """Return the secrets that an app's services mount, or would when docker takes them back."""
        services = self.services_of(app).values()
        return {name for one in services for name in (*one.mounts.values(), *one.before.values())}


def holds(world: World, server: str, secret: str, text: str) -> bool:
    """Tell whether a secret's value has a text in it, as a service that mounts it reads it."""
    reader, ask = f"reader-of-{secret}", f"grep -q {text} /run/secrets/*"
    made = world.docker(
        server, "service", "create", "--detach", "--name", reader, "--secret", secret,
        "--restart-condition", "none", "--no-resolve-image", "local/busybox:1", "sh", "-c", ask,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    try:
        ended = eventually(
            lambda: world.docker(server, "service", "ps", "--format", "{{.CurrentState}}", reader),
            f"{reader} to end",
            lambda asked: asked.stdout.startswith(("Complete", "Failed")),
        )
        return ended.stdout.startswith("Complete")
    finally:
        world.docker(server, "service", "rm", reader)


class UnreadableError(Exception):
    """A server gives no answer just now."""


def look(world: World, server: str) -> Look:
    """Look at a server."""
    ask = _Engine(world, server).ask
    secrets = {
        one["Spec"]["Name"]: Stored(
            ident=one["ID"], run=(one["Spec"].get("Labels") or {}).get("opskit.run", "")
        )
        for one in ask("/secrets")
    }
    running: dict[str, list[int]] = {}
    for listed in ask("/containers/json"):
        one = ask(f"/containers/{listed['Id']}/json", missing=None)
        if one and one["State"]["Running"] and not one["State"].get("Paused"):
            service = (one["Config"]["Labels"] or {}).get("com.docker.swarm.service.id", "")
            running.setdefault(service, []).append(one["State"]["Pid"])
    services = {
        one["Spec"]["Name"]: _service(one, running.get(one["ID"], [])) for one in ask("/services")
    }
    configs = [one["Spec"]["Name"] for one in ask("/configs")]
    locks = tuple(name.removeprefix(_LOCK) for name in configs if name.startswith(_LOCK))
    return Look(secrets=secrets, services=services, locks=locks)


class _Engine(http.client.HTTPConnection):
    """A connection to an engine's socket, for questions only."""

    def __init__(self, world: World, server: str) -> None:
        super().__init__(server, timeout=_ANSWER_S)
        self._socket = str(world.fleet.daemons[server].socket)

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket)

    def ask(self, path: str, **missing: Any) -> Any:
        """Return what the engine says to a question; `missing` what stands for nothing."""
        try:
            self.request("GET", path, headers={"Host": "docker"})
            reply = self.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnreadableError(f"{self.host}: {error}") from error
        if reply.status == http.HTTPStatus.NOT_FOUND and missing:
            return missing["missing"]
        if reply.status != http.HTTPStatus.OK:
            raise UnreadableError(f"{self.host}: {text.decode()}")
        return json.loads(text)


def _service(one: Mapping[str, Any], processes: Iterable[int]) -> Service:
    spec = one["Spec"]
    stack = (spec.get("Labels") or {}).get("com.docker.stack.namespace", "")
    replicated = spec["Mode"].get("Replicated")
    return Service(
        mounts=_mounts(spec),
        before=_mounts(one.get("PreviousSpec") or {}),
        release=(spec.get("Labels") or {}).get(f"coop-cloud.{stack}.version", ""),
        replicas=replicated.get("Replicas", 0) if replicated else 0,
        processes=tuple(processes),
    )


def _mounts(spec: Mapping[str, Any]) -> dict[str, str]:
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
    return {one["File"]["Name"]: one["SecretName"] for one in container.get("Secrets") or []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What an app's ``.env`` says."""

    versions: Mapping[str, str]
    release: str

    @classmethod
    def read(cls, text: str) -> Declared:
        """Read a file's text."""
        release = _TYPE.search(text)
        return cls(
            versions={found[1][:-1]: found[2] for found in _VERSION.finditer(text)},
            release=release[1] if release else "",
        )


def swarm_name(app: App, secret: str, version: str) -> str:
    """Return what a version is called in the swarm."""
    return f"{app.stack}_{secret}_{version}"


def disagreements(app: App, declared: Declared, seen: Look) -> list[str]:
    """List where an app that is deployed does not mount what its file declares."""
    services = seen.services_of(app)
    if not services:
        return []
    wanted: dict[str, dict[str, str]] = {}
    for mount in app.recipe.mounts:
        version = declared.versions.get(mount.variable, "?")
        name = swarm_name(app, mount.secret, version)
        wanted.setdefault(mount.service, {})[mount.target] = name
    found = [f"service {name} is missing" for name in wanted if name not in services]
    for name, targets in wanted.items():
        mounts = services[name].mounts if name in services else targets
        found += [
            f"{name} mounts {mounts.get(target)} as {target}, declared is {secret}"
            for target, secret in targets.items()
            if mounts.get(target) != secret
        ]
        found += [f"{name} mounts {one} besides" for one in mounts.keys() - targets.keys()]
    return found


def not_there(app: App, declared: Declared, seen: Look) -> list[str]:
    """List declared versions that the swarm does not have."""
    names = {
        swarm_name(app, secret, declared.versions.get(variable, "?"))
        for secret, variable in app.recipe.keys.values()
    }
    return sorted(names - seen.secrets.keys())


class Values:
    """What is mounted, read in the containers' own file systems, against what is known of it.

    `known` has each value that was seen or given, `among` the values that one of which it must
    be, both by the secret's id.
    """

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}
        self.among: dict[str, set[bytes]] = {}

    def wrong(self, app: App, seen: Look) -> list[str]:
        """List services that do not run, and containers whose files hold another value."""
        found: list[str] = []
        for mount in app.recipe.mounts:
            service = seen.services_of(app).get(mount.service)
            if service is None or mount.service in app.recipe.jobs:
                continue
            if len(service.processes) < max(service.replicas, 1):
                found.append(f"{mount.service} does not run")
            name = service.mounts.get(mount.target, "")
            stored = seen.secrets.get(name)
            for pid in service.processes if stored else ():
                value = _mounted(pid, mount.target)
                known = self.known.get(stored.ident if stored else "")
                if value is None:
                    # It may have ended since the engine told of it.
                    found.append(
                        f"{mount.service}, which has no file {mount.target} {_there(pid)}, "
                        "does not run"
                    )
                elif known is None and stored:
                    if value not in self.among.get(stored.ident, {value}):
                        found.append(f"{name} has a value that nobody made for it")
                    self.known[stored.ident] = value
                    same = [
                        i for i, one in self.known.items() if one == value and i != stored.ident
                    ]
                    if same:
                        found.append(f"{name} has the value of another secret")
                elif value != known:
                    found.append(f"{mount.service} reads another value than {name} has")
        return sorted(set(found))

    def bare(self, app: App, seen: Look) -> dict[str, list[int]]:
        """Return services with processes that have none of their secrets, and those.

        An engine that is killed between making a container and starting it does so later, without
        its secrets. Only a new task has them.
        """
        found: dict[str, list[int]] = {}
        for name, service in seen.services_of(app).items():
            for pid in service.processes if service.mounts else ():
                if not any(_mounted(pid, target) for target in service.mounts) and _lives(pid):
                    found.setdefault(name, []).append(pid)
        return found


def began(pid: int) -> float:
    """Return when a process began, by the clock of ``time.monotonic``."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/root/run/secrets").exists()


def _mounted(pid: int, target: str) -> bytes | None:
    try:
        return Path(f"/proc/{pid}/root/run/secrets/{target}").read_bytes()
    except OSError:
        return None


def _there(pid: int) -> str:
    """Tell what there is instead."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(bytes(1), b" ").decode()
        files = sorted(path.name for path in Path(f"/proc/{pid}/root/run/secrets").iterdir())
    except OSError as error:
        return f"({error})"
    return f"(process {pid}, {command.strip()}, has {', '.join(files) or 'none'})"


def apps_of(state: Path, run: str) -> set[str]:
    """Read which apps a run touched."""
    return {app for (app,) in _rows(state, "SELECT DISTINCT app FROM steps WHERE run = ?", run)}


def unfinished_on(state: Path, apps: Collection[str]) -> bool:
    """Tell whether a run that has not ended touched one of these apps, or nobody can tell."""
    try:
        left = [run for run, (_, status) in runs(state).items() if status not in ENDED]
        return any(apps_of(state, run) & set(apps) for run in left)
    except sqlite3.OperationalError:
        # As when its disk is full.
        return True


def steps_of(state: Path, process: int) -> int:
    """Count the steps that a process has begun of the run that it works on."""
    query = (
        "SELECT count(*) FROM steps WHERE run ="
        " (SELECT run FROM runs WHERE pid = ? AND status = 'running' ORDER BY rowid DESC LIMIT 1)"
    )
    with suppress(sqlite3.OperationalError):
        return sum(count for (count,) in _rows(state, query, process))
    return 0


def is_proved(state: Path, run: str) -> bool:
    """Tell whether a run found its change to work, before anything was undone."""
    query = "SELECT phase, action, status FROM steps WHERE run = ?"
    steps = _rows(state, query, run)
    return ("do", "verify", "done") in steps and all(phase == "do" for phase, *_ in steps)


def runs(state: Path) -> dict[str, tuple[str, str]]:
    """Read kind and status of every run, plainly from the journal's table."""
    rows = _rows(state, "SELECT run, kind, status FROM runs ORDER BY rowid")
    return {run: (kind, status) for run, kind, status in rows}


def _rows(state: Path, query: str, *given: str | int) -> list[Any]:
    path = state / "journal.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as journal:
        return journal.execute(query, given).fetchall()


def plain(text: str, lines: Iterable[str]) -> str:
    """Return an ``.env`` without its versions and without these whole lines."""
    gone = set(lines)
    kept = [line for line in text.splitlines(keepends=True) if line.rstrip("\r\n") not in gone]
    return re.sub(r"(?m)^(TYPE=\w+:)\S+", r"\1", _VERSION.sub(r"\1", "".join(kept)))


@dataclass(slots=True)
class Canaries:
    """Looks for values where none may be."""

    marks: set[bytes] = field(default_factory=set[bytes])

    def found_in(self, roots: Iterable[Path]) -> list[str]:
        """Return the files below these folders that hold a value, in any spelling looked for."""
        return [
            str(path)
            for root in roots
            for path in sorted(root.rglob("*"))
            if path.is_file() and not path.is_symlink() and self.in_bytes(_content(path))
        ]

    def in_bytes(self, content: bytes) -> bool:
        """Tell whether a value is in there."""
        return any(mark in content for mark in self.marks)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
