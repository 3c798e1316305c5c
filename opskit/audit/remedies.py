"""What mends a finding: a plan that can be made as things stand, else a sentence for a person.

A plan that would be refused is never offered: each function here asks, of what was read, the same
rules as planning does, and says what comes first where one stands in the way.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from shlex import quote
from typing import Literal, assert_never, cast

from opskit.abra.model import DeclaredApp, DeclaredSecret, Problem
from opskit.facts.databases import (
    declared_moves,
    is_stored_inside,
    kept_data,
    references,
    suggested_hook,
)
from opskit.facts.join import stack_of
from opskit.kinds.modes import MODES, DeployMode
from opskit.settings import read_settings
from opskit.swarm.model import NAME_LIMIT
from opskit.swarm.observe import Observation
from opskit.views.apps import colliding_stacks
from opskit.views.views import Views

PlanKind = Literal["rotate", "generate", "insert", "remove", "prune", "deploy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A plan and its arguments; its text is the command that makes it.

    Parameters
    ----------
    plan
        Which, as in ``fleet.plan_rotate``; to insert, somebody has to give the value.
    server, app, secret
        What it is about.
    shown
        The app as a command takes it: with its server where two have one of that name.
    hook
        The credential hook it needs.
    where
        Which orphans are to be removed.
    use_pass
        Whether the password store is kept in step.
    """

    plan: PlanKind
    server: str
    app: str = ""
    shown: str = ""
    secret: str = ""
    hook: str = ""
    where: str = ""
    use_pass: bool = False

    def to_dict(self) -> dict[str, str]:
        """Return the plan and its arguments, without those that are empty."""
        named = {
            "plan": self.plan,
            "server": "" if self.app else self.server,
            "app": f"{self.server}/{self.app}" if self.app else "",
            "secret": self.secret,
            "hook": self.hook,
            "where": self.where,
            "pass": "yes" if self.use_pass else "",
        }
        return {name: value for name, value in named.items() if value}

    def __str__(self) -> str:
        match self.plan:
            case "deploy":
                return f"opskit app deploy {quote(self.shown)}"
            case "prune":
                too = " --pass" if self.use_pass else ""
                return f"opskit secret prune {quote(self.shown)} {quote(self.secret)}{too}"
            case "remove":
                return (
                    "If nobody misses it: opskit secret remove --orphans "
                    f"--server {quote(self.server)} --where {quote(self.where)}"
                )
            case "rotate" | "generate" | "insert":
                words = [f"opskit secret {self.plan} {quote(self.shown)} {quote(self.secret)}"]
                words += [f"--hook {quote(self.hook)}"] if self.hook else []
                words += ["--pass"] if self.use_pass else []
                return " ".join(words)
            case _ as unknown:
                assert_never(unknown)


def in_words(plan: Mapping[str, str]) -> str:
    """Return in a few words what a remedy's plan does, where app and secret stand beside it."""
    kind = cast("PlanKind", plan["plan"])
    match kind:
        case "deploy":
            said = "deploy the app"
        case "prune":
            said = "prune old versions"
        case "remove":
            said = "remove it, if nobody misses it"
        case "insert":
            said = "insert a value"
        case "rotate" | "generate":
            said = kind
        case _ as unknown:
            assert_never(unknown)
    return f"{said}, with hook {plan['hook']}" if "hook" in plan else said


