"""One app: what its ``.env`` and its recipe declare together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote

from opskit.abra.compose import Compose, Entry, Service
from opskit.abra.deployed import named_with, refused, settled
from opskit.abra.env import SHOWN, EnvFile, Marks, SampleLine, joined, read_env, read_marks
from opskit.abra.files import printable
from opskit.abra.interpolate import NO_TEMPLATE, interpolate
from opskit.abra.model import DeclaredApp, DeclaredConfig, DeclaredSecret, Problem
from opskit.abra.names import (
    APP_SERVICE,
    Named,
    app_name,
    compose_files,
    guessed_secret,
    label,
    pinned_version,
    recipe_line,
    recipe_of,
    stack_name,
    take_apart,
)
from opskit.abra.recipe import SAMPLE, Enabled, Recipe, Recipes

_GUESSED = "secrets are guessed from the .env"
_RECIPE_REMEDY = "Mend the recipe, or check out a version that deploys."


def variables(env: EnvFile, stack: str, recipe: Recipe | None) -> dict[str, str]:
    """Return what compose files are interpolated with.

    The ``.env``, the stack's name and, over both as abra has it, the exports of ``abra.sh``.
    Values may be secrets.
    """
    return {**env.values, "STACK_NAME": stack, **(recipe.exports if recipe else {})}


def known_variables(
    recipe: Recipe | None, declared: Iterable[DeclaredSecret | DeclaredConfig]
) -> frozenset[str]:
    """Return the variables that may be named: those that abra or the recipe knows.

    Whatever else stands before a ``=`` may be a piece of a value: ``JBSWY3DPEHPK3PXP=`` is one.
    """
    return SHOWN.union(recipe.sample if recipe else (), (one.env_key for one in declared))


def claimed(compose: Compose, stack: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what a recipe's own labels say: ``version``, ``timeout`` and the like."""
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
    recipe = recipes.find(named, pinned_version(env.values)) if named else None
    files = compose_files(env.values)
    enabled = recipe.enabled(files) if recipe else None
    values = variables(env, stack, recipe)
    compose = settled(enabled.compose, values) if enabled else Compose()
    inputs = Inputs(
        env=env,
        stack=stack,
        variables=values,
        fixed=frozenset(recipe.exports if recipe else ()),
        sample=recipe.sample if recipe else {},
        where=printable(str(recipe.folder if recipe else path)),
    )
    declarations = Declarations(inputs)
    note = _note(env, named, recipe, enabled)
    # Of a file that counts for nothing no version is known, not even that of a default.
    secrets = declarations.secrets(compose) if env.readable else ()
    configs = declarations.configs(compose) if env.readable else ()
    if env.readable:
        declarations.check_required(compose)
    if note and env.readable:
        secrets += declarations.guessed(compose)
    keys = {one.env_key for one in secrets if one.env_key}
    problems = (
        *env.told(known_variables(recipe, (*secrets, *configs))),
        *_env_problems(env, named, enabled),
        *_version_problems(env, recipe),
        *(enabled.problems if enabled else ()),
        *(recipe.sample_problems if recipe else ()),
        *declarations.problems,
    )
    return DeclaredApp(
        server=printable(server),
        name=printable(name),
        domain=printable(env.values.get("DOMAIN", "")),
        recipe=printable(named),
        recipe_version=printable(pinned),
        revision=_revision(recipe, compose, inputs) if recipe else "",
        stack=stack,
        env_file=printable(str(path)),
        env_sha256=env.sha256,
        compose_files=tuple(printable(file) for file in files),
        secrets=secrets,
        configs=configs,
        guessed=bool(note),
        note=note,
        problems=problems,
        unsupported=enabled.unsupported if enabled else (),
        named_with=named_with(keys, compose, stack, inputs.variables),
    )


def _note(env: EnvFile, named: str, recipe: Recipe | None, enabled: Enabled | None) -> str:
    """Return why the compose files do not tell all secrets, if they do not."""
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
    if enabled.compose.includes:
        return f"{where} includes compose files, which no stack can; {rest}"
    return ""


