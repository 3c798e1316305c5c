"""What operators do with whole apps: list, make, configure, deploy, restart, take down."""

from __future__ import annotations

import html
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from opskit.abra.files import read_bytes
from opskit.abra.newapp import fetch_recipe
from opskit.apps.oneapp import OneApp
from opskit.arguments import check_flag, check_kind, check_text, given, names_in
from opskit.errors import InputError, OpskitError
from opskit.facts.facts import Facts
from opskit.plan.assemble import Assembler
from opskit.plan.config import plan_config, plan_new, problems_of
from opskit.plan.data import PlanData
from opskit.plan.deploy import StackPlanner
from opskit.plan.options import Options
from opskit.plan.selection import Lookup
from opskit.run.run import Plan
from opskit.secrets.value import Secret
from opskit.settings import read_settings
from opskit.snapshot import Snapshot
from opskit.steps.newenv import old_text
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About

STATUS = ("server", "recipe", "app", "recipe_version", "deployed", "running", "desired",
          "deployed_version", "chaos", "chaos_version", "upgrades")  # fmt: skip


class ListedRow(Row, frozen=True, kw_only=True):
    """A row of the list of apps: one ``.env`` file."""

    server: Annotated[str, Column("The server, as abra names it.")]
    recipe: Annotated[str, Column("What TYPE says, without a version.")]
    app: Annotated[str, Column("The app's name: that of its .env file.")]
    recipe_version: Annotated[str | None, Column("The release that TYPE pins.")]


_RECIPE = "Name one, such as wordpress."
_CONTENT = "Give the whole new text as bytes."


