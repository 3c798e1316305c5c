"""One app: its ``.env``, its recipe, and the secrets its enabled services use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from opskit.abra.compose import Compose, is_external, read_compose, swarm_name
from opskit.abra.env import EnvFile, read_env
from opskit.abra.interpolate import InterpolationError, Piece
from opskit.abra.model import DeclaredApp, DeclaredConfig, DeclaredSecret, Problem
from opskit.abra.recipe import Recipe, recipe_once

STACK_LIMIT = 45
"""abra cuts longer stack names here."""

_GUESSED_KEY = re.compile(r"SECRET_(?P<inner>\w+)_VERSION|(?P<outer>\w+_SECRET)_VERSION")
_CHAOS_MARK = "+U"


def stack_name(app: str, values: Mapping[str, str]) -> str:
    """Give an app's stack name: ``STACK_NAME``, else its name with dots as underscores, cut."""
    return values.get("STACK_NAME") or app.replace(".", "_")[:STACK_LIMIT]


def recipe_of(values: Mapping[str, str]) -> tuple[str, str]:
    """Give recipe and pinned version from ``TYPE=recipe:version`` (or ``RECIPE``)."""
    kind = values.get("TYPE") or values.get("RECIPE") or ""
    name, _, version = kind.partition(":")
    return name.strip(), version.strip().removesuffix(_CHAOS_MARK)


def compose_files(values: Mapping[str, str]) -> list[str]:
    """Give the enabled compose files, relative to the recipe's folder, each once."""
    named = [part.strip() for part in values.get("COMPOSE_FILE", "").split(":")]
    return list(dict.fromkeys(part for part in named if part)) or ["compose.yml"]


def variables(env: EnvFile, stack: str, recipe: Recipe | None) -> dict[str, str]:
    """Give the variables of a deploy: the ``.env``, the stack's name, the recipe's exports."""
    exports = dict(recipe.exports) if recipe else {}
    return {**env.values, "STACK_NAME": stack, **exports}


def read_app(root: Path, server: str, path: Path) -> DeclaredApp:
    """Read one app; everything that is wrong with it ends up in its `problems`."""
    return _Reading(root, server, path).app()


