"""What mends a finding: a plan that can be made as things stand, else a sentence for a person.

A plan that would be refused is never offered: each function here asks, of what was read, the same
rules as planning does, and says what comes first where one stands in the way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.databases import declared_moves, is_stored_inside, references, suggested_hook
from opskit.join import stack_of
from opskit.retention import why_doubted
from opskit.settings import read_settings
from opskit.swarm.observe import Observation
from opskit.views.apps import colliding_stacks
from opskit.views.views import Views

PlanKind = Literal["rotate", "generate", "insert", "remove", "prune", "deploy"]
NAME_LIMIT = 64


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
        }
        return {name: value for name, value in named.items() if value}

    def __str__(self) -> str:
        match self.plan:
            case "deploy":
                return f"opskit app deploy {self.shown}"
            case "prune":
                return f"opskit secret prune {self.shown}"
            case "remove":
                return (
                    "If nobody misses it: opskit secret remove --orphans "
                    f'--server {self.server} --where "{self.where}"'
                )
            case "rotate" | "generate" | "insert":
                words = [f"opskit secret {self.plan} {self.shown} {self.secret}"]
                words += [f"--hook {self.hook}"] if self.hook else []
                words += ["--pass"] if self.use_pass else []
                return " ".join(words)


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
        self._facts, self._use_pass = views.facts, use_pass
        self._hooks = read_settings().hooks

    @cached_property
    def _apps(self) -> dict[tuple[str, str], DeclaredApp]:
        return {
            (server, app.name): app
            for server, apps in self._facts.apps_by_server.items()
            for app in apps
        }

    @cached_property
    def _named(self) -> Counter[str]:
        return Counter(name for _, name in self._apps)

    @cached_property
    def _colliding(self) -> dict[tuple[str, str], list[str]]:
        return colliding_stacks(self._facts)

    def deploy(self, server: str, name: str) -> Remedy | str:
        """Return what brings an app's services to what its files declare."""
        app, seen = self._apps[server, name], self._facts.seen[server]
        then = f"then: opskit app deploy {self._shown(app)}"
        if first := self._first(app):
            return f"{first} {then}"
        for move in declared_moves(app, seen, self._hooks):
            return self.renew(server, name, move.secret)
        stored = {one.spec.name for one in seen.secrets}
        missing = [one.name for one in app.secrets if one.swarm_name not in stored]
        if missing:
            return f"Give it {', '.join(missing)} first, which it lacks; {then}"
        return self._of(app, "deploy")

    def make(self, server: str, name: str, secret: str, *, given: bool = False) -> Remedy | str:
        """Return what makes a declared version that is not in the swarm.

        `given` says that somebody has its value.
        """
        app, seen = self._apps[server, name], self._facts.seen[server]
        declared = _secret(app, secret)
        if first := self._first(app):
            return first
        if any(move.secret == secret for move in declared_moves(app, seen, self._hooks)):
            return self.renew(server, name, secret, given=given)
        if not declared.version:
            key = declared.env_key or "its version variable"
            return f"Give {key} a version: opskit app config {self._shown(app)}"
        return self._of(app, "generate" if declared.generate and not given else "insert", secret)

    def renew(self, server: str, name: str, secret: str, *, given: bool = False) -> Remedy | str:
        """Return what gives a secret a new value, and its database too."""
        app, seen = self._apps[server, name], self._facts.seen[server]
        declared = _secret(app, secret)
        if first := self._first(app):
            return first
        if not declared.env_key:
            return "Give the recipe a name: with ${SECRET_…_VERSION}, so that it can be rotated."
        sharing = [one.name for one in app.secrets if one.env_key == declared.env_key]
        if len(sharing) > 1:
            return f"Rotate {', '.join(sharing)} together: they share {declared.env_key}."
        if len(declared.swarm_name) >= NAME_LIMIT:
            return "Give the app a shorter STACK_NAME: the next version's name may be too long."
        stem = declared.swarm_name.removesuffix(declared.version)
        if self._used_elsewhere(app, seen, stem):
            return "Services of another stack use it too: rotate it with --deploy none, then those."
        hook = ""
        if is_stored_inside(app, secret, self._hooks):
            mounted = {
                one.secret_name
                for service in seen.services
                for one in references(service)
                if one.secret_name.startswith(stem)
            }
            hook = suggested_hook(app, seen, mounted)
            if not hook:
                return (
                    "A database keeps it inside, and none that runs here mounts it: rotate it "
                    "with --hook KIND:SERVICE, or change it there by hand."
                )
        plan = "rotate" if declared.generate and not given else "insert"
        return self._of(app, plan, secret, hook)

    def prune(self, server: str, name: str) -> Remedy:
        """Return what removes superseded versions."""
        return self._of(self._apps[server, name], "prune")

    def forget(self, server: str, name: str | None, swarm_name: str, needed: str) -> Remedy | str:
        """Return what removes an orphan that nobody needs."""
        if needed:
            return f"Find whose it is before you touch it: {needed} needs it."
        app = self._apps[server, name] if name else None
        if doubted := why_doubted(self._facts, server, app):
            return f"Leave it: {doubted}. Mend that first."
        where = f"swarm_name == '{swarm_name}'"
        return Remedy(plan="remove", server=server, where=where)

    def _first(self, app: DeclaredApp) -> str:
        """Return what a person has to mend before anything can be planned for an app."""
        if names := self._colliding.get((app.server, app.stack)):
            return f"Give all but one of {' and '.join(names)} another STACK_NAME first."
        for problem in app.problems:
            where = f"{problem.path}:{problem.line}" if problem.line else problem.path
            return f"Mend {where} first."
        return f"Mend its recipe first: {app.note}" if app.guessed else ""

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


def _secret(app: DeclaredApp, name: str) -> DeclaredSecret:
    return next(one for one in app.secrets if one.name == name)
