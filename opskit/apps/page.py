"""One app on one page: what runs of it, which versions it has, what is wrong, what was done to it.

A pure function of what was read, so that the command line, a notebook and a form show the same.
"""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pandas as pd

from opskit.abra.model import DeclaredApp
from opskit.apps.signs import Answer, Sign, Tone, url_of
from opskit.errors import InputError
from opskit.journal.records import RunRecord, name_in
from opskit.kinds.statuses import STATUSES
from opskit.plan.data import Change, load_plan
from opskit.secrets.redact import redact
from opskit.snapshot import Snapshot

_FAILED = ["failed", "rejected"]
_STUCK = frozenset({"paused", "rollback_paused", "rollback_completed"})
_MOVING = frozenset({"updating", "rollback_started"})


class ServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A service: how many of its tasks run, and what went wrong last.

    Parameters
    ----------
    tasks
        How many run, of how many, in words.
    is_unhealthy
        Whether a healthcheck fails.
    update
        How its last rollout stands, where that is not the usual end.
    stands
        Both, or that nobody knows.
    error, error_at
        What it complains of now, else why a task failed last, and when that was.
    error_is
        Which of both an error is, to begin a sentence with.
    """

    name: str
    image: str
    running: int | None
    desired: int | None
    tasks: str
    health: str
    is_unhealthy: bool
    update: str
    stands: str
    error: str
    error_at: datetime | None
    error_is: str
    tone: Tone


class SecretLine(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a secret; that which the files declare comes before its others."""

    secret: str
    version: str
    state: str
    declared: bool
    created_at: datetime | None
    age_days: float | None
    used_by: tuple[str, ...]


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A later release, and how its notes begin; empty when it has none that are known here."""

    version: str
    note: str


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an app as a whole under a word: a text, or releases."""

    word: str
    text: str = ""
    releases: tuple[Release, ...] = ()


