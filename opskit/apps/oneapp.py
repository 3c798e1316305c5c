"""Looking at one app: its tasks, its logs, its page, and whether it answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Annotated

from opskit.abra.files import printable
from opskit.abra.model import DeclaredApp
from opskit.abra.recipe import Recipes
from opskit.apps.page import AppPage, is_short, page_of
from opskit.apps.signs import Answer, Sign, ask, sign_of, url_of
from opskit.arguments import check_count, check_flag, check_text, names_in
from opskit.errors import InputError
from opskit.facts.facts import Facts
from opskit.facts.join import stack_of
from opskit.journal.runs import open_journal
from opskit.plan.selection import Lookup
from opskit.reading.reading import Reading
from opskit.secrets.redact import redact
from opskit.snapshot import Snapshot
from opskit.swarm.context import find_context
from opskit.swarm.engine import Engine
from opskit.swarm.logs import LogLine, read_logs
from opskit.swarm.observe import Observation
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.services import tasks_by_service
from opskit.views.table import About


class LogsRow(Row, frozen=True, kw_only=True):
    """A row of an app's logs: one line."""

    time: Annotated[datetime, Column("When it was written.")]
    service: Annotated[str, Column("The service that wrote it, without the stack.")]
    stream: Annotated[str, Column("stdout or stderr.")]
    line: Annotated[str, Column("What it says, known values masked.")]


_RUNS = 8
"""So many of its last runs are on an app's page."""
_LONGEST_NOTE = 160


