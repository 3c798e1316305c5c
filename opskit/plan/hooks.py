"""Which secrets are stored inside a database too, which hook they need, and where it runs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opskit.errors import InputError
from opskit.hooks import HOOKS, OFFERED, HookSpec, hooks_in_words, parse_hook
from opskit.plan.options import Options
from opskit.plan.references import Mounted
from opskit.plan.selection import Target
from opskit.swarm import model
from opskit.swarm.observe import Observation

_NAMES = "|".join((*OFFERED, "db", "database", "pg", "postgresql", "mysql", "mongo", "mongodb"))
_DATABASE = re.compile(rf"(?:^|[_-])(?:{_NAMES})(?:[_-]|$)")
_PASSWORD = re.compile(r"pass(?:word|wd)?|pwd|pw(?:[_-]|$)|secret")


def looks_like_database_password(name: str) -> bool:
    """Return whether a secret's name says it is a database's password."""
    return bool(_DATABASE.search(name) and _PASSWORD.search(name))


def refuse_database_password(target: Target) -> None:
    """Refuse to rotate a password that a database keeps a copy of.

    Database images read the mounted file when they first make their data, and never again:
    the new file would lock the app out.

    Raises
    ------
    InputError
        The secret looks like a database password.
    """
    if looks_like_database_password(target.declared.name):
        raise InputError(
            f"{target.app.name} {target.declared.name} looks like a database password, and the "
            "database keeps the old one inside whatever the file says.",
            remedy=f"Say --hook {hooks_in_words()}; or --no-hook "
            "and change it in the database in the same minute; or leave it out.",
        )


def choose_hook(target: Target, options: Options, *, alone: bool) -> HookSpec | None:
    """Return the hook for a secret, or nothing when its file is all there is to change.

    ``recipe/secret`` in the settings names one secret. What is said for a whole recipe, or on
    the command line, is meant for the secrets that look like a database's password; on the
    command line also for one that is changed `alone`.

    Raises
    ------
    InputError
        It looks like a database's password and there is no hook for it.
    """
    if options.no_hook:
        return None
    name, recipe = target.declared.name, target.app.recipe
    stored = looks_like_database_password(name)
    said = options.hook if stored or alone else ""
    said = said or options.hooks.get(f"{recipe}/{name}", "")
    said = said or (options.hooks.get(recipe, "") if stored else "")
    if said:
        return parse_hook(said)
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
        names = [name for name, one in using.items() if _runs(one.service, hook.kind)]
    mounting = sorted(name.removeprefix(f"{stack}_") for name in names or using)
    if len(names) != 1:
        what = f"service {hook.service!r}" if hook.service else f"{hook.kind} service"
        raise InputError(
            f"{'several are a' if names else 'no'} {what} of {stack} that mounts the secret.",
            remedy=f"Name the database's service, as in --hook {hook.kind}:SERVICE; the secret is "
            f"mounted by: {', '.join(mounting) or 'none'}.",
        )
    found = using[names[0]]
    _check_reachable(found.service, seen)
    return found


def mounted_at(mounted: Mounted) -> str:
    """Return the path of a mounted secret."""
    return mounted.file if mounted.file.startswith("/") else f"/run/secrets/{mounted.file}"


def _check_reachable(service: model.Service, seen: Observation) -> None:
    running = {
        task.node_id
        for task in seen.tasks
        if task.service_id == service.id and task.status.state == "running"
    }
    if not running:
        raise InputError(
            f"{service.spec.name} on {seen.server} does not run, so it cannot be told the new "
            "password.",
            remedy="Start it first.",
        )
    if seen.info.swarm.node_id not in running:
        raise InputError(
            f"{service.spec.name} runs on another node of {seen.server}'s swarm, whose containers "
            "cannot be reached from the manager.",
            remedy="Change the password by hand in the same minute and say --no-hook.",
        )


def _runs(service: model.Service, kind: str) -> bool:
    container = service.spec.task_template.container_spec
    image = container.image.partition("@")[0] if container else ""
    pattern = HOOKS[kind].images
    return bool(pattern and pattern.search(image.rpartition("/")[2]))