class FindingLine(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the audit that is about this app."""

    key: str
    id: str
    severity: str
    secret: str
    what: str
    remedy: str
    plan: dict[str, str]


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run that worked on this app; `what` names what it was to change, `did` its kind, too."""

    run: str
    kind: str
    what: str
    did: str
    status: str
    tone: Tone
    who: str
    started_at: datetime


class AppPage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one app.

    Parameters
    ----------
    taken_at
        When it was read.
    headline, tone
        How it stands, in a sentence.
    deployed
        Whether it runs; ``None`` when its server could not be read.
    pinned, runs, revision
        The release that its file pins, the one that runs, and the recipe's checkout here.
    newer
        Later releases that are known here, the oldest first; ``None`` when nobody can tell.
    facts
        Recipe, versions and later releases, as they are shown.
    url
        Where it should answer; empty without a domain.
    notes
        What else to know: why a server is missing, what of its files could not be read.
    nothing
        What to say of a part that is empty: nothing, or that nobody knows.
    no_runs
        What to say when there are no last runs: those of other machines nobody knows here.
    answer
        Whether it answers there, if that was asked.
    """

    server: str
    app: str
    stack: str
    recipe: str
    taken_at: datetime
    headline: str
    tone: Tone
    deployed: bool | None
    pinned: str
    runs: str
    revision: str
    newer: tuple[Release, ...] | None
    facts: tuple[Fact, ...]
    url: str
    notes: tuple[str, ...]
    services: tuple[ServiceLine, ...]
    secrets: tuple[SecretLine, ...]
    findings: tuple[FindingLine, ...]
    last_runs: tuple[RunLine, ...]
    nothing: str
    no_runs: str = "none in this journal"
    answer: Answer | None = None

    @property
    def name(self) -> str:
        """The app with its server, as plans and commands take it."""
        return f"{self.server}/{self.app}"

    def __repr__(self) -> str:
        return f"<AppPage of {self.app} on {self.server}: {self.headline}>"


def page_of(
    snapshot: Snapshot,
    app: DeclaredApp,
    *,
    signs: Mapping[str, Sign],
    notes: Mapping[str, str],
    runs: Sequence[RunRecord],
) -> AppPage:
    """Return the page of an app.

    Parameters
    ----------
    snapshot
        A look at least at the app's server.
    app
        Which app.
    signs
        What more is known of its services, by their whole names.
    notes
        How the notes of its later releases begin, by version.
    runs
        The runs that worked on it, the newest first.
    """
    row = _only(snapshot.apps, app)
    services = _services(snapshot, app, signs)
    missing = snapshot.facts.missing().get(app.server, "")
    seen = snapshot.facts.seen.get(app.server)
    unread = {} if missing or seen is None else seen.unread
    deployed = None if pd.isna(row.deployed) else bool(row.deployed)
    headline, tone = _headline(services, deployed)
    later = row.upgrades if isinstance(row.upgrades, list | tuple) else None
    newer = (
        None
        if later is None
        else tuple(Release(version=one, note=notes.get(one, "")) for one in later)
    )
    chaos = " (chaos)" if not pd.isna(row.chaos) and row.chaos else ""
    runs_now = f"{_text(row.deployed_version)}{chaos}".strip()
    return AppPage(
        server=app.server,
        app=app.name,
        stack=app.stack,
        recipe=app.recipe,
        taken_at=snapshot.facts.taken_at,
        headline=headline,
        tone=tone,
        deployed=deployed,
        pinned=app.recipe_version,
        runs=runs_now,
        revision=app.revision,
        newer=newer,
        facts=_facts(app, runs_now, newer, deployed=deployed),
        url=url_of(app),
        notes=(
            *([f"{app.server} could not be read: {missing}"] if missing else []),
            *(f"Its server's {name} could not be read: {why}" for name, why in unread.items()),
            *([app.note] if app.note else []),
            *(_problem(one) for one in (*app.problems, *app.unsupported)),
        ),
        services=services,
        secrets=_secrets(snapshot, app),
        findings=_findings(snapshot, app),
        last_runs=tuple(_run(one, app) for one in runs),
        nothing="not known, as its server could not be read" if deployed is None else "none",
    )


def _facts(
    app: DeclaredApp, runs: str, newer: tuple[Release, ...] | None, *, deployed: bool | None
) -> tuple[Fact, ...]:
    none = "not known here" if newer is None else "none is known here"
    facts = (
        Fact(word="Recipe", text=app.recipe),
        Fact(word="Runs", text=runs or ("a version without a label" if deployed else "")),
        Fact(word="Pinned", text=app.recipe_version or "no version: the recipe as it is here"),
        Fact(word="Recipe here", text=app.revision),
        Fact(word="Later releases", text="" if newer else none, releases=newer or ()),
    )
    return tuple(one for one in facts if one.text or one.releases)


def _only(view: Any, app: DeclaredApp) -> Any:
    return next(view.records((view["server"] == app.server) & (view["app"] == app.name)))


def _services(
    snapshot: Snapshot, app: DeclaredApp, signs: Mapping[str, Sign]
) -> tuple[ServiceLine, ...]:
    view = snapshot.services
    own = view.keep((view["server"] == app.server) & (view["stack"] == app.stack))
    errors = _last_errors(snapshot, app)
    return tuple(
        _service(row, app, signs.get(row.service, Sign()), errors.get(row.service))
        for row in sorted(own.records(), key=lambda row: row.service)
    )


def _service(row: Any, app: DeclaredApp, sign: Sign, failed: Any) -> ServiceLine:
    running, desired, completed = map(_count, (row.running, row.desired, row.completed))
    tasks = "not counted" if running is None else f"{running} of {desired}"
    update = _text(row.update_state)
    unusual = update.replace("_", " ") if update in _STUCK | _MOVING else ""
    error = sign.complaint or (redact(_text(failed.error)) if failed is not None else "")
    is_bad = is_short(row) or sign.fails
    return ServiceLine(
        name=row.service.removeprefix(f"{app.stack}_"),
        image=_short_image(row.image),
        running=running,
        desired=desired,
        tasks=f"{tasks}, {completed} completed" if completed else tasks,
        health=sign.health,
        is_unhealthy=sign.fails,
        update=unusual,
        stands=", ".join(filter(None, (sign.health, unusual))) or "health not known",
        error=error,
        error_at=None if failed is None or pd.isna(failed.since) else failed.since.to_pydatetime(),
        error_is="" if not error else "It says" if is_bad else "Last error",
        tone="bad"
        if is_bad
        else "warn"
        if update in _MOVING
        else "good"
        if running or completed
        else "idle",
    )


def is_short(row: Any) -> bool:
    """Return whether a row of the services view lacks tasks, or its rollout got stuck."""
    running, desired = _count(row.running), _count(row.desired)
    lacks = running is not None and desired is not None and running < desired
    return lacks or _text(row.update_state) in _STUCK


def _last_errors(snapshot: Snapshot, app: DeclaredApp) -> dict[str, Any]:
    """Return the latest failed task of each service that has one."""
    view = snapshot.tasks
    own = view.keep(
        (view["server"] == app.server)
        & (view["stack"] == app.stack)
        & (view["error"].notna() | view["state"].isin(_FAILED))
    )
    return {row.service: row for row in sorted(own.records(), key=lambda row: row.created_at)}


def _headline(services: Sequence[ServiceLine], deployed: bool | None) -> tuple[str, Tone]:
    if deployed is None:
        return "Nobody knows whether it runs: its server could not be read.", "warn"
    if not deployed:
        return "It is not deployed.", "idle"
    bad = [one for one in services if one.tone == "bad"]
    if bad:
        said = (f"{one.name} ({', '.join(filter(None, _amiss(one)))})" for one in bad)
        return f"Not all of it runs as it should: {', '.join(said)}.", "bad"
    moving = [one.name for one in services if one.tone == "warn"]
    if moving:
        return f"A rollout goes on: {', '.join(moving)}.", "warn"
    count = sum(one.running or 0 for one in services)
    many = f"{len(services)} {'service' if len(services) == 1 else 'services'}"
    return f"Everything runs: {count} {'task' if count == 1 else 'tasks'} of {many}.", "good"


def _amiss(service: ServiceLine) -> tuple[str, ...]:
    lacks = service.running is not None and (service.running or 0) < (service.desired or 0)
    health = service.health if service.is_unhealthy else ""
    return (f"{service.tasks} tasks" if lacks else "", service.update, health)


def _secrets(snapshot: Snapshot, app: DeclaredApp) -> tuple[SecretLine, ...]:
    view = snapshot.secrets
    own = view.records((view["server"] == app.server) & (view["app"] == app.name))
    # The view has a secret's versions from the oldest to the newest.
    numbered = sorted(
        enumerate(own), key=lambda pair: (pair[1].secret, not pair[1].declared, -pair[0])
    )
    return tuple(
        SecretLine(
            secret=row.secret,
            version=_text(row.version),
            state=_text(row.state),
            declared=bool(row.declared),
            created_at=None if pd.isna(row.created_at) else row.created_at.to_pydatetime(),
            age_days=None if pd.isna(row.age_days) else round(float(row.age_days), 1),
            used_by=tuple(name.removeprefix(f"{app.stack}_") for name in row.used_by),
        )
        for _, row in numbered
    )


def _findings(snapshot: Snapshot, app: DeclaredApp) -> tuple[FindingLine, ...]:
    # What joins findings brings pandas along.
    from opskit.audit.blocks import sentence

    view = snapshot.audit()
    return tuple(
        FindingLine(
            key=row.key,
            id=row.id,
            severity=str(row.severity),
            secret=_text(row.secret),
            what=sentence(row, names_secret=True),
            remedy=row.remedy,
            plan=row.plan,
        )
        for row in view.records((view["server"] == app.server) & (view["app"] == app.name))
    )


def _run(record: RunRecord, app: DeclaredApp) -> RunLine:
    status = STATUSES[record.status]
    what = ", ".join(_changes(record, app))
    return RunLine(
        run=record.run,
        kind=record.kind,
        what=what,
        did=": ".join(filter(None, (record.kind, what))),
        status=status.label,
        tone=status.tone,
        who=name_in(record.identity) or record.actor,
        started_at=record.started_at,
    )


def _changes(record: RunRecord, app: DeclaredApp) -> list[str]:
    try:
        units = load_plan(record.plan).units
    except InputError:
        # Of a plan that another opskit wrote, the kind is known.
        return []
    own = (unit for unit in units if (unit.server, unit.app) == (app.server, app.name))
    return [text for unit in own for one in unit.changes if (text := _change(one))]


def _change(change: Change) -> str:
    versions = " → ".join(one for one in (change.from_version, change.to_version) if one)
    return " ".join(one for one in (change.secret, versions) if one)


def _problem(problem: Any) -> str:
    where = f"{problem.path}:{problem.line}" if problem.line else problem.path
    return f"{where}: {problem.what}"


def _short_image(image: str) -> str:
    """Return an image without its digest, which no person compares."""
    return image.partition("@")[0]


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)


def _count(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)