class Apps(OneApp):
    """The part of a `Fleet` that is about whole apps."""

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        bundle = {"text/plain": repr(self)}
        # A folder that is gone by now is no reason to show an error for the object.
        with suppress(OpskitError):
            head = f"<p>{html.escape(repr(self))}</p>"
            bundle["text/html"] = head + self.apps().as_html()
        return bundle

    def apps(self, *, status: bool = False) -> View:
        """Return the apps; with `status` what runs of each and which later releases there are.

        Without it no server is asked.
        """
        check_flag("status", status)
        if status:
            return self.snapshot().apps.pick(STATUS)
        rows = [
            ListedRow(
                server=app.server,
                recipe=app.recipe,
                app=app.name,
                recipe_version=app.recipe_version or None,
            )
            for server in self.declared().servers
            for app in server.apps
        ]
        return View.from_rows(ListedRow, rows, About(noun="apps"))

    def fetch_recipe(self, recipe: str) -> bool:
        """Clone a recipe that is not on disk; false when it is there and nothing was done."""
        check_text("recipe", recipe, _RECIPE)
        return fetch_recipe(self.root, recipe, read_settings().recipe_url)

    def plan_new(
        self, recipe: str, *, server: str, domain: str, version: str | None = None
    ) -> Plan:
        """Plan a new app: its ``.env`` from the recipe's sample, secrets not included.

        Parameters
        ----------
        recipe
            A recipe on disk; see `fetch_recipe`.
        server, domain
            Where, and under which name.
        version
            A release to pin, by default the latest; when empty none is pinned.

        Raises
        ------
        InputError
            The app exists, or server, domain, recipe or version will not do.

        Examples
        --------
        >>> plan = fleet.plan_new("hedgedoc", server="garden.example", domain="pads.garden.example")
        >>> plan.changes["note"].tolist()
        ['a new app of the recipe hedgedoc']
        """
        check_text("recipe", recipe, _RECIPE)
        check_text("server", server, "Name a folder below servers/.")
        check_text("domain", domain, "Give a domain, such as wiki.coop.example.")
        if version is not None:
            check_text("version", version, "Name one, such as 1.2.0+2.1.", empty=True)
        data = plan_new(
            self.declared(), self.root, server=server, domain=domain, recipe=recipe, version=version
        )
        return Plan(data=data, root=self.root)

    def check_config(self, app: str, content: bytes) -> list[InputError]:
        """Return what an edited ``.env`` would have wrong that the app's has not now."""
        check_kind("content", content, bytes, _CONTENT)
        found = self.app(app)
        return [
            InputError(one.what, path=Path(one.path), line=one.line, remedy=one.remedy)
            for one in problems_of(self.root, found, content)
        ]

    def plan_config(self, app: str, content: bytes, *, commit: bool = False) -> Plan:
        """Plan to write an edited ``.env``; its changes are what a redeploy would change.

        Parameters
        ----------
        app
            The app's name, or ``server/app``.
        content
            The whole new text.
        commit
            Commit the file when its folder is a git checkout.

        Raises
        ------
        InputError
            The text has a fault the file has not now, or is the same.

        Examples
        --------
        >>> from pathlib import Path
        >>> path = Path(fleet.app("notes.coop.example").env_file)
        >>> plan = fleet.plan_config("notes.coop.example", path.read_bytes() + b"OIDC_URL=id.coop")
        >>> plan.changes["note"].tolist()
        ['variables: OIDC_URL']
        """
        check_kind("content", content, bytes, _CONTENT)
        check_flag("commit", commit)
        found = self.app(app)
        data = plan_config(self.root, found, content, commit=commit)
        texts = {
            found.env_file: content,
            old_text(found.env_file): read_bytes(Path(found.env_file)),
        }
        # Not part of the data: either may hold what nobody else should read.
        values = {
            (found.server, found.stack, key): Secret(text)
            for key, text in texts.items()
            if text.strip()
        }
        return Plan(data=data, values=values, root=self.root)

    def plan_deploy(
        self,
        app: str,
        options: Options | None = None,
        *,
        version: str = "",
        snapshot: Snapshot | None = None,
    ) -> Plan:
        """Plan to deploy an app as its files declare it, with ``docker stack deploy`` or abra.

        With `version` that one is pinned in the ``.env`` first, and the old one again if the
        deploy fails.

        Examples
        --------
        >>> fleet.plan_deploy("cloud.mutual.example", version="5.0.1+29.0.7-fpm")
        <Plan to deploy: ...>
        """
        check_text("version", version, "Name one, such as 1.2.0+2.1.", empty=True)
        return self._plan_app(
            app, options, snapshot, lambda over: StackPlanner(over).deploy(app, version)
        )

    def plan_upgrade(
        self, app: str, options: Options | None = None, *, snapshot: Snapshot | None = None
    ) -> Plan:
        """Plan to pin and deploy the latest release of an app's recipe that is known here.

        Examples
        --------
        >>> fleet.plan_upgrade("cloud.mutual.example").changes[["from", "to"]].to_numpy().tolist()
        [['4.2.0+28.0.9-fpm', '5.0.1+29.0.7-fpm']]
        """
        return self._plan_app(app, options, snapshot, lambda over: StackPlanner(over).upgrade(app))

    def plan_undeploy(
        self, app: str, options: Options | None = None, *, snapshot: Snapshot | None = None
    ) -> Plan:
        """Plan to take an app down; its volumes and secrets stay.

        Examples
        --------
        >>> fleet.plan_undeploy("notes.coop.example")
        <Plan to undeploy: 1 change of 1 stack on 1 server, ...>
        """
        return self._plan_app(app, options, snapshot, lambda over: StackPlanner(over).undeploy(app))

    def plan_restart(
        self,
        app: str,
        services: list[str] | None = None,
        options: Options | None = None,
        *,
        snapshot: Snapshot | None = None,
    ) -> Plan:
        """Plan new tasks for all or some services of an app, with the specs they have.

        Examples
        --------
        >>> plan = fleet.plan_restart("notes.coop.example", ["app"])
        >>> plan.changes["restarts"].tolist()
        [['app']]
        """
        if services is not None:
            names_in("services", services)
        return self._plan_app(
            app, options, snapshot, lambda over: StackPlanner(over).restart(app, services)
        )

    def _plan_app(
        self,
        app: str,
        options: Options | None,
        snapshot: Snapshot | None,
        make: Callable[[Assembler], PlanData],
    ) -> Plan:
        """Plan over the one server that an app is on."""
        return self._plan(options, snapshot, make, lambda lookup: {lookup.app(app).server})

    def _plan(
        self,
        options: Options | None,
        snapshot: Snapshot | None,
        make: Callable[[Assembler], PlanData],
        where: Callable[[Lookup], Collection[str]] | None,
    ) -> Plan:
        """Plan over a snapshot, or else over a look at the servers that `where` names, or all."""
        if options is not None:
            check_kind("options", options, Options, "Give opskit.Options(…).")
        chosen = replace(options or Options(), root=self.root)
        if snapshot is not None:
            facts = self._facts_of(snapshot)
            # Files are read again, too, and may by then concern another server.
            while lacking := facts.bare.intersection(_concerned(facts, where)):
                snapshot = self.refresh(snapshot, lacking)
                facts = snapshot.facts
        else:
            facts = self._look(where and (lambda declared: _to_read(Lookup(declared), where)))
        return Plan(data=make(Assembler(Lookup(facts), chosen)), root=self.root)

    def _facts_of(self, snapshot: object) -> Facts:
        take = "Give what fleet.snapshot() gave, or leave it out to read what is needed."
        if not isinstance(snapshot, Snapshot):
            raise InputError(f"snapshot is {given(snapshot)}.", remedy=take)
        if snapshot.facts.saved:
            raise InputError(
                "the snapshot was read from a file, and a plan needs one that was taken now.",
                remedy=take,
            )
        if Path(snapshot.facts.declared.root).resolve() != self.root.resolve():
            raise InputError(
                f"the snapshot is of another fleet, {snapshot.facts.declared.root}.", remedy=take
            )
        return snapshot.facts


def _concerned(facts: Facts, where: Callable[[Lookup], Collection[str]] | None) -> Collection[str]:
    return facts.seen.keys() if where is None else _to_read(Lookup(facts), where)


def _to_read(lookup: Lookup, where: Callable[[Lookup], Collection[str]]) -> frozenset[str]:
    """Return the servers that are concerned, and those that may lead to the same swarm."""
    return lookup.named_alike(where(lookup))