def _env_problems(env: EnvFile, named: str, enabled: Enabled | None) -> list[Problem]:
    path = printable(str(env.path))
    found: list[Problem] = []
    if path != str(env.path):
        # No plan can name it, nor the command that would mend something of it.
        what = "the file's name has characters that cannot be shown."
        found.append(Problem(path=path, line=0, what=what, remedy="Rename it.", kind="unread"))
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
    if recipe.problem:
        return [recipe.problem]
    return [
        Problem(
            path=printable(str(env.path)),
            line=recipe_line(env.lines) or 0,
            what=f"the recipe has no version {printable(recipe.unknown)} here; it is read as it is "
            "checked out.",
            remedy=f"Fetch it: git -C {quote(printable(str(recipe.folder)))} fetch --tags",
        )
    ]


def _revision(recipe: Recipe, compose: Compose, inputs: Inputs) -> str:
    """Return the revision that is read; without a checkout the version its labels claim."""
    if recipe.revision:
        return recipe.revision
    found = claimed(compose, inputs.stack, inputs.variables)
    return printable(found.get("version") or found.get("app.version") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the declarations of one app are worked out from.

    Parameters
    ----------
    env
        The app's ``.env``.
    stack
        Its stack name.
    variables
        What compose files are interpolated with.
    fixed
        Variables that the recipe's ``abra.sh`` sets, over whatever a ``.env`` says.
    sample
        Lines of the recipe's sample, whose marks hold where a ``.env`` has none of its own.
    where
        The recipe's folder, named in problems.
    """

    env: EnvFile
    stack: str
    variables: Mapping[str, str] = field(repr=False)
    fixed: frozenset[str]
    sample: Mapping[str, SampleLine] = field(repr=False)
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    key: str
    entry: Entry
    named: Named
    name: str
    services: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()


class Declarations:
    """Works out secrets and configs; what is wrong on the way is collected in `problems`."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.problems: list[Problem] = []

    def secrets(self, compose: Compose) -> tuple[DeclaredSecret, ...]:
        """Return the secrets that enabled services use, each once."""
        uses = self._uses(compose, "secret", compose.secrets, lambda service: service.secrets)
        return tuple(self._secret(use) for use in uses)

    def configs(self, compose: Compose) -> tuple[DeclaredConfig, ...]:
        """Return the configs that enabled services use, each once."""
        uses = self._uses(compose, "config", compose.configs, lambda service: service.configs)
        return tuple(
            DeclaredConfig(
                name=use.name,
                version=use.named.version,
                swarm_name=use.named.full,
                env_key=use.named.variable,
            )
            for use in uses
        )

    def guessed(self, compose: Compose) -> tuple[DeclaredSecret, ...]:
        """Guess secrets from the ``.env`` alone, but for lines whose meaning `compose` tells."""
        inputs = self._inputs
        entries = [*compose.secrets.items(), *compose.configs.items()]
        known = {take_apart(k, e, inputs.stack, inputs.variables).variable for k, e in entries}
        found: list[DeclaredSecret] = []
        for key, version in inputs.env.values.items():
            name = "" if key in known else guessed_secret(key, version)
            if name:
                named = Named(
                    full=f"{inputs.stack}_{name}_{version}",
                    name=name,
                    version=version,
                    variable=key,
                    own=True,
                )
                entry = Entry(name="", external=True)
                found.append(self._secret(_Use(key="", entry=entry, named=named, name=name)))
        return tuple(found)

    def check_required(self, compose: Compose) -> None:
        """Report the variables for want of which docker refuses the compose files."""
        told = " ".join(problem.what for problem in self.problems)
        for fault in refused(compose, self._inputs.variables):
            if fault not in told:
                self._report(f"docker refuses it: {fault}", "Set it in the .env.")

    def _uses(
        self,
        compose: Compose,
        kind: str,
        entries: Mapping[str, Entry],
        sources: Callable[[Service], tuple[str, ...]],
    ) -> Iterator[_Use]:
        inputs = self._inputs
        found: dict[tuple[str, str], _Use] = {}
        for service, parts in compose.services.items():
            for source in sources(parts):
                key = interpolate(source, inputs.variables).text
                entry = entries.get(key)
                if entry is None:
                    self._report(f"{service} uses the {kind} {key!r}, which is not declared.")
                    continue
                named = take_apart(key, entry, inputs.stack, inputs.variables)
                # Two keys of one name are one, unless each has a variable of its own.
                same = (named.full, named.variable)
                if same not in found:
                    self._report_name(f"the {kind} {key!r}", named)
                    found[same] = _Use(key=key, entry=entry, named=named, name=named.name)
                known = found[same]
                files = parts.files.get(source, ())
                mounts = ((service, interpolate(file, inputs.variables).text) for file in files)
                found[same] = replace(
                    known,
                    services=tuple(dict.fromkeys((*known.services, service))),
                    mounts=(*known.mounts, *mounts),
                )
        yield from _told_apart(found.values())

    def _secret(self, use: _Use) -> DeclaredSecret:
        inputs, named = self._inputs, use.named
        key = named.variable
        if not use.entry.external or key in inputs.fixed:
            # Docker makes a secret that is not external from a file, whatever a .env says.
            key = ""
        marks, problems = self._marks(named.variable)
        return DeclaredSecret(
            name=use.name,
            version=named.version,
            swarm_name=named.full,
            env_key=key,
            env_line=inputs.env.lines.get(key, 0) if inputs.env.values.get(key) else 0,
            generate=use.entry.external and marks.generate,
            length=marks.length,
            charset=marks.charset,
            services=use.services,
            shared=use.entry.external and not named.own,
            problems=problems,
            key=use.key,
            mounts=use.mounts,
        )

    def _marks(self, variable: str) -> tuple[Marks, tuple[Problem, ...]]:
        """Return what is asked of a value, and which of it cannot be read, and where that stands.

        Such a mark takes nothing away from what is known of the app.
        """
        env, sample = self._inputs.env, self._inputs.sample.get(variable)
        own = env.modifiers.get(variable, {})
        marks = read_marks(joined(own, sample.modifiers if sample else {}))
        problems: list[Problem] = []
        for fault in marks.faults:
            path, line = str(env.path), env.lines.get(variable, 0)
            if fault.mark not in own and sample is not None:
                path, line = f"{self._inputs.where}/{SAMPLE}", sample.line
            what = f"the {fault.mark} of {variable} {fault.what}"
            problems.append(
                Problem(path=printable(path), line=line, what=what, remedy=fault.remedy)
            )
        return marks, tuple(problems)

    def _report_name(self, what: str, named: Named) -> None:
        key = named.variable
        for fault in named.faults:
            if fault == NO_TEMPLATE:
                continue  # told of the line where it stands
            if key and key not in self._inputs.fixed:
                self._report_env(f"{what}: {fault}", key, f"Write {key}=v1 in the .env.")
            else:
                self._report(f"{what}: {fault}")

    def _report_env(self, what: str, key: str, remedy: str) -> None:
        env = self._inputs.env
        path, line = printable(str(env.path)), env.lines.get(key, 0)
        self.problems.append(Problem(path=path, line=line, what=what, remedy=remedy))

    def _report(self, what: str, remedy: str = _RECIPE_REMEDY) -> None:
        where = self._inputs.where
        self.problems.append(Problem(path=where, line=0, what=what, remedy=remedy))


def _told_apart(uses: Iterable[_Use]) -> list[_Use]:
    """Name what has one name with another by its key, which no two have in common."""
    found = list(uses)
    while True:
        counted = Counter(use.name for use in found)
        apart = [use if counted[use.name] == 1 else replace(use, name=use.key) for use in found]
        if apart == found:
            return found
        found = apart
