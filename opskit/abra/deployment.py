"""What ``docker stack deploy`` needs to deploy an app: compose files and environment."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote

from opskit.abra.app import Declarations, Inputs, claimed, variables
from opskit.abra.compose import Compose
from opskit.abra.deployed import (
    Deployed,
    check_sources,
    deployed,
    external_networks,
    looked_up,
    pace_of,
    refused,
    settled,
)
from opskit.abra.env import EnvFile, read_env
from opskit.abra.layout import env_path
from opskit.abra.model import DeclaredSecret
from opskit.abra.names import (
    APP_SERVICE,
    AUTO_UPDATE,
    compose_files,
    label,
    pinned_version,
    recipe_key,
    recipe_line,
    recipe_of,
    stack_name,
    take_apart,
)
from opskit.abra.recipe import Recipe, Recipes
from opskit.abra.repository import version_tree
from opskit.errors import InputError
from opskit.files.temporary import folder
from opskit.pace import Pace, seconds_of

LOCATORS = frozenset(
    {"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_TLS_VERIFY"}
)
"""What tells docker where the engine is that no context names."""

TAKEN = frozenset({"PATH", "SSH_AUTH_SOCK", "DOCKER_CONFIG"}) | LOCATORS
"""Variables by which docker itself finds ssh and the engine, so that it cannot have an app's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """An app ready to be deployed; its environment may hold secrets and is never shown.

    Parameters
    ----------
    stack
        Its name.
    recipe
        The recipe's name.
    version
        What abra calls the recipe's version: a tag or a commit; empty when nobody knows it.
    chaos
        Whether these are files that no version holds.
    pinned
        Whether the ``.env`` names the version.
    folder
        Where the files lie.
    shown
        The recipe's folder, for people: that of the files may be gone before they look.
    compose_files
        The recipe's, enabled by the ``.env``.
    overlays
        Files of opskit's: one that adds abra's labels and environment to a service ``app``, and
        what `with_images` adds.
    environment
        What compose files are interpolated with; see also `TAKEN`.
    services
        The services, by their names without the stack.
    paces
        How long each of them may take to come up, by the same names.
    needed
        The secrets that must be there.
    networks
        Names of the networks that must be there.
    looked_up
        Names of all variables that docker looks up in its own environment for these files.
    origin
        The recipe at that version.
    unset
        Variables of the recipe's sample that the ``.env`` does not have.
    timeout
        Seconds the recipe's ``timeout`` label asks for, 0 without.
    made, claim
        Where overlays are written, and the format that they claim.
    """

    stack: str
    recipe: str
    version: str
    chaos: bool
    pinned: bool
    folder: str
    shown: str
    compose_files: tuple[str, ...]
    overlays: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    origin: Recipe = field(repr=False)
    services: Mapping[str, Deployed] = field(default_factory=dict[str, Deployed])
    paces: Mapping[str, Pace] = field(default_factory=dict[str, Pace])
    needed: tuple[DeclaredSecret, ...] = ()
    networks: tuple[str, ...] = ()
    looked_up: frozenset[str] = frozenset()
    unset: tuple[str, ...] = ()
    timeout: float = 0.0
    made: Path = field(default=Path(), repr=False)
    claim: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """All compose files, in the order in which they are merged."""
        return (*self.compose_files, *self.overlays)

    def with_values(self, values: Mapping[str, str | None]) -> Deployment:
        """Return it with other values for some variables, none for those of no value."""
        environment = {**self.environment, **values}
        there = {key: value for key, value in environment.items() if value is not None}
        return replace(self, environment=there)

    def with_images(self, images: Mapping[str, str]) -> Deployment:
        """Return it with other images for some services; its overlay lasts as long as this does."""
        if not images:
            return self
        services = {name: {"image": _literal(image)} for name, image in sorted(images.items())}
        path = self.made / "images.json"
        path.write_text(json.dumps({**self.claim, "services": services}, indent=1))
        return replace(self, overlays=(*self.overlays, str(path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A recipe and where its files lie; `version` is empty for those of the working tree."""

    name: str
    recipe: Recipe
    folder: Path
    version: str


