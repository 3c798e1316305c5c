"""Planning an app's ``.env``: an edit of it, or a new app's first one; only files change."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from shlex import quote

from opskit.abra.app import known_variables, read_app
from opskit.abra.edit import check_whole
from opskit.abra.env import EnvFile, parse_env, read_env
from opskit.abra.model import Declared, DeclaredApp, Problem
from opskit.abra.names import pinned_version, recipe_of
from opskit.abra.newapp import new_app
from opskit.abra.recipe import Recipes
from opskit.errors import InputError
from opskit.plan.assemble import unit
from opskit.plan.data import Change, PlanData, Unit
from opskit.plan.selection import check_read
from opskit.steps import AnyStep, CommitEnv, CreateEnv, ReplaceEnv
from opskit.steps.env import digest
from opskit.steps.envfile import check_replaceable

_TOLD = frozenset({"TYPE", "RECIPE", "COMPOSE_FILE", "STACK_NAME"})


def check_editable(app: DeclaredApp) -> None:
    """Refuse what git or a key has to settle first, while an edit can mend a line.

    Raises
    ------
    InputError
        A merge was left half done in the file, or it is encrypted.
    """
    if app.unread and app.unread.kind in ("conflict", "locked"):
        check_read(app)


def problems_of(root: Path, app: DeclaredApp, content: bytes) -> tuple[Problem, ...]:
    """List what an edited ``.env`` would have wrong that it has not now."""
    known = {problem.what for problem in _problems(app)}
    edited = _edited(root, app, content)[0]
    return tuple(
        problem
        for problem in _problems(edited)
        if problem.path == app.env_file and problem.what not in known
    )


def _problems(app: DeclaredApp) -> Iterator[Problem]:
    yield from app.problems
    for secret in app.secrets:
        yield from secret.problems


def plan_config(root: Path, app: DeclaredApp, content: bytes, *, commit: bool) -> PlanData:
    """Plan to write an edited ``.env``.

    Raises
    ------
    InputError
        Something is wrong with it that was not before, or nothing was changed.
    """
    path = Path(app.env_file)
    check_editable(app)
    for problem in problems_of(root, app, content)[:1]:
        raise InputError(problem.what, path=path, line=problem.line, remedy=problem.remedy)
    check_whole(content, path)
    after = digest(content)
    if after == app.env_sha256:
        raise InputError("nothing was changed.", path=path)
    check_replaceable(path)
    edited, env = _edited(root, app, content)
    recipe = Recipes(root).find(recipe_of(env.values)[0], pinned_version(env.values))
    known = known_variables(recipe, (*app.secrets, *app.configs, *edited.secrets, *edited.configs))
    steps: list[AnyStep] = [ReplaceEnv(path=app.env_file, before=app.env_sha256, after=after)]
    if commit:
        steps.append(CommitEnv(path=app.env_file, message=f"{app.name}: edit"))
    changes = list(_changes(app, edited, read_env(path), env, known))
    if not changes:
        changes = [Change(secret="", note="only comments: a redeploy changes nothing")]
    return PlanData.made_now("config", [unit(app, changes, steps)])


def _edited(root: Path, app: DeclaredApp, content: bytes) -> tuple[DeclaredApp, EnvFile]:
    path = Path(app.env_file)
    env = parse_env(content, path)
    return read_app(Recipes(root), app.server, path, env), env


def _changes(
    before: DeclaredApp, after: DeclaredApp, old: EnvFile, new: EnvFile, known: Collection[str]
) -> Iterator[Change]:
    """Return what a redeploy would change; names and versions only."""
    if before.stack != after.stack:
        yield Change(
            secret="",
            note=f"another stack, {after.stack}: {before.stack} would go on beside it",
        )
    if (before.recipe, before.recipe_version) != (after.recipe, after.recipe_version):
        yield Change(
            secret="",
            from_version=_pin(before),
            to_version=_pin(after),
            note="the recipe",
        )
    files = _listed(set(before.compose_files), set(after.compose_files))
    if files:
        yield Change(secret="", note=f"compose files: {files}")
    kinds = (("secret", before.secrets, after.secrets), ("config", before.configs, after.configs))
    for kind, ours, theirs in kinds:
        was = {one.name: one.version for one in ours}
        becomes = {one.name: one.version for one in theirs}
        for name in sorted(was.keys() | becomes.keys()):
            if was.get(name) != becomes.get(name):
                yield Change(
                    secret=name,
                    from_version=was.get(name, ""),
                    to_version=becomes.get(name, ""),
                    note=f"{kind} {_fate(name in was, name in becomes)}",
                )
    versions = {one.env_key for one in (*before.secrets, *before.configs, *after.secrets)}
    keys = {
        key
        for key in old.values.keys() | new.values.keys()
        if old.values.get(key) != new.values.get(key) and key not in _TOLD | versions
    }
    if keys:
        # Others may be pieces of values, and a plan is kept.
        others = len(keys - set(known))
        named = [*sorted(keys & set(known)), *([f"{others} unknown to the recipe"] * bool(others))]
        yield Change(secret="", note=f"variables: {', '.join(named)}")


def _pin(app: DeclaredApp) -> str:
    return f"{app.recipe}:{app.recipe_version}" if app.recipe_version else app.recipe


def _fate(was: bool, becomes: bool) -> str:
    return "changed" if was and becomes else "added" if becomes else "no longer used"


def _listed(before: set[str], after: set[str]) -> str:
    gone, came = sorted(before - after), sorted(after - before)
    return ", ".join([*(f"+{name}" for name in came), *(f"-{name}" for name in gone)])


def plan_new(
    declared: Declared, root: Path, *, server: str, domain: str, recipe: str, version: str | None
) -> PlanData:
    """Plan a new app's ``.env``.

    Raises
    ------
    InputError
        It exists, another app has its stack name, or something about it will not do.
    """
    made = new_app(root, server, domain, recipe, version)
    if made.path.exists():
        raise InputError(
            "this app exists already, and nothing is overwritten.",
            path=made.path,
            remedy=f"Edit it: opskit app config {quote(domain)}",
        )
    for app in (app for one in declared.servers if one.name == server for app in one.apps):
        if app.stack == made.stack:
            raise InputError(
                f"{app.name} has the stack name {made.stack} on {server} already.",
                path=Path(app.env_file),
                remedy="Choose a domain that differs in its first 45 characters.",
            )
    step = CreateEnv(
        path=str(made.path),
        root=str(root),
        server=server,
        domain=domain,
        recipe=recipe,
        version=made.version,
        after=digest(made.content),
    )
    change = Change(
        secret="",
        to_version=made.version,
        note=f"a new app of the recipe {recipe}",
        undone_by="removing its .env, unless it was edited",
    )
    unit = Unit(server=server, app=domain, stack=made.stack, changes=(change,), steps=(step,))
    return PlanData.made_now("new", [unit])
