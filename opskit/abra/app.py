"""One app: what its ``.env`` and its recipe declare together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from opskit.abra.compose import Compose
from opskit.abra.declare import Declarations, Given
from opskit.abra.env import EnvFile, read_env
from opskit.abra.files import printable
from opskit.abra.interpolate import interpolate
from opskit.abra.model import DeclaredApp, Problem
from opskit.abra.names import (
    APP_SERVICE,
    app_name,
    compose_files,
    is_chaos,
    label,
    recipe_line,
    recipe_of,
    stack_name,
)
from opskit.abra.recipe import Enabled, Recipe, Recipes

_GUESSED = "secrets are guessed from the .env"


def variables(env: EnvFile, stack: str, recipe: Recipe | None) -> dict[str, str]:
    """Give what compose files are interpolated with.

    The ``.env``, the stack's name and, over both as abra has it, the exports of ``abra.sh``.
    Values may be secrets.
    """
    return {**env.values, "STACK_NAME": stack, **(recipe.exports if recipe else {})}


def claimed(compose: Compose, stack: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Give what a recipe's own labels say: ``version``, ``timeout`` and the like."""
    service = compose.services.get(APP_SERVICE)
    if service is None:
        return {}
    prefix = label(stack, "")
    found: dict[str, str] = {}
    for key, value in service.labels.items():
        if key.startswith("coop-cloud."):
            full = interpolate(key, variables).text
            if full.startswith(prefix):
                found[full.removeprefix(prefix)] = interpolate(value, variables).text
    return found


def read_app(recipes: Recipes, server: str, path: Path, env: EnvFile | None = None) -> DeclaredApp:
    """Read one app; everything that is wrong with it ends up in its `problems`.

    With `env` it is what the app would be if that stood in its file.
    """
    env = env or read_env(path)
    named, pinned = recipe_of(env.values)
    name = app_name(path.name)
    stack = printable(stack_name(name, env.values))
    version = "" if is_chaos(env.values) else pinned
    recipe = recipes.find(named, version) if named else None
    files = compose_files(env.values)
    enabled = recipe.enabled(files) if recipe else None
    compose = enabled.compose if enabled else Compose()
    given = Given(
        env=env,
        stack=stack,
        variables=variables(env, stack, recipe),
        fixed=frozenset(recipe.exports if recipe else ()),
        modifiers=recipe.modifiers if recipe else {},
        where=printable(str(recipe.folder if recipe else path)),
    )
    declarations = Declarations(given)
    secrets, configs = declarations.secrets(compose), declarations.configs(compose)
    note = _note(env, named, recipe, enabled)
    if note:
        secrets += declarations.guessed(compose)
    problems = (
        *env.problems,
        *_env_problems(env, named, enabled),
        *_version_problems(env, recipe),
        *(enabled.problems if enabled else ()),
        *declarations.problems,
    )
    return DeclaredApp(
        server=printable(server),
        name=printable(name),
        domain=printable(env.values.get("DOMAIN", "")),
        recipe=printable(named),
        recipe_version=printable(pinned),
        revision=_revision(recipe, compose, given) if recipe else "",
        stack=stack,
        env_file=printable(str(path)),
        env_sha256=env.sha256,
        compose_files=tuple(printable(file) for file in files),
        secrets=secrets,
        configs=configs,
        guessed=bool(note),
        note=note,
        problems=problems,
    )


def _note(env: EnvFile, named: str, recipe: Recipe | None, enabled: Enabled | None) -> str:
    """Say why the compose files do not tell all secrets, if they do not."""
    if not env.readable:
        return "the .env cannot be read; its secrets are not known"
    if not named:
        return f"the .env names no recipe (TYPE=); its {_GUESSED}"
    if recipe is None or enabled is None:
        return f"the recipe {printable(named)} is not in recipes/; its {_GUESSED}"
    where = f"the recipe {printable(named)}"
    rest = f"{'further' if enabled.compose.services else 'its'} {_GUESSED}"
    if enabled.absent:
        return f"{where} has no {printable(', '.join(enabled.absent))}; {rest}"
    if enabled.unreadable:
        return f"{printable(', '.join(enabled.unreadable))} of {where} cannot be read; {rest}"
    return ""


def _env_problems(env: EnvFile, named: str, enabled: Enabled | None) -> list[Problem]:
    path = printable(str(env.path))
    found: list[Problem] = []
    if path != str(env.path):
        what = "the file's name has characters that cannot be shown."
        found.append(Problem(path=path, line=0, what=what, remedy="Rename it."))
    if not named and env.readable:
        what = "the file names no recipe."
        found.append(Problem(path=path, line=0, what=what, remedy="Write TYPE=<recipe> in it."))
    if "COMPOSE_FILE" in env.values:
        line = env.lines["COMPOSE_FILE"]
        if not all(part.strip() for part in env.values["COMPOSE_FILE"].split(":")):
            what = "COMPOSE_FILE has an empty part; abra would take it for a file."
            remedy = "Set COMPOSE_FILE=compose.yml above the lines that add to it."
            found.append(Problem(path=path, line=line, what=what, remedy=remedy))
        for file in enabled.absent if enabled else ():
            what = f"COMPOSE_FILE names {printable(file)}, which the recipe does not have."
            remedy = "Mend the name, or check out a version of the recipe that has it."
            found.append(Problem(path=path, line=line, what=what, remedy=remedy))
    return found


def _version_problems(env: EnvFile, recipe: Recipe | None) -> list[Problem]:
    if recipe is None or not recipe.unknown:
        return []
    return [
        Problem(
            path=printable(str(env.path)),
            line=recipe_line(env.lines) or 0,
            what=f"the recipe has no version {printable(recipe.unknown)} here; it is read as it is "
            "checked out.",
            remedy=f"Fetch it: git -C {printable(str(recipe.folder))} fetch --tags",
        )
    ]


def _revision(recipe: Recipe, compose: Compose, given: Given) -> str:
    """Give the checked-out revision; without a checkout the version its labels claim."""
    if recipe.checkout:
        return recipe.checkout
    found = claimed(compose, given.stack, given.variables)
    return printable(found.get("version") or found.get("app.version") or "")