class _Reading:
    def __init__(self, root: Path, server: str, path: Path) -> None:
        self._server = server
        self._env = read_env(path)
        self._name = path.name.removesuffix(".env")
        self._stack = stack_name(self._name, self._env.values)
        recipe, self._pinned = recipe_of(self._env.values)
        self._recipe_name = recipe
        self._recipe = recipe_once(root, recipe) if recipe else None
        self._files = compose_files(self._env.values)
        self._problems: list[Problem] = list(self._env.problems)
        self._variables = variables(self._env, self._stack, self._recipe)

    def app(self) -> DeclaredApp:
        note = self._note()
        if note or self._recipe is None:
            secrets, configs = self._guessed(), ()
        else:
            compose = read_compose([self._recipe.folder / name for name in self._files])
            self._problems += compose.problems
            secrets, configs = self._secrets(compose), self._configs(compose)
        return DeclaredApp(
            server=self._server,
            name=self._name,
            domain=self._env.values.get("DOMAIN", ""),
            recipe=self._recipe_name,
            recipe_version=self._pinned,
            revision=self._recipe.revision if self._recipe else "",
            stack=self._stack,
            env_file=str(self._env.path),
            env_sha256=self._env.sha256,
            compose_files=tuple(self._files),
            secrets=secrets,
            configs=configs,
            guessed=bool(note),
            note=note,
            problems=tuple(self._problems),
        )

    def _note(self) -> str:
        """Say why the recipe's compose files cannot tell the secrets, if they cannot."""
        guessed = "its secrets are guessed from the .env alone"
        if not self._recipe_name:
            return f"the .env names no recipe (TYPE=); {guessed}"
        if self._recipe is None:
            return f"the recipe {self._recipe_name} is not in recipes/; {guessed}"
        if not any((self._recipe.folder / name).is_file() for name in self._files):
            return f"the recipe {self._recipe_name} has no {self._files[0]}; {guessed}"
        return ""

    def _secrets(self, compose: Compose) -> tuple[DeclaredSecret, ...]:
        found: dict[str, DeclaredSecret] = {}
        for key, services in compose.used_secrets.items():
            entry = compose.secrets.get(key)
            if entry is None:
                self._report(0, f"{services[0]} uses the secret {key!r}, which is not declared.")
                continue
            if not is_external(entry):
                # Docker makes it from a file at deploy time; there is nothing to rotate.
                continue
            secret = self._secret(key, entry, services)
            if secret is not None:
                found.setdefault(secret.swarm_name, secret)
        return tuple(found.values())

    def _secret(
        self, key: str, entry: Mapping[str, object], services: list[str]
    ) -> DeclaredSecret | None:
        named = self._named(key, entry)
        if named is None:
            return None
        full, version, env_key = named
        own = full.startswith(f"{self._stack}_")
        rest = full.removeprefix(f"{self._stack}_") if own else full
        suffix = f"_{version}" if version else ""
        return self._declared(
            name=rest.removesuffix(suffix) or key,
            version=version,
            swarm_name=full,
            env_key=env_key,
            services=tuple(services),
            shared=not own,
        )

    def _named(self, key: str, entry: Mapping[str, object]) -> tuple[str, str, str] | None:
        """Give the swarm name, its version, and the variable the version comes from."""
        try:
            parts = swarm_name(key, entry, self._variables)
        except InterpolationError as error:
            self._report(0, f"the name of {key!r} cannot be worked out ({error}).")
            return None
        full = "".join(part.text for part in parts)
        last = parts[-1] if parts else Piece(text="")
        if last.variable and last.variable != "STACK_NAME":
            return full, last.text, last.variable
        _, _, version = full.rpartition("_")
        return full, version if "_" in full else "", ""

    def _declared(
        self,
        *,
        name: str,
        version: str,
        swarm_name: str,
        env_key: str,
        services: tuple[str, ...],
        shared: bool,
    ) -> DeclaredSecret:
        line = self._env.lines.get(env_key, 0)
        modifiers = dict(self._env.modifiers.get(env_key, {}))
        if not modifiers and self._recipe and self._recipe.sample:
            modifiers = dict(self._recipe.sample.modifiers.get(env_key, {}))
        return DeclaredSecret(
            name=name,
            version=version,
            swarm_name=swarm_name,
            env_key=env_key,
            env_line=line,
            generate=modifiers.get("generate", "true").lower() != "false",
            length=self._length(modifiers.get("length", ""), line),
            charset=modifiers.get("charset", ""),
            services=services,
            shared=shared,
        )

    def _length(self, text: str, line: int) -> int | None:
        if not text:
            return None
        if text.isascii() and text.isdigit() and int(text) > 0:
            return int(text)
        self._report(line, f"the modifier length={text} is not a number.", "Write length=32.")
        return None

    def _configs(self, compose: Compose) -> tuple[DeclaredConfig, ...]:
        found: dict[str, DeclaredConfig] = {}
        for key in compose.used_configs:
            entry = compose.configs.get(key)
            named = self._named(key, entry) if entry and entry.get("name") else None
            if named is None:
                continue
            full, version, env_key = named
            name = full.removeprefix(f"{self._stack}_").removesuffix(f"_{version}")
            found[full] = DeclaredConfig(
                name=name, version=version, swarm_name=full, env_key=env_key
            )
        return tuple(found.values())

    def _guessed(self) -> tuple[DeclaredSecret, ...]:
        found: list[DeclaredSecret] = []
        for key, version in self._env.values.items():
            match = _GUESSED_KEY.fullmatch(key)
            if match and version:
                name = (match["inner"] or match["outer"]).lower()
                full = f"{self._stack}_{name}_{version}"
                found.append(
                    self._declared(
                        name=name,
                        version=version,
                        swarm_name=full,
                        env_key=key,
                        services=(),
                        shared=False,
                    )
                )
        return tuple(found)

    def _report(self, line: int, what: str, remedy: str = "") -> None:
        path = str(self._env.path) if line or self._recipe is None else str(self._recipe.folder)
        remedy = remedy or "Mend the recipe, or check out a version that deploys."
        self._problems.append(Problem(path=path, line=line, what=what, remedy=remedy))
