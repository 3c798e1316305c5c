"""Which secrets are stored inside a database too, which hook they need, and where it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from shlex import quote

from opskit.abra.model import DeclaredApp
from opskit.errors import InputError
from opskit.facts.databases import (
    Move,
    is_reachable,
    kept_data,
    looks_like_database_password,
    running_nodes,
    runs_kind,
    suggested_hook,
)
from opskit.kinds.hooks import OFFERED, HookSpec, hooks_in_words, parse_hook
from opskit.plan.obstacles import ObstacleError
from opskit.plan.options import Options
from opskit.plan.selection import Target
from opskit.plan.switches import Mounted
from opskit.swarm import model
from opskit.swarm.observe import Observation


def refuse_database_password(target: Target) -> None:
    """Refuse to rotate a password that a database keeps a copy of.

    Raises
    ------
    InputError
        The secret looks like a database password.
    """
    if looks_like_database_password(target.declared.name):
        raise ObstacleError(
            f"{target.app.name} {target.declared.name} looks like a database password, and the "
            "database keeps the old one inside whatever the file says.",
            why="a database keeps the old one inside, and no hook tells it the new one",
            remedy=f"Name its database hook (--hook): {hooks_in_words()}; or none (--no-hook), "
            "and change it in the database in the same minute; or leave it out.",
        )


def refuse_moves(app: DeclaredApp, shown: str, found: Sequence[Move], seen: Observation) -> None:
    """Refuse what would give services another password than their database keeps.

    `shown` is the app as a command takes it.

    Raises
    ------
    InputError
        There is such a secret; says how the database is told.
    """
    if found:
        raise ObstacleError(
            f"{app.name}: services use {_listed(one.old for one in found)} and would get "
            f"{_listed(one.new for one in found)}, and a database keeps the old password inside "
            "whatever the file says.",
            why="services use another version, which a database keeps inside",
            remedy="Let it be told: "
            f"{'; '.join(_with_hook(app, shown, one, seen) for one in found)}. "
            "If it knows the new one already, or you change it in the same minute: --no-hook.",
        )


def refuse_new_value(target: Target, seen: Observation, hooks: Mapping[str, str]) -> None:
    """Refuse to make up a password for a database whose data is there already.

    Raises
    ------
    InputError
        The app does not run, and left a volume.
    """
    app, name = target.app, target.declared.name
    if volume := kept_data(app, name, seen, hooks):
        raise ObstacleError(
            f"{app.name} {name} looks like a database password, and the volume {volume} holds "
            "data of an earlier deploy: a database in there knows no new password.",
            why="a volume holds a database that knows no new password",
            remedy=f"Insert the old value: opskit secret insert {target.shown} {quote(name)}. "
            "If no database is in there: --no-hook.",
        )


def _with_hook(app: DeclaredApp, shown: str, move: Move, seen: Observation) -> str:
    generates = all(one.generate for one in app.secrets if one.name == move.secret)
    verb = "rotate" if generates else "insert"
    hook = suggested_hook(app, seen, {move.old}) or f"{'|'.join(OFFERED)}:SERVICE"
    return f"opskit secret {verb} {shown} {quote(move.secret)} --hook {quote(hook)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def said_hook(target: Target, options: Options, *, alone: bool) -> str:
    """Return the hook that is said for a secret, on the command line or in the settings.

    ``recipe/secret`` in the settings names one secret. What is said for a whole recipe, or on
    the command line, is meant for the secrets that look like a database's password; on the
    command line also for one that is changed `alone`.
    """
    if options.no_hook:
        return ""
    name, recipe = target.declared.name, target.app.recipe
    stored = looks_like_database_password(name)
    said = options.hook if stored or alone else ""
    said = said or options.hooks.get(f"{recipe}/{name}", "")
    return said or (options.hooks.get(recipe, "") if stored else "")


def choose_hook(target: Target, options: Options, *, alone: bool) -> HookSpec | None:
    """Return the hook for a secret, or nothing when its file is all there is to change.

    Raises
    ------
    InputError
        It looks like a database's password and there is no hook for it.
    """
    if said := said_hook(target, options, alone=alone):
        return parse_hook(said)
    if not options.no_hook:
        refuse_database_password(target)
    return None


def find_service(
    hook: HookSpec, seen: Observation, stack: str, moved: Iterable[Mounted]
) -> Mounted:
    """Find the database, and the old version's file in it.

    Parameters
    ----------
    hook
        May name the service, with or without its stack.
    seen
        What the server said.
    stack
        The app's stack.
    moved
        The files that get the new version.

    Raises
    ------
    InputError
        No service or several may be meant, or its container cannot be reached.
    """
    using = {one.service.spec.name: one for one in moved}
    if hook.service:
        names = [name for name in (f"{stack}_{hook.service}", hook.service) if name in using][:1]
    else:
        names = [name for name, one in using.items() if runs_kind(one.service, hook.kind)]
    mounting = sorted(name.removeprefix(f"{stack}_") for name in names or using)
    if len(names) != 1:
        what = f"service {hook.service!r}" if hook.service else f"{hook.kind} service"
        raise InputError(
            f"{'several are a' if names else 'no'} {what} of {stack} that mounts the secret.",
            remedy=f"Name the database's service in its hook (--hook), as {hook.kind}:SERVICE; the "
            f"secret is mounted by: {', '.join(mounting) or 'none'}.",
        )
    found = using[names[0]]
    _check_reachable(found.service, seen)
    return found


def mounted_at(mounted: Mounted) -> str:
    """Return the path of a mounted secret."""
    return mounted.file if mounted.file.startswith("/") else f"/run/secrets/{mounted.file}"


def _check_reachable(service: model.Service, seen: Observation) -> None:
    if not running_nodes(service, seen.tasks):
        raise InputError(
            f"{service.spec.name} on {seen.server} does not run, so it cannot be told the new "
            "password.",
            remedy="Start it first.",
        )
    if not is_reachable(service, seen):
        raise InputError(
            f"{service.spec.name} runs on another node of {seen.server}'s swarm, whose containers "
            "cannot be reached from the manager.",
            remedy="Choose no database hook (--no-hook), and change the password by hand in the "
            "same minute.",
        )