@contextmanager
def deployment(
    root: Path, server: str, app: str, version: str = "", values: Mapping[str, str] | None = None
) -> Generator[Deployment, None, None]:
    """Work out an app's deployment from its files as they are now.

    With `version` it is what it would be if the ``.env`` pinned that one, with `values` if its
    variables had these.

    The recipe's files are those of the version that ``TYPE=recipe:version`` pins, written to a
    folder of their own for as long as the context lasts; without one, those of the working tree.

    Raises
    ------
    InputError
        A line of the ``.env`` cannot be read, or the recipe, its version or one of its files is
        not on disk: deploying with less than the operator wrote is not tried. Or a variable is not
        set without which docker refuses the files.
    """
    path = env_path(root, server, app)
    env = read_env(path)
    for problem in env.problems[:1]:
        raise InputError(problem.what, path=path, line=problem.line, remedy=problem.remedy)
    if version:
        pinned = {**env.values, recipe_key(env.values): f"{recipe_of(env.values)[0]}:{version}"}
        env = replace(env, values=pinned)
    env = replace(env, values={**env.values, **(values or {})})
    stack = stack_name(app, env.values)
    with (
        _source(root, env, stack) as source,
        folder("deploy") as made,
    ):
        yield _ready(env, stack, source, made, f"{server}/{app}")


def _ready(env: EnvFile, stack: str, source: _Source, made: Path, app: str) -> Deployment:
    recipe, files = source.recipe, compose_files(env.values)
    environment = variables(env, stack, recipe)
    compose = settled(_compose(env, recipe, files), environment)
    _check_files(compose, recipe.folder)
    _check_required(env, compose, environment, app)
    own = claimed(compose, stack, environment)
    first = Path(files[0]).parent
    env_texts = check_sources(compose, source.folder / first, recipe.folder / first, environment)
    texts = [(source.folder / name).read_text("utf-8", errors="replace") for name in files]
    there = recipe.there
    version = source.version or (there.tag if there and not there.changed else "")
    labels = {label(stack, "recipe"): source.name}
    labels[label(stack, "chaos")] = "false" if version else "true"
    if version:
        labels[label(stack, "version")] = version
    elif there:
        labels[label(stack, "chaos-version")] = there.short
    if AUTO_UPDATE in env.values:
        labels[label(stack, "autoupdate")] = env.values[AUTO_UPDATE]
    added = _overlay(compose, labels, environment)
    if added:
        (made / "labels.json").write_text(added)
    return Deployment(
        stack=stack,
        recipe=source.name,
        version=version or (there.short if there else own.get("version", "")),
        chaos=not version,
        pinned=bool(pinned_version(env.values)),
        folder=str(source.folder),
        shown=str(recipe.folder),
        compose_files=tuple(str(source.folder / name) for name in files),
        overlays=(str(made / "labels.json"),) if added else (),
        environment=environment
        | {_beside(name): environment[name] for name in TAKEN & environment.keys()},
        origin=recipe,
        services=deployed(compose, stack, environment),
        paces={
            name: pace_of(service.pace, environment) for name, service in compose.services.items()
        },
        needed=_needed(env, stack, compose, recipe, environment),
        networks=external_networks(compose, environment),
        looked_up=looked_up(compose, texts, env_texts),
        unset=tuple(name for name in recipe.sets if name not in env.values),
        timeout=seconds_of(own.get("timeout", "")),
        made=made,
        claim=_claim(compose),
    )


def _compose(env: EnvFile, recipe: Recipe, files: tuple[str, ...]) -> Compose:
    enabled = recipe.enabled(files)
    for name in enabled.absent[:1]:
        raise InputError(
            f"the recipe has no {name}.",
            path=env.path,
            line=env.lines.get("COMPOSE_FILE"),
            remedy="Mend COMPOSE_FILE, or check out a version of the recipe that has it.",
        )
    for problem in (*enabled.problems, *enabled.unsupported)[:1]:
        raise InputError(
            problem.what, path=Path(problem.path), line=problem.line, remedy=problem.remedy
        )
    return enabled.compose


def _check_required(
    env: EnvFile, compose: Compose, environment: Mapping[str, str], app: str
) -> None:
    """Refuse what docker cannot read: first of all, as the rest is about what it reads."""
    if faults := refused(compose, environment):
        raise InputError(
            f"docker refuses the compose files: {' '.join(faults)}",
            path=env.path,
            remedy=f"Set it there: opskit app config {quote(app)}",
        )


def _check_files(compose: Compose, folder: Path) -> None:
    """Refuse what docker would deploy in part, since it merges these files with opskit's own.

    Of what a service has more than once it keeps the last then.
    """
    for name, service in compose.services.items():
        files = [*service.files.items(), *service.config_files.items()]
        for key in (key for key, names in files if len(names) > 1):
            raise InputError(
                f"{name} has {key} in more than one file, of which docker keeps only the last when "
                "it merges compose files, as here with one that gives the labels.",
                path=folder,
                remedy=f"Give each file a key of its own in the recipe, with the name: of {key}.",
            )


