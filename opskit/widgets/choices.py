"""What a form offers to choose from, and what its fields say of the options of a plan."""
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import pandas as pd

from opskit.databases import declared_moves, kept_data
from opskit.modes import DeployMode
from opskit.plan.options import Options
from opskit.secrets.generate import Policy
from opskit.settings import read_settings
from opskit.snapshot import Snapshot
from opskit.widgets.kinds import FormKind, SecretState, later_releases

COLUMNS = ("server", "app", "recipe", "secret", "version", "state", "age_days")


def app_choices(snapshot: Snapshot, kind: FormKind) -> list[dict[str, Any]]:
    """List each app with its declared secrets, and what a form of this kind can do with them."""
    view = snapshot.secrets
    rows = sorted(view.records(view["declared"]), key=lambda row: (row.server, row.app, row.secret))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    old, used = Counter[tuple[str, str, str]](), set[tuple[str, str, str]]()
    for row in view.records(view["observed"]):
        old[row.server, row.app, row.secret] += row.state == "superseded"
        if len(row.used_by):
            used.add((row.server, row.app, row.secret))
    guarded, tied = _side_doors(snapshot), _ties(snapshot)
    for row in rows:
        one = found.setdefault(
            (row.server, row.app),
            {"server": row.server, "app": row.app, "recipe": _plain(row.recipe), "secrets": []},
        )
        key = (row.server, row.app, row.secret)
        superseded = old[key]
        apart, shared = tied.get(key, ("", ""))
        obstacle = kind.obstacle(
            SecretState(
                state=_plain(row.state),
                exists=_number(row.age_days) is not None,
                used=key in used,
                generate=bool(row.generate),
                superseded=superseded,
                driver=_plain(row.driver),
                templating=_plain(row.templating),
                side_door=guarded.get(key, ""),
                apart=apart,
                shared=shared,
            )
        )
        one["secrets"].append(
            {
                "name": row.secret,
                "version": _plain(row.version),
                "state": _plain(row.state),
                "age": _number(row.age_days),
                "length": _number(row.length),
                "charset": _plain(row.charset),
                "hint": _hint(row, kind, superseded),
                "obstacle": obstacle,
                "preselected": kind.preselects and bool(row.generate) and not obstacle,
            }
        )
    return list(found.values())


def asked_for(apps: list[dict[str, Any]], app: str, secret: str) -> list[tuple[str, str, str]]:
    """Return what was asked for by name, as a form plans over it; nothing where it is not there.

    Parameters
    ----------
    apps
        What the form offers.
    app
        The app's name, or ``server/app``.
    secret
        One of its secrets, and the plan says whether it can be; empty for all of which something
        can be done.
    """
    for one in apps:
        server, name = one["server"], one["app"]
        if app in (name, f"{server}/{name}"):
            if "about" in one:
                return [(server, name, "")]
            return [
                (server, name, each["name"])
                for each in one["secrets"]
                if secret == each["name"] or not (secret or each["obstacle"])
            ]
    return []


def _side_doors(snapshot: Snapshot) -> dict[tuple[str, str, str], str]:
    """Return why new values would lock apps out of their databases, by server, app and secret."""
    facts, hooks = snapshot.facts, read_settings().hooks
    found: dict[tuple[str, str, str], str] = {}
    for seen in facts.observed:
        for app in facts.apps_by_server[seen.server]:
            for move in declared_moves(app, seen, hooks):
                said = f"Services use {move.old}, and a database keeps that: rotate it with a hook."
                found[seen.server, app.name, move.secret] = said
            for secret in (one.name for one in app.secrets):
                if volume := kept_data(app, secret, seen, hooks):
                    said = f"The volume {volume} holds data: insert the password it knows."
                    found[seen.server, app.name, secret] = said
    return found


def _ties(snapshot: Snapshot) -> dict[tuple[str, str, str], tuple[str, str]]:
    """Return why secrets can have no other version, and why not alone; of those it is true of."""
    found: dict[tuple[str, str, str], tuple[str, str]] = {}
    for server, apps in snapshot.facts.apps_by_server.items():
        for app in apps:
            for one in app.secrets:
                apart = ", ".join(app.named_with.get(one.env_key, ()))
                also = ", ".join(
                    other.name for other in app.renewed_with(one) if other.name != one.name
                )
                if apart or also:
                    found[server, app.name, one.name] = (
                        f"{one.env_key} names {apart} too." if apart else "",
                        f"{one.env_key} gives the version of {also} too." if also else "",
                    )
    return found


