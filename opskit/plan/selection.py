"""From what an operator names to what is declared and observed of it.

A plan is asked for with an app and some of its secrets by name, or with rows of a table.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any, cast

import pandas as pd
from pandas import DataFrame

from opskit.abra.model import DeclaredApp, DeclaredSecret, Problem
from opskit.arguments import check_text, given, names_in
from opskit.errors import InputError
from opskit.facts.facts import Facts
from opskit.facts.join import SecretRow, not_generated, origin, secret_rows
from opskit.plan.obstacles import ObstacleError
from opskit.plan.options import Options
from opskit.swarm import model
from opskit.swarm.observe import Observation
from opskit.views.views import Views

Selection = pd.DataFrame | Views | Iterable[tuple[str, str, str]]
"""Rows of the secrets view, a snapshot (all it declares), or (server, app, secret) triples."""

Names = str | Iterable[str]
"""One secret of an app, or several."""

_SELECT = "Give rows of snap.secrets, or (server, app, secret) triples."


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One secret of one app with every version of it that is declared or observed.

    `shown` is the app as a command takes it: see `Lookup.shown`.
    """

    app: DeclaredApp
    shown: str
    declared: DeclaredSecret
    versions: tuple[SecretRow, ...]

    @property
    def in_force(self) -> SecretRow:
        """The row of the declared version."""
        name = self.declared.swarm_name
        return next(row for row in self.versions if row.swarm_name == name)

    @property
    def origin(self) -> model.StoredObject | None:
        """The version a new one takes after; nothing when there is none."""
        return origin(self.versions)

    def why_no_value(self, *, made_up: bool) -> str:
        """Return why no value is stored for it, or none that is `made_up`; nothing when one is."""
        spec = self.origin.spec if self.origin else model.Spec()
        template = spec.templating.name if spec.templating and made_up else ""
        return not_generated(spec.driver.name if spec.driver else "", template)

    def check_source(self, *, made_up: bool) -> None:
        """Refuse a value for what has its value from a driver, and one `made_up` for a template.

        Nor is any given where nobody can tell of which kind it is, and what shares its version.

        Raises
        ------
        InputError
            It is of that kind, or a file of its recipe was not read whole; says what to do.
        """
        _refuse(self.app.recipe_unread)
        why = self.why_no_value(made_up=made_up)
        if why:
            name = f"{self.app.name} {self.declared.name}"
            is_template = not self.why_no_value(made_up=False)
            words = self.shown, quote(self.declared.name)
            remedy = f"opskit secret insert {' '.join(words)}" if is_template else ""
            raise ObstacleError(f"{name}: {why}.", why=why, remedy=remedy)


