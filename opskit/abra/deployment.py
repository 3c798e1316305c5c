"""What ``docker stack deploy`` needs to deploy an app: compose files and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from opskit.abra.app import variables
from opskit.abra.conventions import compose_files, recipe_of, stack_name
from opskit.abra.env import EnvFile, read_env
from opskit.abra.layout import env_path
from opskit.abra.recipe import Recipe, Recipes
from opskit.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """An app ready to be deployed; its environment may hold secrets and is never shown."""

    stack: str
    folder: str
    compose_files: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)


def deployment(root: Path, server: str, app: str) -> Deployment:
    """Work out an app's deployment from its files as they are now.

    Raises
    ------
    InputError
        A line of the ``.env`` cannot be read, or the recipe or one of its files is not on disk:
        deploying with less than the operator wrote is not tried.
    """
    path = env_path(root, server, app)
    env = read_env(path)
    for problem in env.problems[:1]:
        raise InputError(problem.what, path=path, line=problem.line, remedy=problem.remedy)
    recipe = _recipe(root, env)
    files = compose_files(env.values)
    enabled = recipe.enabled(files)
    for name in enabled.absent[:1]:
        raise InputError(
            f"the recipe has no {name}.",
            path=path,
            line=env.lines.get("COMPOSE_FILE"),
            remedy="Mend COMPOSE_FILE, or check out a version of the recipe that has it.",
        )
    for problem in enabled.problems[:1]:
        raise InputError(
            problem.what, path=Path(problem.path), line=problem.line, remedy=problem.remedy
        )
    stack = stack_name(app, env.values)
    return Deployment(
        stack=stack,
        folder=str(recipe.folder),
        compose_files=tuple(str(recipe.folder / name) for name in files),
        environment=variables(env, stack, recipe),
    )


def _recipe(root: Path, env: EnvFile) -> Recipe:
    name, _ = recipe_of(env.values)
    found = Recipes(root).find(name)
    if found is None:
        raise InputError(
            f"the recipe {name or '(none)'} is not in {root / 'recipes'}.",
            path=env.path,
            line=env.lines.get("TYPE"),
            remedy=f"Fetch it: abra recipe fetch {name or '<recipe>'}",
        )
    return found