class OneApp(Reading):
    """The part of a `Fleet` that looks at one app."""

    def ps(self, app: str, *, past: bool = False) -> View:
        """Read an app's tasks; with `past` also those that are to run no more.

        Raises
        ------
        InputError
            There are none, and the ``.env`` was not read whole, which may name another stack.
        """
        check_flag("past", past)
        found = self.app(app)
        tasks = type(self)(
            self.root, servers=[found.server], deadline=self.deadline, executor=self.executor
        )
        view = tasks.snapshot().tasks
        view = view.keep((view["server"] == found.server) & (view["stack"] == found.stack))
        if not len(view):
            _check_stack_known(found)
        return view if past else view.keep(view["desired_state"] == "running")

    def logs(
        self,
        app: str | DeclaredApp,
        services: list[str] | None = None,
        *,
        tail: int = 100,
        since: str = "",
    ) -> View:
        """Read what an app's services wrote, oldest line first, known values masked.

        Parameters
        ----------
        app
            The app's name, or ``server/app``; or what `app` gave, to ask again and again without
            reading files.
        services
            Only these, named without the stack.
        tail
            So many lines of each service.
        since
            Only what is newer: a time as the ``time`` column has it.

        Raises
        ------
        InputError
            The app is not deployed, or has no such service.
        """
        check_count("tail", tail, least=1)
        check_text("since", since, "Give a time as the time column has it.", empty=True)
        wanted = None if services is None else names_in("services", services)
        found = app if isinstance(app, DeclaredApp) else self.app(app)
        engine = Engine(find_context(found.server), seconds=self.deadline)
        lines: list[LogLine] = []
        for name, ident in self._services(found, engine, wanted).items():
            lines += read_logs(engine, ident, name, tail=tail, since=since)
        rows = [
            LogsRow(
                time=line.time, service=line.service, stream=line.stream, line=redact(line.text)
            )
            for line in sorted(lines, key=lambda line: line.time)
        ]
        return View.from_rows(LogsRow, rows, About(noun="lines", remark=found.name))

    def app(self, name: str) -> DeclaredApp:
        """Return an app by its name, or ``server/app``; only files are read.

        Raises
        ------
        InputError
            None or several are called so.
        """
        facts = Facts(taken_at=datetime.now(UTC), declared=self.declared(), observed=())
        return Lookup(facts).app(name)

    def page(self, app: str) -> AppPage:
        """Read all that is known of one app: what runs, its versions, findings and last runs.

        Of services that lack tasks or health it is asked what they complain of.

        Parameters
        ----------
        app
            The app's name, or ``server/app``.

        Raises
        ------
        InputError
            None or several are called so.

        Examples
        --------
        >>> page = fleet.page("cloud.mutual.example")
        >>> page.headline, [release.version for release in page.newer]
        ('Everything runs: 5 tasks of 5 services.', ['5.0.1+29.0.7-fpm'])
        """
        return self.page_in(self.look_at(app), app)

    def look_at(self, app: str) -> Snapshot:
        """Read the server of an app, and those that may lead to the same swarm.

        Raises
        ------
        InputError
            None or several are called so.
        """
        check_text("app", app, "Name one, as it stands in fleet.apps().")

        def where(declared: Facts) -> Collection[str]:
            lookup = Lookup(declared)
            return lookup.named_alike({lookup.app(app).server})

        return Snapshot(self._look(where))

    def page_in(self, snapshot: Snapshot, app: str) -> AppPage:
        """Return the page of an app in a look at the fleet that was taken just now."""
        found = Lookup(snapshot.facts).app(app)
        with open_journal() as journal:
            runs = journal.runs_of(server=found.server, app=found.name, most=_RUNS)
        seen = snapshot.facts.seen.get(found.server)
        return page_of(
            snapshot,
            found,
            signs=self._signs(snapshot, found, seen) if seen and seen.manager else {},
            notes=self._notes(snapshot.facts, found),
            runs=runs,
        )

    def answer(self, app: str) -> Answer:
        """Ask an app's domain, from this machine, whether it answers; follows to no other address.

        Raises
        ------
        InputError
            The app has no domain that can be asked.
        """
        found = self.app(app)
        url = url_of(found)
        if not url:
            raise InputError(
                f"{found.name} has no domain that can be asked.",
                path=Path(found.env_file),
                remedy=f"Give DOMAIN a host name: opskit app config {quote(found.name)}",
            )
        return ask(url)

    def _signs(self, snapshot: Snapshot, app: DeclaredApp, seen: Observation) -> dict[str, Sign]:
        """Return what the engine says of each service beyond the lists that were read."""
        view = snapshot.services
        own = view.records((view["server"] == app.server) & (view["stack"] == app.stack))
        engine = Engine(find_context(app.server), seconds=self.deadline)
        tasks = tasks_by_service(seen)
        return {
            row.service: sign_of(engine, tasks[row.service_id], amiss=is_short(row)) for row in own
        }

    def _notes(self, facts: Facts, app: DeclaredApp) -> dict[str, str]:
        """Return how the notes of all releases of an app's recipe begin."""
        known = facts.declared.releases.get(app.recipe, ())
        recipe = Recipes(self.root).find(app.recipe, known[-1]) if known else None
        notes = recipe.notes(known) if recipe else {}
        return {version: _beginning(text) for version, text in notes.items()}

    def _services(
        self, app: DeclaredApp, engine: Engine, wanted: Sequence[str] | None
    ) -> dict[str, str]:
        there = {
            service.spec.name.removeprefix(f"{app.stack}_"): service.id
            for service in engine.services()
            if stack_of(service.spec.labels) == app.stack
        }
        if not there:
            _check_stack_known(app)
            raise InputError(
                f"{app.name} is not deployed on {app.server}.",
                remedy=f"Deploy it: opskit app deploy {quote(f'{app.server}/{app.name}')}",
            )
        for name in wanted or ():
            if name not in there:
                raise InputError(
                    f"{app.name} has no service called {name!r}.",
                    remedy=f"It has: {', '.join(sorted(there))}.",
                )
        return {name: there[name] for name in wanted or sorted(there)}


def _check_stack_known(app: DeclaredApp) -> None:
    """Refuse to say that nothing runs of an app whose ``.env`` may name another stack."""
    if problem := app.unread:
        raise InputError(
            f"nothing runs as the stack {app.stack}, and {app.name} may name another one: "
            f"{problem.what}",
            path=Path(problem.path),
            line=problem.line,
            remedy=problem.remedy,
        )


def _beginning(notes: str) -> str:
    """Return the first line of release notes that says something."""
    lines = (line.strip().lstrip("#*- ") for line in notes.splitlines())
    first = printable(next(filter(None, lines), ""))
    return first if len(first) <= _LONGEST_NOTE else f"{first[:_LONGEST_NOTE]}…"