def _hint(row: Any, kind: FormKind, superseded: int) -> str:
    """Return what the recipe wants of a secret's value, or how much there is to prune."""
    if "keep" in kind.fields:
        return f"{superseded} old" if superseded else ""
    if source := _plain(row.driver) or _plain(row.templating):
        return f"{'driver' if _plain(row.driver) else 'template'} {source}"
    if not row.generate:
        return "not generated"
    return "" if pd.isna(row.length) else f"{row.length} characters"


def alphabets(apps: list[dict[str, Any]]) -> dict[str, str]:
    """Return the characters of each charset that secrets of these apps declare, "" for none."""
    declared = {secret["charset"] or "" for app in apps for secret in app["secrets"]}
    return {charset: Policy(charset=charset).alphabet() for charset in sorted(declared | {""})}


def whole_apps(snapshot: Snapshot, kind: FormKind) -> list[dict[str, Any]]:
    """List the apps of servers that answered and that a form can do something with."""
    view = snapshot.apps
    rows = sorted(view.records(view["deployed"].notna()), key=lambda row: (row.server, row.app))
    return [
        {
            "server": row.server,
            "app": row.app,
            "recipe": _plain(row.recipe),
            "secrets": [],
            "about": _about(row),
        }
        for row in rows
        if kind.suits(row)
    ]


def _about(row: Any) -> list[list[str]]:
    """Return what is declared and what runs, as pairs of a word and a value."""
    declared = _plain(row.recipe_version) or _plain(row.revision)
    runs = "no"
    if row.deployed:
        version = _plain(row.deployed_version) or "yes"
        runs = f"{version}{' (chaos)' if row.chaos is True else ''}"
    tasks = f"{row.running} of {row.desired} tasks" if row.deployed else ""
    if row.deployed and row.completed:
        done = f"{row.completed} completed"
        tasks = f"{tasks}, {done}" if row.desired or row.running else done
    newest = "".join(later_releases(row)[-1:])
    pairs = [
        ("Recipe", _plain(row.recipe)), ("Version", declared), ("Deployed", runs),
        ("Running", tasks), ("Newest version", newest),
    ]  # fmt: skip
    return [[word, str(value)] for word, value in pairs if value]


def table(snapshot: Snapshot, kind: FormKind) -> dict[str, Any]:
    """Return the secrets view column by column; texts as numbers into a list of distinct ones.

    ``obstacle`` says why nothing can be done with a row's secret.
    """
    view = snapshot.secrets
    columns: dict[str, Any] = {}
    tied = _ties(snapshot)
    declared = view.records(view["declared"])
    obstacles = {
        (row.server, row.app, row.secret): kind.obstacle(
            SecretState(
                state=_plain(row.state),
                exists=bool(row.observed),
                used=len(row.used_by) > 0,
                generate=bool(row.generate),
                superseded=0,
                driver=_plain(row.driver),
                templating=_plain(row.templating),
                apart=tied.get((row.server, row.app, row.secret), ("", ""))[0],
            )
        )
        for row in declared
    }
    every = (obstacles.get((row.server, row.app, row.secret), "") for row in view.records())
    columns["obstacle"] = _encoded(every)
    for name in COLUMNS:
        if name == "age_days":
            columns[name] = [_number(value) for value in view[name]]
        else:
            columns[name] = _encoded(view[name])
    return {"rows": len(view), "columns": columns, "caption": view.caption}


def _encoded(values: Iterable[Any]) -> dict[str, list[Any]]:
    known: dict[str, int] = {}
    codes = [known.setdefault(str(_plain(value) or ""), len(known)) for value in values]
    return {"values": list(known), "codes": codes}


def _plain(value: Any) -> Any:
    return None if pd.isna(value) else str(value)


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else round(float(value), 1)


def options_from(said: Any) -> Options:
    """Read a form's option fields; empty ones leave what the recipe and the settings say.

    Raises
    ------
    InputError
        A field makes no sense; names it.
    """
    fields: dict[str, Any] = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    length, charset, generator = (fields.get(key) for key in ("length", "charset", "generator"))
    policy = None
    if length or charset or generator:
        policy = Policy(
            generator=str(generator or "characters"),
            length=int(length) if isinstance(length, int | float) and length else None,
            charset=str(charset or ""),
        )
    mode = str(fields.get("deploy") or "")
    options = Options(
        policy=policy,
        use_pass=fields.get("use_pass") is True,
        hook=str(fields.get("hook") or ""),
        no_hook=fields.get("no_hook") is True,
    )
    return replace(options, deploy=cast("DeployMode", mode)) if mode else options
