"""Whether what is said to be done is so: one app before and after, with nobody else about."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos import oracle
from tests.chaos.oracle import Declared, Look, Values
from tests.chaos.story import Operation
from tests.chaos.world import App

_VOUCH_FOR_NO_TASK = ("config", "generate", "prune", "remove", "undeploy")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An app's ``.env`` and its server, and where they disagree."""

    text: str
    declared: Declared
    seen: Look
    wrong: tuple[str, ...]

    @classmethod
    def of(cls, app: App, text: str, seen: Look) -> State:
        """Compare the two."""
        declared = Declared.read(text)
        wrong = oracle.disagreements(app, declared, seen)
        services = seen.services_of(app)
        if services:
            wrong += [f"declared {one} is not in the swarm"
                      for one in oracle.not_there(app, declared, seen)]  # fmt: skip
        wrong += [f"{name} is of release {one.release}, declared is {declared.release}"
                  for name, one in services.items() if one.release not in
                  ("", declared.release)]  # fmt: skip
        return cls(text=text, declared=declared, seen=seen, wrong=tuple(wrong))


def done_wrongly(
    operation: Operation, run: str, earlier: tuple[State, State], now: State, values: Values
) -> list[str]:
    """Return in what the world is not as an operation left it that says it is done.

    Nobody else touched the app meanwhile. `earlier` is how it was before the operation, and
    before what it undid, which a rollback is to bring back as it was.
    """
    app, verb = operation.app, operation.verb
    before, undone = earlier
    wrong = list(now.wrong)
    if not verb.startswith(("deploy", "upgrade")):
        # A run that was killed before may have left these, and this one is not about them.
        wrong = [one for one in wrong if one not in (*before.wrong, *undone.wrong)]
    names, had = set(now.seen.secrets_of(app)), set(before.seen.secrets_of(app))
    deployed = bool(now.seen.services_of(app))
    match verb:
        case "undeploy" if deployed:
            wrong.append("services are there")
        case "deploy" | "deploy-version" | "upgrade" | "restart" if not deployed:
            wrong.append("no service is there")
        case "remove" if names:
            wrong.append(f"{sorted(names)} are there")
        case "config" if operation.line not in now.text:
            wrong.append("the line is not in the file")
        case _:
            pass
    if verb not in ("remove", "prune", "rollback") and had - names:
        wrong.append(f"{sorted(had - names)} are gone")
    if verb == "prune":
        wrong += _kept(operation, now.declared, had, names)
    if verb.startswith(("rotate", "insert")):
        made = {n: s for n, s in now.seen.secrets_of(app).items() if s.run == run}
        if not made:
            wrong.append("no new version is there")
    found = values.wrong(app, now.seen)
    if verb in _VOUCH_FOR_NO_TASK:
        # As after a deploy that was killed in the middle.
        found = [one for one in found if not one.endswith("does not run")]
    return wrong or found


def _kept(operation: Operation, declared: Declared, had: set[str], names: set[str]) -> list[str]:
    """Return where a prune removed more than it may."""
    wrong: list[str] = []
    for secret in {secret for secret, _ in operation.app.recipe.keys.values()}:
        prefix = f"{operation.app.stack}_{secret}_"
        current = {
            prefix + declared.versions.get(v, "?")
            for s, v in operation.app.recipe.keys.values()
            if s == secret
        }
        old = {name for name in had if name.startswith(prefix)} - current
        left = old & names
        if len(left) < min(operation.keep, len(old)):
            wrong.append(f"only {sorted(left)} of {sorted(old)} are kept")
    return wrong
