"""What ``docker stack deploy`` needs to deploy an app: compose files and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from opskit.abra.app import compose_files, recipe_of, stack_name, variables
from opskit.abra.env import read_env
from opskit.abra.recipe import find_recipe
from opskit.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """An app ready to be deployed; its environment may hold secrets and is never shown."""

    stack: str
    folder: str
    compose_files: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)


def deployment(root: Path, env_file: Path) -> Deployment:
    """Work out an app's deployment from its files as they are now.

    Raises
    ------
    InputError
        The ``.env`` cannot be read, or the recipe or one of its files is not on disk.
    """
    env = read_env(env_file)
    if env.problems:
        first = env.problems[0]
        raise InputError(first.what, path=env_file, line=first.line, remedy=first.remedy)
    name, _ = recipe_of(env.values)
    recipe = find_recipe(root, name)
    if recipe is None:
        raise InputError(
            f"the recipe {name or '(none)'} is not in {root / 'recipes'}.",
            path=env_file,
            line=env.lines.get("TYPE"),
            remedy=f"Fetch it: abra recipe fetch {name}",
        )
    files = tuple(str(recipe.folder / part) for part in compose_files(env.values))
    for path in files:
        if not Path(path).is_file():
            raise InputError(
                "this compose file is not in the recipe.",
                path=Path(path),
                remedy=f"Mend COMPOSE_FILE in {env_file}.",
            )
    stack = stack_name(env_file.name.removesuffix(".env"), env.values)
    return Deployment(
        stack=stack,
        folder=str(recipe.folder),
        compose_files=files,
        environment=variables(env, stack, recipe),
    )
