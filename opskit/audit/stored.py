"""The password store beside the swarms: what is in both, and what in only one."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from shlex import quote
from typing import Annotated, Literal, get_args

from opskit.audit.registry import Finding, check
from opskit.audit.remedies import Remedies
from opskit.facts.facts import Facts
from opskit.facts.join import about_unread
from opskit.secrets.passstore import NEXT, PREVIOUS
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import about
from opskit.views.views import Views

Where = Literal["nowhere", "only in the swarm", "only in the store", "both"]
_ORDER: tuple[Where, ...] = get_args(Where)


class StoredRow(Row, frozen=True, kw_only=True):
    """A row of the password store beside the swarms.

    A declared secret, an entry that a run left beside a secret's own, or an entry of none.
    """

    where: Annotated[Where, Column("Where it is.")]
    server: Annotated[str | None, Column("The server, as abra names it.")] = None
    app: Annotated[str | None, Column("The app that declares the secret.")] = None
    secret: Annotated[str | None, Column("Its name, without stack and version.")] = None
    version: Annotated[str | None, Column("The version in force.")] = None
    state: Annotated[str | None, Column("How it stands: `opskit.facts.join.State`.")] = None
    path: Annotated[str, Column("The entry of the password store where it belongs.")]
    remedy: Annotated[str | None, Column("What to do, if it is not in both.")]


Path = Callable[[str, str, str], str]
"""From server, app and secret to the entry's path."""


def in_store(facts: Facts, entries: frozenset[str], path: Path, *, end: str = "") -> frozenset[str]:
    """Return the keys ``server/app/secret`` of declared secrets that have an entry.

    With an `end` it is one that a run left beside the secret's own.
    """
    return frozenset(
        f"{server}/{app.name}/{secret.name}"
        for server, apps in facts.apps_by_server.items()
        for app in apps
        for secret in app.secrets
        if path(server, app.name, secret.name) + end in entries
    )


@check(
    "pass-previous",
    severity="low",
    title="The password store keeps the value before of a secret that has only one version",
)
def outlived(views: Views) -> Iterator[Finding]:
    """Find values that no version in the swarm has any more, where the store was looked up."""
    remedies, older = Remedies(views, use_pass=True), _older_versions(views)
    for seen in views.facts.observed:
        for app in views.facts.apps_by_server.get(seen.server, ()):
            for secret in app.secrets:
                key = (seen.server, app.name, secret.name)
                if "/".join(key) in views.before_in_pass and key not in older:
                    if not seen.manager or about_unread(app):
                        continue
                    yield Finding(
                        server=seen.server,
                        app=app.name,
                        secret=secret.name,
                        what=f"the password store keeps a value of {secret.name} from before "
                        "the one in use, which no version in the swarm has: "
                        f"…/{secret.name}{PREVIOUS}",
                        remedy=remedies.prune(*key),
                    )


def compare_store(views: Views, entries: frozenset[str], path: Path) -> View:
    """Return how the password store agrees with what is declared and in the swarms.

    Parameters
    ----------
    views
        The snapshot.
    entries
        Paths of all entries below the part of the store that opskit uses.
    path
        Where an entry belongs.

    Returns
    -------
    View
        One `StoredRow` per declared secret, one per entry that a run left beside one, and one per
        entry that belongs to none.
    """
    in_step, plain = Remedies(views, use_pass=True), Remedies(views)
    found: list[StoredRow] = []
    for row in views.secrets.records(views.secrets["declared"]):
        place = path(row.server, row.app, row.secret)
        state = row.state if isinstance(row.state, str) else None
        key = (row.server, row.app, row.secret)
        known = state is not None and state != "unknown"
        where, remedy = _verdict(
            in_step, plain, key, stored=place in entries, observed=row.observed, known=known
        )
        found.append(
            StoredRow(
                where=where,
                server=row.server,
                app=row.app,
                secret=row.secret,
                version=row.version,
                state=state,
                path=place,
                remedy=remedy,
            )
        )
    expected = {
        path(server, app.name, secret.name): (server, app.name, secret.name)
        for server, apps in views.facts.apps_by_server.items()
        for app in apps
        for secret in app.secrets
    }
    older = _older_versions(views)
    for entry in entries - expected.keys():
        of = expected.get(entry.removesuffix(PREVIOUS).removesuffix(NEXT))
        server, app, secret = of or (None, None, None)
        has_older = entry.endswith(PREVIOUS) and of in older
        found.append(
            StoredRow(
                where="both" if has_older else "only in the store",
                server=server,
                app=app,
                secret=secret,
                path=entry,
                remedy=None if has_older else _clearing(in_step, entry, of),
            )
        )
    found.sort(key=lambda one: (_ORDER.index(one.where), one.path))
    shown = about(
        views.facts, "secrets", "where", "server", "app", "secret", "state", "path", "remedy"
    )
    return View.from_rows(StoredRow, found, shown)


def _clearing(in_step: Remedies, entry: str, of: tuple[str, str, str] | None) -> str:
    """Return how an entry goes that is beside a secret's own, or of none."""
    if of is None:
        return f"If nobody misses it: pass rm {quote(entry)}"
    if entry.endswith(PREVIOUS):
        return str(in_step.prune(*of))
    return f"If no run is unfinished (opskit journal): pass rm {quote(entry)}"


def _older_versions(views: Views) -> set[tuple[str, str, str]]:
    """Return the secrets of which a version is in the swarm that nobody declares."""
    rows = views.secrets.records(views.secrets["observed"] & ~views.secrets["declared"])
    return {(row.server, row.app, row.secret) for row in rows}


def _verdict(
    in_step: Remedies,
    plain: Remedies,
    key: tuple[str, str, str],
    *,
    stored: bool,
    observed: bool,
    known: bool,
) -> tuple[Where, str | None]:
    """Return where a secret is and what to do; nothing where its server could not be read."""
    server, app, secret = key
    if stored and observed:
        return "both", None
    if observed:
        return "only in the swarm", str(in_step.renew(server, app, secret))
    if stored:
        # A server that could not be read may well have it.
        way = str(plain.make(server, app, secret, given=True)) if known else None
        return "only in the store", way
    return "nowhere", str(in_step.make(server, app, secret)) if known else None
