"""The variables of an ``.env`` that name versions, and what becomes of them.

One may name the version of more than one thing: none of these gets a new one alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from shlex import quote

from opskit.abra.edit import has_line, set_value
from opskit.abra.env import parse_env
from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.errors import InputError
from opskit.plan.selection import Lookup, Target
from opskit.plan.versions import Renewal
from opskit.steps import Declaration, Declare
from opskit.steps.env import digest, read_unchanged
from opskit.steps.envfile import check_replaceable


def check_variable(targets: Sequence[Target], *, given: bool = False) -> None:
    """Refuse new versions of some secrets of a variable that names others, or anything else, too.

    Parameters
    ----------
    targets
        Secrets of one app that get their version from one variable, or one that has none.
    given
        Whether somebody has their values, as when one is inserted.

    Raises
    ------
    InputError
        Names the others, and how all of them get their new version.
    """
    app, declared = targets[0].app, targets[0].declared
    key, names = declared.env_key, [target.declared.name for target in targets]
    sharing, apart = app.renewed_with(declared), app.named_with.get(key, ())
    others = [one.name for one in sharing if one.name not in names]
    if not others and not apart:
        return
    if apart:
        what = f"names {', '.join([*others, *apart])} too"
        loss = f"with a new one for {' and '.join(names)}, a deploy would take others for these"
        remedy = f"{_OWN.capitalize()}."
    else:
        what = f"gives the version of {' and '.join(others)} too"
        loss = f"with a new one for {' and '.join(names)} alone, these would be missing"
        way = _together(targets[0].shown, key, sharing, names if given else ())
        remedy = f"{way}; or {_OWN}."
    raise InputError(
        f"{key} of {app.name} {what}: {loss}.",
        path=Path(app.env_file),
        line=declared.env_line or None,
        remedy=remedy,
    )


_OWN = "give each a variable of its own in the recipe"


def _together(app: str, key: str, sharing: Sequence[DeclaredSecret], given: Collection[str]) -> str:
    """Return how secrets of one variable get their next version, some by `given` values."""
    made = [quote(one.name) for one in sharing if one.generate and one.name not in given]
    if len(made) == len(sharing):
        return f"All at once: opskit secret rotate {app} {' '.join(made)}"
    ways = [f"opskit secret generate {app} {' '.join(made)}"] if made else []
    ways += [
        f"opskit secret insert {app} {quote(one.name)}"
        for one in sharing
        if not one.generate or one.name in given
    ]
    return (
        f"Name the next version of all, {key}, with opskit app config {app}; "
        f"then {'; '.join(ways)}; then opskit app deploy {app}"
    )


def _check_no_other_changes(
    path: Path, edited: Collection[str], before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    """Refuse an edit of some variables by which others get another value.

    Raises
    ------
    InputError
        Names the others.
    """
    others = sorted(
        key
        for key in before.keys() | after.keys()
        if key not in edited and before.get(key) != after.get(key)
    )
    if others:
        raise InputError(
            f"{' and '.join(others)} would change with {' and '.join(edited)}.",
            path=path,
            remedy="Write their values out, so that each stands for itself.",
        )


def declaring(app: DeclaredApp, renewals: list[Renewal]) -> Declare:
    """Return the step that names new versions in an app's ``.env``.

    Raises
    ------
    InputError
        A line cannot be changed, or the change would be one of other variables too.
    """
    path = Path(app.env_file)
    content = read_unchanged(path, app.env_sha256)
    check_replaceable(path)
    before = parse_env(content, path).values
    declarations: list[Declaration] = []
    # Secrets that share a variable share its line.
    for one in {one.target.declared.env_key: one for one in renewals}.values():
        declared = one.target.declared
        old = declared.version if declared.env_line else None
        if old is None and has_line(content, declared.env_key):
            old = ""
        content = set_value(content, declared.env_key, one.version, path)
        declarations.append(Declaration(key=declared.env_key, old=old, new=one.version))
    keys = [one.key for one in declarations]
    _check_no_other_changes(path, keys, before, parse_env(content, path).values)
    return Declare(
        path=app.env_file,
        before=app.env_sha256,
        after=digest(content),
        declarations=tuple(declarations),
    )


def left_behind(one: Renewal, lookup: Lookup) -> str:
    """Name the other apps whose ``.env`` goes on naming the version that is replaced."""
    app, declared = one.target.app, one.target.declared
    names = [
        other.name if other.server == app.server else f"{other.server}/{other.name}"
        for other in lookup.apps(app.server)
        if (other.server, other.name) != (app.server, app.name)
        and any(
            secret.swarm_name == declared.swarm_name
            or (other.stack == app.stack and secret.name == declared.name)
            for secret in other.secrets
        )
    ]
    if not names:
        return ""
    does = "declares it too and keeps" if len(names) == 1 else "declare it too and keep"
    return f"{' and '.join(names)} {does} {declared.version}"
