"""What stands in a swarm and in a ``.env``, seen without opskit, and what a change may do to it.

Nothing of opskit is used here, so that it can judge: the docker command line tells what services,
secrets and containers have, ``docker stack config`` what compose files declare, and the ``.env`` is
read as text. What a plan said comes as plain data. Every function that compares returns sentences
about what differs; none of them is what a change that is ``done`` must come to.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.waiting import LIMIT, eventually

STACK_LABEL = "com.docker.stack.namespace"
_LOCK = "opskit_lock_"
_END = "----end-of-file----"
_LINE = re.compile(r"\s*(?:export\s+)?(?P<key>\w+)=(?P<value>'[^']*'|\"[^\"]*\"|\S*)")

Place = tuple[str, str]
"""A service, and the name of a file in it."""


@dataclass(frozen=True, slots=True)
class Docker:
    """The docker command line, pointed at one engine."""

    host: str

    def run(
        self, *arguments: str, stdin: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, with `more` in its environment, and return how it ended."""
        return subprocess.run(
            ["docker", "-H", self.host, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            env={**more, "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        )

    def __call__(self, *arguments: str, stdin: str = "", **more: str) -> str:
        """Run a command that must succeed and return its output."""
        done = self.run(*arguments, stdin=stdin, **more)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def inspect(self, kind: str, *options: str) -> list[dict[str, Any]]:
        """Return all that is known of those objects of a kind that `options` of ``ls`` choose."""
        found = self(kind, "ls", "-q", *options).split()
        return json.loads(self(kind, "inspect", *found)) if found else []


@dataclass(frozen=True, slots=True, order=True)
class Mount:
    """A secret as a file: which, and whose it is."""

    secret: str
    uid: str
    gid: str
    mode: int


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its spec, its mounted secrets, its tasks, and what is read in its containers."""

    spec: Mapping[str, Any]
    mounts: Mapping[str, Mount]
    tasks: frozenset[str]
    running: int
    values: Sequence[Mapping[str, str]]
    """For each running container the contents of the files of `mounts`."""

    @property
    def ends(self) -> bool:
        """Whether its tasks are to end by themselves."""
        condition = self.spec["TaskTemplate"].get("RestartPolicy", {}).get("Condition", "any")
        return bool(_JOBS & self.spec["Mode"].keys()) or condition != "any"

    @property
    def wanted(self) -> int:
        """How many tasks it is to have; a swarm of one node has one of a global service."""
        mode = self.spec["Mode"]
        if "Replicated" in mode:
            return mode["Replicated"].get("Replicas", 1)
        return mode.get("ReplicatedJob", {}).get("TotalCompletions", 1)


_JOBS = {"ReplicatedJob", "GlobalJob"}


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a change of one app may touch, at one moment."""

    env: str = field(repr=False)
    services: Mapping[str, Service]
    secrets: Mapping[str, Mapping[str, Any]]
    configs: frozenset[str]

    @property
    def variables(self) -> dict[str, str]:
        """What the ``.env`` says, for files that say it plainly."""
        return variables(self.env)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a plan said, and what that means for an app of which the names are known.

    Parameters
    ----------
    made
        Each new secret, with the one whose place it takes; empty where it takes none.
    swaps
        Each file that is to hold another secret.
    versions
        Each variable that is to name another version.
    restarts
        The services that get new tasks.
    given
        The values that somebody gave, by the secret's name.
    lengths
        How long a value that is made must be, by the secret's name.
    deploys
        Whether the stack is deployed, by which services learn of the variables.
    may_restart
        Whether the plan said that whatever service's spec changes gets new tasks, named or not.
    """

    made: Mapping[str, str] = field(default_factory=dict[str, str])
    swaps: Mapping[Place, str] = field(default_factory=dict[Place, str])
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    restarts: frozenset[str] = frozenset()
    given: Mapping[str, str] = field(default_factory=dict[str, str])
    lengths: Mapping[str, int] = field(default_factory=dict[str, int])
    deploys: bool = False
    may_restart: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """How a secret is called: its names in the swarm up to the version, and its variable."""

    prefix: str
    variable: str


def said(
    rows: Iterable[Mapping[str, Any]],
    stack: str,
    names: Mapping[str, Named],
    swaps: Mapping[Place, str],
    *,
    deploys: bool = False,
    may_restart: bool = False,
    given: str = "",
    lengths: Mapping[str, int],
) -> Said:
    """Return what a plan's rows say, for secrets called like this."""
    found = [row for row in rows if isinstance(row["secret"], str)]
    made = {
        names[row["secret"]].prefix + row["to"]: names[row["secret"]].prefix + str(row["from"])
        for row in found
    }
    return Said(
        made=made,
        swaps=swaps,
        versions={names[row["secret"]].variable: row["to"] for row in found},
        restarts=frozenset(f"{stack}_{name}" for row in rows for name in row["restarts"]),
        given=dict.fromkeys(made, given) if given else {},
        lengths={
            names[row["secret"]].prefix + row["to"]: lengths[row["secret"]]
            for row in found
            if row["secret"] in lengths and not given
        },
        deploys=deploys,
        may_restart=may_restart,
    )


def variables(env: str) -> dict[str, str]:
    """Read the lines of a ``.env`` that give a variable its value without any expansion."""
    found = (match for match in map(_LINE.match, re.split(r"\r?\n", env)) if match)
    return {match["key"]: match["value"].strip("'\"") for match in found}


def look(docker: Docker, stack: str, env_file: Path) -> Seen:
    """Look at all that a change of one app may touch."""
    chosen = ("-f", f"label={STACK_LABEL}={stack}")
    tasks = _tasks(docker, stack)
    containers = _containers(docker, tasks)
    return Seen(
        env=env_file.read_bytes().decode(),
        services={
            one["Spec"]["Name"]: _service(docker, one, tasks, containers)
            for one in docker.inspect("service", *chosen)
        },
        secrets={
            one["Spec"]["Name"]: {"id": one["ID"], **one["Spec"]}
            for one in docker.inspect("secret", "-f", f"name={stack}")
        },
        configs=frozenset(
            docker("config", "ls", "-f", f"name={stack}", "--format", "{{.Name}}").split()
        ),
    )


def _tasks(docker: Docker, stack: str) -> list[dict[str, Any]]:
    """Return the tasks of a stack, each with its service's name."""
    done = docker.run("stack", "ps", "--no-trunc", "--format", "{{json .}}", stack)
    if "nothing found in stack" in done.stderr:
        return []
    assert done.returncode == 0, done.stderr
    tasks = [json.loads(line) for line in done.stdout.splitlines()]
    return [{**one, "Service": one["Name"].strip(" \\_").rpartition(".")[0]} for one in tasks]


def _containers(docker: Docker, tasks: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the containers of tasks that are to run, by service."""
    wanted = {one["ID"] for one in tasks if one["DesiredState"] == "Running"}
    label = '{{.Label "com.docker.swarm.%s"}}'
    shown = f"{{{{.ID}}}} {label % 'service.name'} {label % 'task.id'}"
    found: dict[str, list[str]] = {}
    for line in docker("ps", "--no-trunc", "--format", shown).splitlines():
        container, service, task = line.split(" ")
        if task in wanted:
            found.setdefault(service, []).append(container)
    return found


def _service(
    docker: Docker,
    seen: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
    containers: Mapping[str, list[str]],
) -> Service:
    name = seen["Spec"]["Name"]
    references = seen["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or []
    mounts = {
        one["File"]["Name"]: Mount(
            one["SecretName"], one["File"]["UID"], one["File"]["GID"], one["File"]["Mode"]
        )
        for one in references
    }
    own = [one for one in tasks if one["Service"] == name]
    return Service(
        spec=seen["Spec"],
        mounts=mounts,
        tasks=frozenset(one["ID"] for one in own),
        running=sum(
            one["DesiredState"] == "Running" and one["CurrentState"].startswith("Running")
            for one in own
        ),
        values=[read(docker, container, mounts) for container in containers.get(name, ())],
    )


def read(docker: Docker, container: str, files: Iterable[str]) -> dict[str, str]:
    """Return what mounted files hold in a container; it may have ended by itself meanwhile."""
    names = list(files)
    if not names:
        return {}
    script = "; ".join(f"cat '{_path(name)}'; echo; echo {_END}" for name in names)
    done = docker.run("exec", container, "sh", "-c", script)
    texts = done.stdout.replace("\r\n", "\n").split(f"\n{_END}\n")
    return dict(zip(names, texts, strict=False)) if done.returncode == 0 else {}


def _path(file: str) -> str:
    return file if file.startswith("/") else f"/run/secrets/{file}"


def declared(
    files: Iterable[Path], environment: Mapping[str, str], stack: str
) -> dict[Place, Mount]:
    """Return the files that compose files give each service, as the docker command line has it."""
    config = stack_config(files, environment)
    names = {
        key: entry.get("name") or (key if entry.get("external") else f"{stack}_{key}")
        for key, entry in config.get("secrets", {}).items()
    }
    return {
        (f"{stack}_{service}", one.get("target", one["source"])): Mount(
            names[one["source"]],
            str(one.get("uid", "0")),
            str(one.get("gid", "0")),
            int(one.get("mode", 0o444)),
        )
        for service, parts in config["services"].items()
        for one in parts.get("secrets", ())
    }


def stack_config(files: Iterable[Path], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``docker stack config`` makes of compose files; it needs no engine."""
    done = try_stack_config(files, environment)
    assert done.returncode == 0, done.stderr
    return YAML(typ="safe", pure=True).load(done.stdout)


def try_stack_config(
    files: Iterable[Path], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run ``docker stack config`` over compose files and return how it ended."""
    arguments = [argument for file in files for argument in ("-c", str(file))]
    return subprocess.run(
        ["docker", "stack", "config", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def swaps_by_name(before: Seen, moves: Mapping[str, str]) -> dict[Place, str]:
    """Return the swaps of every file whose secret's name begins so, to the whole name after."""
    return {
        (name, file): after
        for name, service in before.services.items()
        for file, mount in service.mounts.items()
        for prefix, after in moves.items()
        if mount.secret.startswith(prefix)
    }


def undeclared(seen: Seen, wanted: Mapping[Place, Mount]) -> list[str]:
    """Compare the files of all services with those that compose files give them."""
    found = {
        (name, file): mount
        for name, service in seen.services.items()
        for file, mount in service.mounts.items()
    }
    return [
        f"{' '.join(place)}: {found.get(place)}, and the files declare {wanted.get(place)}"
        for place in sorted(found.keys() | wanted.keys())
        if found.get(place) != wanted.get(place)
    ]


def differences(before: Seen, after: Seen, said: Said) -> list[str]:
    """Compare what a change did with what its plan said; nothing else may have moved."""
    return [
        *_about_env(before, after, said),
        *_about_secrets(before, after, said),
        *_about_services(before, after, said),
        *_about_values(before, after, said),
        *_about_restarts(before, after, said),
        *(f"{name} is left" for name in sorted(after.configs) if name.startswith(_LOCK)),
        *(f"the config {name} is gone" for name in sorted(before.configs - after.configs)),
    ]


def _about_env(before: Seen, after: Seen, said: Said) -> Iterator[str]:
    old, new = before.variables, after.variables
    for key, version in said.versions.items():
        if new.get(key) != version:
            yield f"the .env has {key}={new.get(key)}, and the plan said {version}"
    for key in sorted(old.keys() | new.keys()):
        if key not in said.versions and old.get(key) != new.get(key):
            yield f"the .env has {key}={new.get(key)} in place of {old.get(key)}"
    # Only the last line may get an end that it did not have.
    lines = after.env.splitlines(keepends=True)
    lines += [line.rstrip("\r\n") for line in lines]
    for line in before.env.splitlines(keepends=True):
        match = _LINE.match(line)
        if line in lines:
            continue
        if match is None or match["key"] not in said.versions:
            yield "a line of the .env was changed that names no version"
        elif not any(
            one.startswith(line[: match.start("value")])
            and one.endswith(line[match.end("value") :])
            for one in lines
        ):
            yield f"more than the version of {match['key']} was changed in its line"


def _about_secrets(before: Seen, after: Seen, said: Said) -> Iterator[str]:
    for name in sorted(before.secrets.keys() | after.secrets.keys() | said.made.keys()):
        old, new = before.secrets.get(name), after.secrets.get(name)
        if name not in said.made:
            if old != new:
                yield f"the secret {name} was {old}, and is {new}"
        elif new is None:
            yield f"{name} was not made"
        elif old is not None:
            yield f"{name} was there before, and the plan said that it is made"
        elif origin := before.secrets.get(said.made[name]):
            for part in ("Templating", "Driver"):
                if origin.get(part) != new.get(part):
                    yield f"{name} has {part} {new.get(part)} in place of {origin.get(part)}"
            if _theirs(origin) != _theirs(new):
                yield f"{name} has the labels {_theirs(new)} in place of {_theirs(origin)}"


def _theirs(secret: Mapping[str, Any]) -> dict[str, str]:
    labels: Mapping[str, str] = secret.get("Labels") or {}
    own = ("opskit.", "com.docker.stack.")
    return {key: text for key, text in labels.items() if not key.startswith(own)}


def _about_services(before: Seen, after: Seen, said: Said) -> Iterator[str]:
    for name in sorted(before.services.keys() | after.services.keys()):
        old, new = before.services.get(name), after.services.get(name)
        if old is None or new is None:
            yield f"the service {name} {'came' if old is None else 'is gone'}"
            continue
        for file in sorted(old.mounts.keys() | new.mounts.keys()):
            was, is_now = old.mounts.get(file), new.mounts.get(file)
            to = said.swaps.get((name, file))
            wanted = Mount(to, was.uid, was.gid, was.mode) if was and to else was
            if is_now != wanted:
                yield f"{name} {file}: {is_now} in place of {wanted}"
        rest = [_rest(one.spec, said if one is old else None) for one in (old, new)]
        yield from _unlike(name, *rest)
        if not new.ends and new.running != new.wanted:
            yield f"{name}: {new.running} of {new.wanted} tasks run"
        for reference in new.spec["TaskTemplate"]["ContainerSpec"].get("Secrets") or ():
            if after.secrets.get(reference["SecretName"], {}).get("id") != reference["SecretID"]:
                yield f"{name}: {reference['SecretName']} is mounted by another id"


def _rest(spec: Mapping[str, Any], said: Said | None) -> dict[str, Any]:
    """Return a spec without its secrets, and as it is to be where that was `said`."""
    found = copy.deepcopy(dict(spec))
    container = found["TaskTemplate"]["ContainerSpec"]
    container.pop("Secrets", None)
    if said is not None and said.deploys:
        pairs = (one.partition("=") for one in container.get("Env", ()))
        known = {key: text for key, _, text in pairs}
        # The service that is told of one variable of the .env is told of all.
        told = said.versions if "STACK_NAME" in known else {}
        if known:
            container["Env"] = [f"{key}={text}" for key, text in sorted({**known, **told}.items())]
    return found


def _unlike(where: str, old: Any, new: Any) -> Iterator[str]:
    """Name the innermost parts in which two specs differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _unlike(f"{where} {key}", old.get(key), new.get(key))
    elif old != new:
        yield f"{where}: {new} in place of {old}"


def _about_values(before: Seen, after: Seen, said: Said) -> Iterator[str]:
    earlier = {name: value for name, _, value in _read(before)}
    known: dict[str, str] = {}
    for name, where, value in _read(after):
        templated = "Templating" in after.secrets.get(name, {})
        if name in said.given and value != said.given[name]:
            yield f"{where} does not hold what was given for {name}"
        if name in said.made and name not in said.given and value in earlier.values():
            yield f"{where} holds an old value in {name}"
        if name in said.lengths and len(value) != said.lengths[name]:
            yield f"{where} holds {len(value)} characters, not {said.lengths[name]}"
        if templated:
            continue  # what is read may differ from container to container
        if value != earlier.get(name, value):
            yield f"{where} holds another value than before, of the same {name}"
        if value != known.setdefault(name, value):
            yield f"{where} holds another value of {name} than another container"


def _read(seen: Seen) -> Iterator[tuple[str, str, str]]:
    """Return each secret that was read in a container, with where that was."""
    for name, service in seen.services.items():
        for values in service.values:
            for file, value in values.items():
                yield service.mounts[file].secret, f"{name} {file}", value


def _about_restarts(before: Seen, after: Seen, said: Said) -> Iterator[str]:
    for name, service in after.services.items():
        old = before.services[name].tasks if name in before.services else frozenset[str]()
        restarted = bool(service.tasks - old)
        if said.may_restart and before.services[name].spec != service.spec:
            continue
        # Of a service that is to have no task none begins anew.
        if restarted != (name in said.restarts) and (restarted or service.wanted):
            came = "got new tasks" if restarted else "got no new task"
            yield f"{name} {came}, and the plan said otherwise"


def settled(docker: Docker, stack: str, env_file: Path) -> Seen:
    """Look once every service has as many tasks as it is to have, and a container of each."""

    def has_settled(one: Service) -> bool:
        whole = [files for files in one.values if files.keys() == one.mounts.keys()]
        return one.ends or one.running == one.wanted == len(whole)

    def quiet(seen: Seen) -> bool:
        return all(map(has_settled, seen.services.values()))

    return eventually(lambda: look(docker, stack, env_file), f"all tasks of {stack}", quiet)
