"""A new app's ``.env``: its recipe's ``.env.sample``, filled in as abra does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from opskit.abra.edit import has_line, set_name
from opskit.abra.env import parse_env
from opskit.abra.files import read_bytes
from opskit.abra.git import clone
from opskit.abra.layout import check_root
from opskit.abra.names import ENV_SUFFIX, nameable, recipe_folders, stack_name
from opskit.abra.recipe import SAMPLE, Recipe, Recipes
from opskit.abra.releases import in_order
from opskit.errors import InputError

_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]*[A-Za-z0-9])*")
_LONGEST_FILE_NAME = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApp:
    """An app that is not there yet: where its ``.env`` is to be, and what is to stand in it."""

    path: Path
    stack: str
    recipe: str
    version: str
    content: bytes = field(repr=False)


def new_app(root: Path, server: str, domain: str, recipe: str, version: str | None) -> NewApp:
    """Fill in a recipe's sample.

    Parameters
    ----------
    root
        abra's folder.
    server
        Its server; its folder must be there.
    domain
        The app's domain, which also names it.
    recipe
        Which recipe; it must be on disk.
    version
        A release or commit to pin; the latest release when ``None``, and when empty none: then
        the sample is that of the working tree.

    Raises
    ------
    InputError
        Server, domain, recipe or version will not do; says which.
    """
    check_root(root)
    path = env_place(root, server, domain)
    _check_name(recipe)
    recipes = Recipes(root)
    found = _find(recipes, root, recipe)
    if found.fault and version != "":
        raise found.fault
    pinned = next(reversed(in_order(found.tags)), "") if version is None else version
    content = _sample(_find(recipes, root, recipe, pinned), recipe, pinned)
    # The name that recipes use for the domain to come.
    content = content.replace(f"{recipe}.example.com".encode(), domain.encode())
    if has_line(content, "DOMAIN") and parse_env(content, path).values.get("DOMAIN") != domain:
        content = set_name(content, "DOMAIN", domain, path)
    key = "RECIPE" if has_line(content, "RECIPE") else "TYPE"
    content = set_name(content, key, f"{recipe}:{pinned}" if pinned else recipe, path)
    stack = stack_name(domain, parse_env(content, path).values)
    return NewApp(path=path, stack=stack, recipe=recipe, version=pinned, content=content)


def env_place(root: Path, server: str, domain: str) -> Path:
    """Return the path of an app's ``.env`` to be.

    Raises
    ------
    InputError
        There is no such server, or the domain cannot be one.
    """
    known = sorted(path.name for path in (root / "servers").iterdir() if path.is_dir())
    if server not in known:
        raise InputError(
            f"there is no server called {server!r} in {root / 'servers'}.",
            remedy=f"Choose from: {', '.join(known) or 'none is there'}",
        )
    if not _DOMAIN.fullmatch(domain) or len(domain + ENV_SUFFIX) > _LONGEST_FILE_NAME:
        raise InputError(f"{domain!r} cannot be a domain.", remedy="Write it as cloud.example.org.")
    return root / "servers" / server / f"{domain}{ENV_SUFFIX}"


def fetch_recipe(root: Path, name: str, address: str) -> bool:
    """Clone a recipe that is not on disk; false when it is there.

    Parameters
    ----------
    root
        abra's folder.
    name
        The recipe's name, or its address without ``https://``.
    address
        Where recipes with a mere name are; holds ``{recipe}``.
    """
    check_root(root)
    url, folder = clone_of(root, name, address)
    if Recipes(root).find(name) is not None:
        return False
    clone(url, folder)
    return True


def clone_of(root: Path, name: str, address: str) -> tuple[str, Path]:
    """Return where a recipe is cloned from, and its folder; see `fetch_recipe`.

    Raises
    ------
    InputError
        No recipe can have that name, or it holds a login.
    """
    _check_name(name)
    folders = recipe_folders(name)
    if not folders or name.startswith("-"):
        raise InputError(f"{name!r} cannot be a recipe.", remedy="Write it as wordpress.")
    url = address.replace("{recipe}", name)
    if "/" in name:
        url = name if "://" in name else f"https://{name}"
    return url, root / "recipes" / folders[0]


def _check_name(recipe: str) -> None:
    """Refuse an address with a login, which would stand in the ``.env``, plans and the journal."""
    if (named := nameable(recipe)) != recipe:
        raise InputError(
            f"a recipe's name is shown and kept, and that of {named} holds a login.",
            remedy="Name it without, and let git know the login: see git help credentials",
        )


def _find(recipes: Recipes, root: Path, name: str, version: str = "") -> Recipe:
    found = recipes.find(name, version)
    if found is None:
        raise InputError(
            f"the recipe {name} is not in {root / 'recipes'}.",
            remedy=f"Fetch it: opskit app new {quote(name)} … --fetch, without --dry-run",
        )
    return found


def _sample(recipe: Recipe, name: str, version: str) -> bytes:
    if not version:
        return read_bytes(recipe.folder / SAMPLE)
    if not recipe.commit:
        raise InputError(
            f"the recipe {name} has no version {version}.",
            remedy=f"Fetch it: git -C {quote(str(recipe.folder))} fetch --tags; "
            "or name another version.",
        )
    content = recipe.find(SAMPLE)
    if content is None:
        raise InputError(f"version {version} of {name} has no {SAMPLE}.", path=recipe.folder)
    return content