def _needed(
    env: EnvFile, stack: str, compose: Compose, recipe: Recipe, environment: Mapping[str, str]
) -> tuple[DeclaredSecret, ...]:
    """Return the secrets that enabled services use and that the deploy does not make itself."""
    inputs = Inputs(
        env=env,
        stack=stack,
        variables=environment,
        fixed=frozenset(recipe.exports),
        sample=recipe.sample,
        where=str(recipe.folder),
    )
    external = {
        take_apart(key, entry, stack, environment).full
        for key, entry in compose.secrets.items()
        if entry.external
    }
    used = Declarations(inputs).secrets(compose)
    return tuple(one for one in used if one.swarm_name in external)


@contextmanager
def _source(root: Path, env: EnvFile, stack: str) -> Generator[_Source, None, None]:
    name, pinned = recipe_of(env.values)
    recipe = Recipes(root).find(name, pinned_version(env.values))
    if recipe is None:
        raise InputError(
            f"the recipe {name or '(none)'} is not in {root / 'recipes'}.",
            path=env.path,
            line=recipe_line(env.lines),
            remedy=f"Fetch it: abra recipe fetch {quote(name) if name else '<recipe>'}",
        )
    if recipe.fault:
        raise recipe.fault
    if recipe.unknown:
        raise InputError(
            f"the recipe {name} has no version {pinned}.",
            path=env.path,
            line=recipe_line(env.lines),
            remedy=f"Fetch it: git -C {quote(str(recipe.folder))} fetch --tags; "
            "or pin another version.",
        )
    if recipe.commit and recipe.repository:
        with version_tree(recipe.repository, recipe.commit) as tree:
            yield _Source(name=name, recipe=recipe, folder=tree, version=pinned)
        return
    there = recipe.there
    if pinned and there is None:
        _check_claim(env, stack, recipe, pinned)
    elif pinned and there and not there.commit.startswith(pinned):
        raise InputError(
            f"the pinned version {pinned} of {name} has changes that no commit holds, and "
            f"{there.short} is checked out.",
            path=env.path,
            line=recipe_line(env.lines),
            remedy="Pin a released version, or none to deploy what is checked out.",
        )
    version = pinned if there is None else ""
    yield _Source(name=name, recipe=recipe, folder=recipe.folder, version=version)


def _check_claim(env: EnvFile, stack: str, recipe: Recipe, pinned: str) -> None:
    """Refuse a folder that is no checkout, unless it says itself that it is that version."""
    enabled = recipe.enabled(compose_files(env.values))
    found = claimed(enabled.compose, stack, variables(env, stack, recipe)).get("version", "")
    if found != pinned:
        what = f"holds version {found}" if found else "does not say which version it holds"
        raise InputError(
            f"{pinned} is pinned, but {recipe.folder} is no git checkout and {what}.",
            path=env.path,
            line=recipe_line(env.lines),
            remedy="Clone the recipe with its tags, or pin the version that is there.",
        )


def _beside(name: str) -> str:
    """Return the variable in which docker has an app's value of one that is taken."""
    return f"OPSKIT_APP_{name}"


def _overlay(compose: Compose, labels: Mapping[str, str], variables: Iterable[str]) -> str:
    """Return a compose file that adds to the service ``app`` what abra adds when it deploys.

    Parameters
    ----------
    compose
        The recipe's files, merged.
    labels
        Keys and values for ``deploy.labels``; they win over the recipe's.
    variables
        Names of the whole environment: those the service does not set itself are handed on to
        it, which config templates rely on. Names only, the docker CLI takes the values from its
        own environment, those of `TAKEN` from `_beside` them.

    Returns
    -------
    str
        JSON, which is YAML; empty when the recipe has no such service.
    """
    service = compose.services.get(APP_SERVICE)
    if service is None:
        return ""
    added = {
        "deploy": {"labels": {_literal(key): _literal(value) for key, value in labels.items()}},
        "environment": [
            f"{name}=${{{_beside(name)}}}" if name in TAKEN else name
            for name in sorted(set(variables) - service.variables)
        ],
    }
    return json.dumps({**_claim(compose), "services": {APP_SERVICE: added}}, indent=1)


def _claim(compose: Compose) -> Mapping[str, str]:
    # The docker CLI merges only files that claim one version.
    return {"version": compose.version} if compose.version else {}


def _literal(text: str) -> str:
    return text.replace("$", "$$")