class Remedies:
    """Finds remedies in one snapshot.

    Parameters
    ----------
    views
        The snapshot.
    use_pass
        Whether the password store is to be kept in step.
    """

    def __init__(self, views: Views, *, use_pass: bool = False) -> None:
        self._views, self._facts, self._use_pass = views, views.facts, use_pass
        settings = read_settings()
        self._hooks: Mapping[str, str] = settings.hooks
        self._deploy: DeployMode = settings.deploy

    @cached_property
    def _apps(self) -> dict[tuple[str, str], DeclaredApp]:
        return {
            (server, app.name): app
            for server, apps in self._facts.apps_by_server.items()
            for app in apps
        }

    @cached_property
    def _sources(self) -> dict[tuple[str, str, str], tuple[str, str]]:
        """Return the driver and the template driver of each secret that has one."""
        secrets = self._views.secrets
        found = {
            (row.server, row.app, row.secret): (_text(row.driver), _text(row.templating))
            for row in secrets.records(secrets["declared"])
        }
        return {place: sources for place, sources in found.items() if any(sources)}

    @cached_property
    def _named(self) -> Counter[str]:
        return Counter(name for _, name in self._apps)

    @cached_property
    def _colliding(self) -> dict[tuple[str, str], list[str]]:
        return colliding_stacks(self._facts)

    def deploy(self, server: str, name: str) -> Remedy | str:
        """Return what brings an app's services to what its files declare."""
        app, seen = self._app(server, name), self._facts.seen[server]
        then = f"then: opskit app deploy {quote(self._shown(app))}"
        if first := self._first(app, *app.unsupported):
            return f"{first} {then}"
        for move in declared_moves(app, seen, self._hooks):
            return self.renew(server, name, move.secret)
        stored = {one.spec.name for one in seen.secrets}
        missing = [one.name for one in app.secrets if one.swarm_name not in stored]
        if missing:
            return f"Give it {', '.join(missing)} first, which it lacks; {then}"
        if not MODES[self._deploy].acts:
            return f"opskit app deploy {quote(self._shown(app))} --with stack"
        return self._of(app, "deploy")

    def make(self, server: str, name: str, secret: str, *, given: bool = False) -> Remedy | str:
        """Return what makes a declared version that is not in the swarm.

        `given` says that somebody has its value.
        """
        app, seen = self._app(server, name), self._facts.seen[server]
        declared = _secret(app, secret)
        if first := self._first(app):
            return first
        if any(move.secret == secret for move in declared_moves(app, seen, self._hooks)):
            return self.renew(server, name, secret, given=given)
        if not declared.version:
            key = declared.env_key or "its version variable"
            return f"Give {key} a version: opskit app config {quote(self._shown(app))}"
        driver, _ = self._source(app, secret)
        if driver:
            return f"docker secret create --driver {quote(driver)} {quote(declared.swarm_name)}"
        if len(declared.swarm_name) > NAME_LIMIT:
            return "Give the app a shorter STACK_NAME: Swarm allows no name of this length."
        is_made_up = self._is_made_up(app, declared) and not given
        # Of data that is there already a database knows the password, and so may somebody.
        is_known = bool(kept_data(app, secret, seen, self._hooks))
        return self._of(app, "generate" if is_made_up and not is_known else "insert", secret)

    def renew(self, server: str, name: str, secret: str, *, given: bool = False) -> Remedy | str:
        """Return what gives a secret a new value, and its database too."""
        app, seen = self._app(server, name), self._facts.seen[server]
        declared = _secret(app, secret)
        if first := self._first(app):
            return first
        driver, _ = self._source(app, secret)
        if driver:
            return f"Its value comes from the driver {driver}: change it there."
        if not declared.env_key:
            return "Give the recipe a name: with ${SECRET_…_VERSION}, so that it can be rotated."
        if apart := app.named_with.get(declared.env_key):
            return (
                f"Give it a version variable of its own in the recipe: {declared.env_key} names "
                f"{', '.join(apart)} too."
            )
        sharing = app.renewed_with(declared)
        if len(sharing) > 1:
            names = ", ".join(one.name for one in sharing)
            if all(self._is_made_up(app, one) for one in sharing) and not given:
                return f"Rotate {names} together: they share {declared.env_key}."
            return f"Give {names} their next version together: they share {declared.env_key}."
        if len(declared.swarm_name) >= NAME_LIMIT:
            return "Give the app a shorter STACK_NAME: the next version's name may be too long."
        if self._used_elsewhere(app, seen, declared.prefix):
            return "Services of another stack use it too: rotate it with --deploy none, then those."
        hook = ""
        if is_stored_inside(app, secret, self._hooks):
            mounted = {
                one.secret_name
                for service in seen.services
                for one in references(service)
                if one.secret_name.startswith(declared.prefix)
            }
            hook = suggested_hook(app, seen, mounted)
            if not hook:
                return (
                    "A database keeps it inside, and none that runs here mounts it: rotate it "
                    "with --hook KIND:SERVICE, or change it there by hand."
                )
        if way := self._not_by_settings(app, seen, secret, hook):
            return way
        is_made_up = self._is_made_up(app, declared) and not given
        return self._of(app, "rotate" if is_made_up else "insert", secret, hook)

    def prune(self, server: str, name: str, secret: str) -> Remedy:
        """Return what removes superseded versions of a secret, and of no other."""
        return self._of(self._app(server, name), "prune", secret)

    def forget(self, server: str, swarm_name: str, needed: str) -> Remedy | str:
        """Return what removes an orphan that nobody needs."""
        if needed:
            return f"Find whose it is before you touch it: {needed} needs it."
        # In double quotes, which need no more of them in a shell.
        named = json.dumps(swarm_name, ensure_ascii=False)
        return Remedy(plan="remove", server=server, where=f"swarm_name == {named}")

    def _app(self, server: str, name: str) -> DeclaredApp:
        """Find an app of a server, or of another one that leads to the same swarm."""
        places = ((one, name) for one in (server, *self._facts.together(server)))
        return next(self._apps[place] for place in places if place in self._apps)

    def _source(self, app: DeclaredApp, secret: str) -> tuple[str, str]:
        return self._sources.get((app.server, app.name, secret), ("", ""))

    def _is_made_up(self, app: DeclaredApp, declared: DeclaredSecret) -> bool:
        """Return whether a value may be generated: neither one from elsewhere nor a template."""
        _, template = self._source(app, declared.name)
        return declared.generate and not template

    def _first(self, app: DeclaredApp, *more: Problem) -> str:
        """Return what a person has to mend before anything, or with `more`, can be planned."""
        if names := self._colliding.get((self._facts.together(app.server)[0], app.stack)):
            return f"Give all but one of {' and '.join(names)} another STACK_NAME first."
        for problem in (*app.problems, *more):
            where = f"{problem.path}:{problem.line}" if problem.line else problem.path
            return f"Mend {where} first."
        return f"Mend its recipe first: {app.note}" if app.guessed else ""

    def _not_by_settings(self, app: DeclaredApp, seen: Observation, secret: str, hook: str) -> str:
        """Return what to say where a rotation is refused as services get new versions here."""
        mode = MODES[self._deploy]
        if hook and not mode.acts:
            return (
                f"Rotate it with --hook {hook} --deploy services: your settings say deploy = "
                f'"{self._deploy}", and its database would be told before the app.'
            )
        along = [one.secret for one in declared_moves(app, seen, self._hooks)]
        if mode.deploys and set(along) - {secret}:
            return (
                f"Rotate it with --deploy services: deploying the stack would move "
                f"{', '.join(one for one in along if one != secret)} along."
            )
        return ""

    def _used_elsewhere(self, app: DeclaredApp, seen: Observation, stem: str) -> bool:
        return any(
            stack_of(service.spec.labels) not in ("", app.stack)
            and any(one.secret_name.startswith(stem) for one in references(service))
            for service in seen.services
        )

    def _of(self, app: DeclaredApp, plan: PlanKind, secret: str = "", hook: str = "") -> Remedy:
        return Remedy(
            plan=plan, server=app.server, app=app.name, shown=self._shown(app), secret=secret,
            hook=hook, use_pass=self._use_pass,
        )  # fmt: skip

    def _shown(self, app: DeclaredApp) -> str:
        return app.name if self._named[app.name] == 1 else f"{app.server}/{app.name}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _secret(app: DeclaredApp, name: str) -> DeclaredSecret:
    return next(one for one in app.secrets if one.name == name)
