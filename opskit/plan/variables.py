"""Variables that name the version of more than one thing: none of these gets a new one alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from shlex import quote

from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.errors import InputError
from opskit.plan.selection import Target


def check_variables(targets: Iterable[Target]) -> None:
    """Refuse new versions of some secrets of a variable that names the version of others, too.

    Raises
    ------
    InputError
        Names the others, and how all of them get their new version.
    """
    chosen: defaultdict[tuple[str, str, str], list[Target]] = defaultdict(list)
    for target in targets:
        if target.declared.env_key:
            where = (target.app.server, target.app.name, target.declared.env_key)
            chosen[where].append(target)
    for (_, _, key), group in chosen.items():
        app = group[0].app
        names = [target.declared.name for target in group]
        configs = [f"the config {one.name}" for one in app.configs if one.env_key == key]
        sharing = [one for one in app.secrets if one.env_key == key]
        others = [one.name for one in sharing if one.name not in names]
        if others or configs:
            raise InputError(
                f"{key} of {app.name} gives the version of {' and '.join([*others, *configs])} "
                f"too: with a new one for {' and '.join(names)} alone, these would be missing.",
                path=Path(app.env_file),
                line=group[0].declared.env_line or None,
                remedy=_remedy(app, key, sharing, configs),
            )


def _remedy(app: DeclaredApp, key: str, sharing: list[DeclaredSecret], configs: list[str]) -> str:
    if configs:
        return "Give each a variable of its own in the recipe."
    shown, names = quote(app.name), [quote(one.name) for one in sharing]
    if all(one.generate for one in sharing):
        return (
            f"All at once: opskit secret rotate {shown} {' '.join(names)}; or give each a "
            "variable of its own in the recipe."
        )
    inserts = "; ".join(f"opskit secret insert {shown} {name}" for name in names)
    return (
        f"Name the next version of all, {key}, with opskit app config {shown}; then {inserts}; "
        f"then opskit app deploy {shown}. Or give each a variable of its own in the recipe."
    )


def check_no_other_changes(
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
