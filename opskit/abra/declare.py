"""From compose files and a ``.env`` to the secrets and configs an app declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from opskit.abra.compose import Compose, Entry, Service
from opskit.abra.env import EnvFile
from opskit.abra.files import printable
from opskit.abra.interpolate import interpolate
from opskit.abra.model import DeclaredConfig, DeclaredSecret, Problem
from opskit.abra.names import Named, generates, guessed_secret, take_apart

_LENGTH = re.compile(r"[1-9][0-9]{0,5}")
_RECIPE_REMEDY = "Mend the recipe, or check out a version that deploys."


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
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
    modifiers
        Those of the recipe's sample, for lines that have none of their own.
    where
        The recipe's folder, named in problems.
    """

    env: EnvFile
    stack: str
    variables: Mapping[str, str] = field(repr=False)
    fixed: frozenset[str]
    modifiers: Mapping[str, Mapping[str, str]] = field(repr=False)
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    entry: Entry
    named: Named
    services: tuple[str, ...]


class Declarations:
    """Works out secrets and configs; what is wrong on the way is collected in `problems`."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self.problems: list[Problem] = []

    def secrets(self, compose: Compose) -> tuple[DeclaredSecret, ...]:
        """Give the secrets that enabled services use, each once."""
        uses = self._uses(compose, "secret", compose.secrets, lambda service: service.secrets)
        return tuple(self._secret(use) for use in uses)

    def configs(self, compose: Compose) -> tuple[DeclaredConfig, ...]:
        """Give the configs that enabled services use, each once."""
        uses = self._uses(compose, "config", compose.configs, lambda service: service.configs)
        return tuple(
            DeclaredConfig(
                name=use.named.name,
                version=use.named.version,
                swarm_name=use.named.full,
                env_key=use.named.variable,
            )
            for use in uses
        )

    def guessed(self, compose: Compose) -> tuple[DeclaredSecret, ...]:
        """Guess secrets from the ``.env`` alone, but for lines whose meaning `compose` tells."""
        given = self._given
        entries = [*compose.secrets.items(), *compose.configs.items()]
        known = {take_apart(k, e, given.stack, given.variables).variable for k, e in entries}
        found: list[DeclaredSecret] = []
        for key, version in given.env.values.items():
            name = "" if key in known else guessed_secret(key, version)
            if name:
                named = Named(
                    full=f"{given.stack}_{name}_{version}",
                    name=name,
                    version=version,
                    variable=key,
                    own=True,
                )
                entry = Entry(name="", external=True)
                found.append(self._secret(_Use(entry=entry, named=named, services=())))
        return tuple(found)

    def _uses(
        self,
        compose: Compose,
        kind: str,
        entries: Mapping[str, Entry],
        sources: Callable[[Service], tuple[str, ...]],
    ) -> Iterator[_Use]:
        given = self._given
        found: dict[str, _Use] = {}
        for service, parts in compose.services.items():
            for source in sources(parts):
                key = interpolate(source, given.variables).text
                entry = entries.get(key)
                if entry is None:
                    self._report(f"{service} uses the {kind} {key!r}, which is not declared.")
                    continue
                named = take_apart(key, entry, given.stack, given.variables)
                known = found.get(named.full)
                services = known.services if known else ()
                if known is None:
                    self._report_name(f"the {kind} {key!r}", named)
                if service not in services:
                    services = (*services, service)
                found[named.full] = _Use(entry=entry, named=named, services=services)
        yield from found.values()

    def _secret(self, use: _Use) -> DeclaredSecret:
        given, named = self._given, use.named
        key = named.variable
        if not use.entry.external or key in given.fixed:
            # Docker makes a secret that is not external from a file, whatever a .env says.
            key = ""
        own = given.env.modifiers.get(named.variable)
        modifiers = own or given.modifiers.get(named.variable, {})
        return DeclaredSecret(
            name=named.name,
            version=named.version,
            swarm_name=named.full,
            env_key=key,
            env_line=given.env.lines.get(key, 0) if given.env.values.get(key) else 0,
            generate=use.entry.external and generates(modifiers),
            length=self._length(modifiers.get("length", ""), key),
            charset=printable(modifiers.get("charset", "")),
            services=use.services,
            shared=use.entry.external and not named.own,
        )

    def _length(self, text: str, key: str) -> int | None:
        if not text:
            return None
        if _LENGTH.fullmatch(text):
            return int(text)
        self._report_env(f"the length of {key} is no number.", key, "Write length=32.")
        return None

    def _report_name(self, what: str, named: Named) -> None:
        key = named.variable
        for fault in named.faults:
            if key and key not in self._given.fixed:
                self._report_env(f"{what}: {fault}", key, f"Write {key}=v1 in the .env.")
            else:
                self._report(f"{what}: {fault}")

    def _report_env(self, what: str, key: str, remedy: str) -> None:
        env = self._given.env
        path, line = printable(str(env.path)), env.lines.get(key, 0)
        self.problems.append(Problem(path=path, line=line, what=what, remedy=remedy))

    def _report(self, what: str) -> None:
        where = self._given.where
        self.problems.append(Problem(path=where, line=0, what=what, remedy=_RECIPE_REMEDY))