class Lookup:
    """Looks things up in one snapshot's facts."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._rows: dict[str, list[SecretRow]] = {}

    @property
    def facts(self) -> Facts:
        """What was read."""
        return self._facts

    @cached_property
    def _called(self) -> Counter[str]:
        declared = self._facts.declared
        return Counter(a.name for one in (*declared.servers, *declared.others) for a in one.apps)

    def shown(self, app: DeclaredApp) -> str:
        """Return an app as a shell takes it: with its server where two have one of that name."""
        return quote(app.name if self._called[app.name] < 2 else f"{app.server}/{app.name}")

    def app(self, name: str) -> DeclaredApp:
        """Find an app by its name, or ``server/app`` where two servers have one of that name.

        Raises
        ------
        InputError
            None or several are called so.
        """
        check_text("app", name, "Name one, as it stands in opskit apps.")
        server, _, short = name.rpartition("/")
        by_server = self._facts.apps_by_server
        # Only that server's, as a bulk change asks once for each of thousands of secrets.
        places = [by_server.get(server, ())] if server else by_server.values()
        found = [app for apps in places for app in apps if app.name == short]
        if not found:
            raise InputError(
                f"there is no app called {name!r}.", remedy="See what there is: opskit apps"
            )
        if len(found) > 1:
            names = ", ".join(f"{app.server}/{app.name}" for app in found)
            raise InputError(f"several apps are called {name!r}.", remedy=f"Say which: {names}")
        return found[0]

    def apps(self, server: str) -> Sequence[DeclaredApp]:
        """Return the apps declared for a server's swarm, through whichever of its servers."""
        by_server = self._facts.apps_by_server
        return [app for name in self._facts.together(server) for app in by_server.get(name, ())]

    def swarm(self, server: str) -> str:
        """Return the first server that leads to the same swarm: what goes on there is one."""
        return self._facts.together(server)[0]

    def named_alike(self, servers: Collection[str]) -> frozenset[str]:
        """Return servers, and those with an app whose stack or secret has the name of one there.

        Whether they lead to one swarm is to be known before any of it is changed.
        """
        by_server = self._facts.apps_by_server
        places: defaultdict[str, set[str]] = defaultdict(set)
        for server, apps in by_server.items():
            for name in (name for app in apps for name in _names(app)):
                places[name].add(server)
        names = (
            name for server in servers for app in by_server.get(server, ()) for name in _names(app)
        )
        return frozenset(servers).union(*(places[name] for name in names))

    def server(self, name: str) -> Observation:
        """Return what a server said.

        Raises
        ------
        InputError
            Its swarm could not be read, so nothing can be planned there.
        """
        seen = self._facts.seen.get(name)
        if seen is None:
            raise InputError(
                f"the snapshot does not have {name}.",
                remedy="Take one that does, or leave snapshot= out: what is needed is read.",
            )
        if not seen.manager or seen.unread:
            why = self._facts.missing().get(name) or "; ".join(seen.unread.values())
            raise InputError(
                f"nothing can be planned on {name}: {why}", remedy="Mend that, then look again."
            )
        return seen

    def rows(self, server: str) -> list[SecretRow]:
        """Return the joined secret versions of one server."""
        if server not in self._rows:
            self._rows[server] = secret_rows(
                self._facts.apps_by_server.get(server, ()),
                self._facts.seen.get(server),
                self._facts.around(server),
            )
        return self._rows[server]

    def target(self, app: DeclaredApp, secret: str) -> Target:
        """Find a declared secret of an app.

        Raises
        ------
        InputError
            The app declares no secret of that name, or its ``.env`` was not read whole.
        """
        check_text("secret", secret, f"Name one that {app.name} declares.")
        check_read(app)
        names = [declared.name for declared in app.secrets]
        if secret not in names:
            raise InputError(
                f"{app.name} declares no secret called {secret!r}.",
                remedy=f"It declares: {', '.join(names) or 'none'}.",
            )
        declared = app.secrets[names.index(secret)]
        versions = tuple(
            row
            for row in self.rows(app.server)
            if row.swarm_name == declared.swarm_name
            or (row.stack == app.stack and row.secret == secret)
        )
        return Target(app=app, shown=self.shown(app), declared=declared, versions=versions)

    def named(self, app: str, secrets: Sequence[str] | None = None) -> list[tuple[str, str, str]]:
        """Return the (server, app, secret) of some or all secrets that an app declares.

        Raises
        ------
        InputError
            There is no such app or secret, or several apps are called so.
        """
        found = self.app(app)
        check_read(found)
        declared = [secret.name for secret in found.secrets]
        names = declared if secrets is None else list(secrets)
        if not declared:
            raise InputError(
                f"{found.name} declares no secrets.",
                remedy=f"See what it is made of: opskit app config {self.shown(found)}",
            )
        if not names:
            raise InputError(
                f"no secret of {found.name} is named.",
                remedy=f"It declares: {', '.join(declared)}.",
            )
        return [(found.server, found.name, self.target(found, name).declared.name)
                for name in names]  # fmt: skip

    def targets(self, selection: Selection) -> list[Target]:
        """Find the secrets of a selection, each once.

        Raises
        ------
        InputError
            The selection is empty, lacks columns, or has rows no app declares.
        """
        return [self.target_of(*triple) for triple in self.triples(selection)]

    def triples(self, selection: Selection) -> list[tuple[str, str, str]]:
        """Return the (server, app, secret) of a selection, each once.

        Raises
        ------
        InputError
            The selection is empty, or lacks columns.
        """
        triples = list(dict.fromkeys(named_in(selection)))
        if not triples:
            raise InputError(
                "the selection is empty.", remedy="Widen it; see: opskit secrets --where …"
            )
        return triples

    def target_of(self, server: str, app: str, secret: str) -> Target:
        """Find the secret of a row.

        Raises
        ------
        InputError
            No app declares it.
        """
        if not app:
            raise InputError(
                f"no app declares the secret {secret!r} on {server}.",
                remedy="Leave orphans out of the selection: state != 'orphan'.",
            )
        return self.target(self.app(f"{server}/{app}"), secret)


def check_read(app: DeclaredApp) -> None:
    """Refuse an app whose ``.env`` was not read whole: what it declares is not known.

    Raises
    ------
    InputError
        Says which line or file, and what to do.
    """
    _refuse(app.unread)


def _refuse(problem: Problem | None) -> None:
    """Refuse what rests on a file that was not read whole."""
    if problem is not None:
        raise InputError(
            f"nothing is planned by it, as {problem.what}",
            path=Path(problem.path),
            line=problem.line,
            remedy=problem.remedy,
        )


def _names(app: DeclaredApp) -> set[str]:
    return {f"{app.stack}_", *(secret.swarm_name for secret in app.secrets)}


