"""Recipes and apps made up by hypothesis: whatever compose files and an ``.env`` may say together.

They are deployable on any swarm of one node that has the image `IMAGE`. What is drawn stands for
kinds of apps that operators have: secrets of one variable, a key and the key before it, versions
that only a compose file names, jobs, services of no task, overlays, templates, labels of others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st

from tests.oracle import Named

IMAGE = "local/busybox:1"
Kind = Literal["one", "two", "none", "global", "job", "once"]
Network = Literal["host", "default", "outer"]
_DEPLOY: Mapping[Kind, Mapping[str, Any]] = {
    "one": {},
    "two": {"replicas": 2, "update_config": {"parallelism": 1, "monitor": "100ms"}},
    "none": {"replicas": 0},
    "global": {"mode": "global", "update_config": {"order": "start-first", "monitor": "100ms"}},
    "job": {"mode": "replicated-job", "replicas": 1},
    "once": {"restart_policy": {"condition": "none"}},
}
_THEIRS = {"owner": "finance", "io.portainer.accesscontrol.teams": "ops"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret of a recipe, as it is declared and as it was made."""

    key: str
    middle: str
    variable: str
    version: str
    default: bool = False
    """Whether the compose file names a version for when the ``.env`` has none."""
    line: str = ""
    """How the ``.env`` names the version, with ``%`` for it; empty when only the default does."""
    generate: bool = True
    length: int = 0
    template: bool = False
    labels: Mapping[str, str]

    @property
    def value(self) -> str:
        """What it holds before anything changes."""
        return "{{ .Service.Name }} and more" if self.template else f"value of {self.key}"

    def name(self, stack: str) -> str:
        """Return the name of the first version in the swarm."""
        return f"{stack}_{self.middle}_{self.version}"

    def entry(self) -> dict[str, Any]:
        """Return its entry in a compose file."""
        written = f"{self.variable}:-{self.version}" if self.default else self.variable
        return {"external": True, "name": f"${{STACK_NAME}}_{self.middle}_${{{written}}}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A secret as a file of a service; the short form when nothing is said but the key."""

    key: str
    said: Mapping[str, Any]

    @property
    def target(self) -> str:
        """The file's name."""
        return self.said.get("target", self.key)

    def entry(self) -> str | dict[str, Any]:
        """Return its item in a compose file."""
        return {"source": self.key, **self.said} if self.said else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of a recipe; `later` are the files that an overlay adds."""

    name: str
    kind: Kind
    mounts: tuple[Mount, ...]
    later: tuple[Mount, ...]
    configured: bool

    @property
    def repeats(self) -> bool:
        """Whether docker gives it two files of one secret, as it merges these compose files."""
        keys = [one.key for one in self.mounts or self.later]
        return len(set(keys)) < len(keys) and not (self.mounts and self.later)

    def entry(self) -> dict[str, Any]:
        """Return its entry in a compose file."""
        ends = self.kind in ("job", "once")
        found: dict[str, Any] = {
            "image": IMAGE,
            "command": ["true"] if ends else ["sleep", "100000"],
            "stop_grace_period": "0s",
            "environment": [f"NAME={self.name}"],
            "deploy": {**_DEPLOY[self.kind], "labels": {"team": "a"}},
        }
        if self.mounts:
            found["secrets"] = [one.entry() for one in self.mounts]
        if self.configured:
            found["configs"] = [{"source": "greeting", "target": "/greeting"}]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe, and the ``.env`` of one app of it."""

    secrets: tuple[Secret, ...]
    services: tuple[Service, ...]
    network: Network
    newline: str
    ending: bool

    @property
    def names(self) -> dict[str, Secret]:
        """The secrets by the names they go by: the middle, or the key where two have one."""
        counted = Counter(one.middle for one in self.secrets)
        return {one.middle if counted[one.middle] == 1 else one.key: one for one in self.secrets}

    @property
    def lengths(self) -> dict[str, int]:
        """How long values are to be that are made, where the ``.env`` says so."""
        return {name: one.length for name, one in self.names.items() if one.length}

    def named(self, stack: str) -> dict[str, Named]:
        """Return how each secret is called in a stack."""
        return {
            name: Named(f"{stack}_{one.middle}_", one.variable) for name, one in self.names.items()
        }

    def files(self) -> dict[str, str]:
        """Return the recipe's files."""
        compose: dict[str, Any] = {
            "version": "3.8",
            "services": {one.name: one.entry() for one in self.services},
            "secrets": {one.key: one.entry() for one in self.secrets},
        }
        if self.network == "host":
            compose["networks"] = {"default": {"external": True, "name": "host"}}
        elif self.network == "outer":
            compose["networks"] = {"default": {"external": True, "name": "${STACK_NAME}_outer"}}
        if any(one.configured for one in self.services):
            name = "${STACK_NAME}_greeting_${GREETING_VERSION}"
            compose["configs"] = {"greeting": {"name": name, "file": "./greeting"}}
        later = {
            one.name: {"secrets": [mount.entry() for mount in one.later]}
            for one in self.services
            if one.later
        }
        return {
            "compose.yml": json.dumps(compose, indent=1),
            "compose.more.yml": json.dumps({"version": "3.8", "services": later}, indent=1),
            "greeting": "hello\n",
            "abra.sh": "export GREETING_VERSION=v3\n",
        }

    @property
    def compose_files(self) -> tuple[str, ...]:
        """The files that are enabled."""
        overlay = ("compose.more.yml",) if any(one.later for one in self.services) else ()
        return ("compose.yml", *overlay)

    def env(self, stack: str) -> str:
        """Return the app's ``.env``."""
        lines = ["# an app", "TYPE=shop", "DOMAIN=shop.example", f"STACK_NAME={stack}"]
        if len(self.compose_files) > 1:
            lines += ['COMPOSE_FILE="compose.yml"', 'COMPOSE_FILE="$COMPOSE_FILE:compose.more.yml"']
        by_variable = {one.variable: one for one in self.secrets}
        for variable, one in by_variable.items():
            lines.append(f"#{variable}=v77")
            if one.line:
                lines.append(f"{variable}={one.line.replace('%', one.version)}{_marks(one)}")
        return self.newline.join(lines) + (self.newline if self.ending else "")


def _marks(secret: Secret) -> str:
    marks = ["generate=false"] if not secret.generate else []
    marks += [f"length={secret.length}"] if secret.length else []
    return f"  # {' '.join(marks)}" if marks else ""


_LINES = st.sampled_from(["%", "%", "'%'", '"%"'])
_VERSIONS = st.sampled_from(["v1", "v2", "v9", "2"])
_LABELS = st.sampled_from([{}, {}, _THEIRS])
_KEYS = ("token", "mail", "api_key")


def _versioned(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what secrets of one variable have in common."""
    default = draw(st.booleans())
    line = "" if default and draw(st.booleans()) else draw(_LINES)
    marked = line and draw(st.integers(0, 4)) == 0
    return {
        "version": draw(_VERSIONS),
        "default": default,
        "line": line,
        "generate": not (marked and draw(st.booleans())),
        "length": draw(st.sampled_from([0, 0, 24, 64])) if line else 0,
    }


@st.composite
def _secrets(draw: st.DrawFn) -> tuple[Secret, ...]:
    found: list[Secret] = []
    shared = _versioned(draw)
    for key in _KEYS[: draw(st.integers(1, len(_KEYS)))]:
        alone = draw(st.integers(0, 2)) > 0
        found.append(
            Secret(
                key=key,
                middle=draw(st.sampled_from([key, f"{key}_long"])),
                variable=f"SECRET_{key.upper()}_VERSION" if alone else "SECRETS_VERSION",
                labels=draw(_LABELS),
                template=draw(st.integers(0, 6)) == 0,
                **(_versioned(draw) if alone else shared),
            )
        )
    if draw(st.booleans()):
        for key in ("session", "session_old"):
            more = {**_versioned(draw), "default": False, "line": draw(_LINES)}
            variable = f"SECRET_{key.upper()}_VERSION"
            found.append(Secret(key=key, middle="session", variable=variable, labels={}, **more))
    return tuple(found)


_SAID = st.sampled_from(
    [
        {},
        {},
        {"target": "%"},
        {"target": "/etc/app/%"},
        {"uid": "7", "gid": "8", "mode": 0o400},
        {"target": "%", "uid": "7", "mode": 0o440},
    ]
)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Draw a recipe whose every secret some service uses."""
    secrets = draw(_secrets())
    names = ("app", "worker", "other-one")[: draw(st.integers(1, 3))]
    kinds = {
        name: draw(st.sampled_from(["one", "one", "two", "none", "global", "job", "once"]))
        for name in names
    }
    mounts: dict[str, list[Mount]] = {name: [] for name in names}
    for number, secret in enumerate(secrets):
        users = draw(st.sets(st.sampled_from(names), min_size=1))
        for name in sorted(users):
            for turn in range(draw(st.sampled_from([1, 1, 1, 2]))):
                said = dict(draw(_SAID))
                if turn or "target" in said:
                    file = f"file-{number}-{turn}"
                    said["target"] = said.get("target", "%").replace("%", file)
                mounts[name].append(Mount(key=secret.key, said=said))
    overlay = draw(st.integers(0, 2)) == 0
    services: list[Service] = []
    for name in names:
        # Of one secret all mounts stand in one file: a later file would replace those before.
        later = {one.key for one in mounts[name] if overlay and draw(st.booleans())}
        services.append(
            Service(
                name=name,
                kind=kinds[name],
                mounts=tuple(one for one in mounts[name] if one.key not in later),
                later=tuple(one for one in mounts[name] if one.key in later),
                configured=draw(st.integers(0, 3)) == 0,
            )
        )
    return Recipe(
        secrets=secrets,
        services=tuple(services),
        network=draw(st.sampled_from(["host", "host", "default", "outer"])),
        newline=draw(st.sampled_from(["\n", "\n", "\r\n"])),
        ending=draw(st.booleans()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that is asked of an app: new values for some secrets, or one that is given."""

    verb: Literal["rotate", "insert", "deploy"]
    names: tuple[str, ...] = ()
    mode: Literal["services", "stack"] = "stack"


@st.composite
def stories(draw: st.DrawFn) -> tuple[Recipe, tuple[Change, ...]]:
    """Draw a recipe and what is asked of its app once it runs."""
    recipe = draw(recipes())
    names = list(recipe.names)
    modes = st.sampled_from(["services", "stack"])
    some = st.one_of(st.just(names), st.lists(st.sampled_from(names), min_size=1, unique=True))
    rotate = st.builds(Change, verb=st.just("rotate"), names=some.map(tuple), mode=modes)
    one = st.sampled_from(names).map(lambda name: (name,))
    insert = st.builds(Change, verb=st.just("insert"), names=one, mode=modes)
    changes = draw(st.lists(st.one_of(rotate, rotate, insert), min_size=1, max_size=2))
    return recipe, (*changes, Change(verb="deploy"))


def refusals(recipe: Recipe, change: Change) -> list[str]:
    """Return what a plan of a change may be refused for, as patterns; nothing when it may not."""
    chosen = [recipe.names[name] for name in change.names]
    found: list[str] = []
    if change.verb == "rotate" and any(one.template for one in chosen):
        found.append("template")
    if change.verb == "rotate" and not all(one.generate for one in chosen):
        found.append("comes from elsewhere")
    if change.mode == "stack" and any(one.repeats for one in recipe.services):
        found.append("more than one file")
    for one in chosen:
        sharing = [other for other in recipe.secrets if other.variable == one.variable]
        if any(other not in chosen for other in sharing):
            found.append(f"{one.variable} of .* gives the version of")
    return found
