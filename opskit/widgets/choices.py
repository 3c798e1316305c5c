"""What a form offers to choose from, and what its fields say of the options of a plan."""
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pandas as pd

from opskit.errors import InputError
from opskit.facts.databases import declared_moves, kept_data
from opskit.kinds.modes import DeployMode
from opskit.plan.options import Options
from opskit.secrets.generate import Policy
from opskit.settings import read_settings
from opskit.snapshot import Snapshot
from opskit.widgets.kinds import FormKind
from opskit.widgets.whynot import SecretState, later_releases

Key = tuple[str, str, str]
"""Server, app and secret."""


def secret_states(snapshot: Snapshot) -> dict[Key, SecretState]:
    """Return what forms know of each declared secret."""
    view = snapshot.secrets
    old, used = Counter[Key](), set[Key]()
    for row in view.records(view["observed"]):
        old[row.server, row.app, row.secret] += row.state == "superseded"
        if len(row.used_by):
            used.add((row.server, row.app, row.secret))
    guarded, tied = _side_doors(snapshot), _ties(snapshot)
    found: dict[Key, SecretState] = {}
    for row in view.records(view["declared"]):
        key = (row.server, row.app, row.secret)
        apart, shared = tied.get(key, ("", ""))
        found[key] = SecretState(
            state=plain(row.state),
            exists=bool(row.observed),
            used=key in used,
            generate=bool(row.generate),
            superseded=old[key],
            driver=plain(row.driver),
            templating=plain(row.templating),
            side_door=guarded.get(key, ""),
            apart=apart,
            shared=shared,
        )
    return found


def offered(
    snapshot: Snapshot, kind: FormKind, asked: str, *, only: bool = False
) -> dict[str, Any]:
    """Return the apps that a form offers, and why the one that was `asked` for is not there.

    With `only` it offers no other one.
    """
    apps = (whole_apps if kind.chooses == "app" else app_choices)(snapshot, kind)
    if only:
        apps = [one for one in apps if asked in _names(one)]
    charsets = [secret["charset"] for app in apps for secret in app["secrets"]]
    return {
        "apps": apps,
        "alphabets": alphabets(charsets) if "value" in kind.fields else {},
        "asked": about_asked(snapshot, kind, asked, apps) if asked else "",
    }


def app_choices(snapshot: Snapshot, kind: FormKind) -> list[dict[str, Any]]:
    """List each app with its declared secrets, and what a form of this kind can do with them."""
    view, states = snapshot.secrets, secret_states(snapshot)
    rows = sorted(view.records(view["declared"]), key=lambda row: (row.server, row.app, row.secret))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        one = found.setdefault(
            (row.server, row.app),
            {"server": row.server, "app": row.app, "recipe": plain(row.recipe), "secrets": []},
        )
        state = states[row.server, row.app, row.secret]
        obstacle = kind.why_not(state)
        one["secrets"].append(
            {
                "name": row.secret,
                "version": plain(row.version),
                "state": state.state,
                "age": number(row.age_days),
                "length": number(row.length),
                "charset": plain(row.charset),
                "hint": _hint(row, kind, state.superseded),
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
        if app in _names(one):
            if "about" in one:
                return [(server, name, "")]
            return [
                (server, name, each["name"])
                for each in one["secrets"]
                if secret == each["name"] or not (secret or each["obstacle"])
            ]
    return []


def about_asked(
    snapshot: Snapshot, kind: FormKind, name: str, offered: Iterable[Mapping[str, Any]]
) -> str:
    """Return why an app that was asked for by its name is not among what is offered.

    That nobody could read its server must not pass for that there is none.
    """
    if any(name in _names(one) for one in offered):
        return ""
    view = snapshot.apps
    found = [row for row in view.records() if name in (row.app, f"{row.server}/{row.app}")]
    unread = [row for row in found if plain(row.deployed) is None]
    if unread and len(unread) == len(found):
        server = unread[0].server
        why = snapshot.facts.unknown("services").get(server, "nobody asked").rstrip(".")
        return f"{name} is not read, as {server} is not: {why}."
    return f"There is no app {name} {kind.wanted}."


def _names(one: Mapping[str, Any]) -> tuple[str, str]:
    """Return how an app that is offered may be called."""
    return one["app"], f"{one['server']}/{one['app']}"


def _side_doors(snapshot: Snapshot) -> dict[Key, str]:
    """Return why new values would lock apps out of their databases, by server, app and secret."""
    facts, hooks = snapshot.facts, read_settings().hooks
    found: dict[Key, str] = {}
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


def _ties(snapshot: Snapshot) -> dict[Key, tuple[str, str]]:
    """Return why secrets can have no other version, and why not alone; of those it is true of."""
    found: dict[Key, tuple[str, str]] = {}
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
    if source := plain(row.driver) or plain(row.templating):
        return f"{'driver' if plain(row.driver) else 'template'} {source}"
    if not row.generate:
        return "not generated"
    return "" if pd.isna(row.length) else f"{row.length} characters"


def alphabets(charsets: Iterable[str | None]) -> dict[str, str]:
    """Return the characters of each charset that secrets declare, "" for none."""
    declared = {charset or "" for charset in charsets}
    found: dict[str, str] = {}
    for charset in sorted(declared | {""}):
        # Of one that there is not a plan says so; it must not keep a form from being shown.
        with suppress(InputError):
            found[charset] = Policy(charset=charset).alphabet()
    return found


def whole_apps(snapshot: Snapshot, kind: FormKind) -> list[dict[str, Any]]:
    """List the apps of servers that answered and that a form can do something with."""
    view = snapshot.apps
    rows = sorted(view.records(view["deployed"].notna()), key=lambda row: (row.server, row.app))
    return [
        {
            "server": row.server,
            "app": row.app,
            "recipe": plain(row.recipe),
            "secrets": [],
            "about": _about(row),
        }
        for row in rows
        if not kind.app_obstacle(row)
    ]


def _about(row: Any) -> list[list[str]]:
    """Return what is declared and what runs, as pairs of a word and a value."""
    declared = plain(row.recipe_version) or plain(row.revision)
    runs = "no"
    if row.deployed:
        version = plain(row.deployed_version) or "yes"
        runs = f"{version}{' (chaos)' if row.chaos else ''}"
    tasks = f"{row.running} of {row.desired} tasks" if row.deployed else ""
    if row.deployed and row.completed:
        done = f"{row.completed} completed"
        tasks = f"{tasks}, {done}" if row.desired or row.running else done
    newest = "".join(later_releases(row)[-1:])
    pairs = [
        ("Recipe", plain(row.recipe)), ("Version", declared), ("Deployed", runs),
        ("Running", tasks), ("Newest version", newest),
    ]  # fmt: skip
    return [[word, str(value)] for word, value in pairs if value]


def plain(value: Any) -> Any:
    """Return a cell as text, or nothing of one without a value."""
    return None if pd.isna(value) else str(value)


def number(value: Any) -> float | None:
    """Return a cell as a short number, or nothing of one without a value."""
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