def may_be_orphan(rows: pd.DataFrame) -> Any:
    """Return which rows of a secrets view no app declares, as far as is known."""
    state, declared = cast("Any", rows["state"]), cast("Any", rows["declared"])
    undecided = (state == "unknown") & ~declared.astype(bool)
    return ((state == "orphan") | undecided).fillna(value=False).astype(bool)


def orphans_in(
    selection: Selection,
) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    """Return the (server, swarm name) of orphans among a view's rows, and what the others name.

    What may be one, and nobody knows, counts as one here: a plan says of it why it stays.
    """
    columns = {"server", "swarm_name", "state", "declared"}
    if not isinstance(selection, pd.DataFrame) or not columns <= set(selection.columns):
        return [], named_in(selection)
    is_orphan = may_be_orphan(selection)
    orphans = cast("Any", selection[is_orphan][["server", "swarm_name"]])
    found = [(str(server), str(name)) for server, name in orphans.itertuples(index=False)]
    return found, named_in(cast("pd.DataFrame", selection[~is_orphan]))


def _triples(selection: object) -> list[tuple[str, str, str]]:
    # A column and a dictionary would be taken for what they hold.
    if isinstance(selection, str | bytes | Mapping | pd.Series) or not isinstance(
        selection, Iterable
    ):
        raise InputError(f"the selection is {given(cast('object', selection))}.", remedy=_SELECT)
    found: list[tuple[str, str, str]] = []
    for row in cast("Iterable[object]", selection):
        match row:
            # What no app declares has none.
            case (str(server), str(app), str(secret)) if server and secret:
                found.append((server, app, secret))
            case _:
                raise InputError(
                    f"the selection holds {given(row)} that is no (server, app, secret).",
                    remedy=_SELECT,
                )
    return found


def named_in(selection: Selection) -> list[tuple[str, str, str]]:
    """Return the (server, app, secret) a selection names; one row for each version of it.

    Raises
    ------
    InputError
        It lacks columns.
    """
    if isinstance(selection, Views):
        # What no app declares could not be planned for.
        selection = selection.secrets.keep(selection.secrets["declared"])
    if not isinstance(selection, pd.DataFrame):
        return _triples(selection)
    lacking = {"server", "app", "secret"} - set(selection.columns)
    if lacking:
        raise InputError(
            f"the selection lacks the columns {', '.join(sorted(lacking))}.",
            remedy="Select rows of snap.secrets, such as snap.secrets.select(…), all columns kept.",
        )
    part = cast("Any", selection[["server", "app", "secret"]].fillna(""))
    rows = part.itertuples(index=False, name=None)
    return [(str(server), str(app), str(secret)) for server, app, secret in rows]


SAY_APP = 'Name an app and its secrets, such as "wiki.coop.example", ["api_token"].'


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An app with the names of some of its secrets, or else a table; and how it is to be done."""

    app: str = ""
    secrets: tuple[str, ...] | None = None
    table: Selection = ()
    options: Options | None = None

    @classmethod
    def of(
        cls,
        selection: Selection | str,
        secrets: Names | Options | None,
        options: Options | None,
        *,
        name_them: bool = False,
    ) -> Request:
        """Read an app or a table; `name_them` refuses an app of which no secret is named.

        Raises
        ------
        InputError
            It is neither, or the secrets are no names.
        """
        if isinstance(secrets, Options):
            if options is not None:
                raise InputError("the options are given twice.", remedy="Give them once.")
            secrets, options = None, secrets
        if not isinstance(selection, str):
            if secrets is not None:
                raise InputError(
                    "secrets are named beside a selection that holds them already.",
                    remedy=SAY_APP,
                )
            # A generator would be empty when it is looked at again.
            table = selection if isinstance(selection, DataFrame | Views) else named_in(selection)
            return cls(table=table, options=options)
        check_text("app", selection, SAY_APP)
        if secrets is None and name_them:
            raise InputError(f"no secret of {selection} is named.", remedy=SAY_APP)
        if isinstance(secrets, str):
            check_text("secret", secrets, "Name one that the app declares.")
            secrets = [secrets]
        if secrets is not None:
            secrets = names_in("secrets", secrets)
        return cls(app=selection, secrets=secrets, options=options)

    def rows(self, lookup: Lookup) -> Selection:
        """Return the selection, looking the app up."""
        return lookup.named(self.app, self.secrets) if self.app else self.table

    def servers(self, lookup: Lookup) -> frozenset[str]:
        """Return the servers that have what is selected."""
        return frozenset(server for server, *_ in named_in(self.rows(lookup)))

    def has_orphans(self) -> bool:
        """Return whether the table holds rows of no app."""
        return bool(orphans_in(self.table)[0])
