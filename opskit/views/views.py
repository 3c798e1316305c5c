"""Every view of one look at the fleet, each built when first asked for.

What builds them is imported then, too: pandas takes longer than a server takes to answer.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from opskit.arguments import check_kind
from opskit.facts.facts import Facts

if TYPE_CHECKING:
    from opskit.views.derive import Derived
    from opskit.views.frame import View
    from opskit.views.table import Listing, Table

_MODULES = {
    "servers": "apps",
    "apps": "apps",
    "secrets": "secrets",
    "services": "services",
    "tasks": "services",
    "nodes": "swarm",
    "configs": "swarm",
    "networks": "swarm",
    "volumes": "swarm",
}
"""The module of each view."""


def _table(name: str) -> Table:
    return getattr(import_module(f"opskit.views.{_MODULES[name]}"), name.upper())


class Views:
    """The views over some facts; ``help`` of a view's row lists its columns.

    Each is made once, for all who hold these: whoever changes one in place changes it for them,
    the audit among them, and for no later snapshot. Change a copy instead.

    Parameters
    ----------
    facts
        What was declared and observed.
    in_pass
        Keys ``server/app/secret`` found in the password store; ``None`` when not looked up.
    before_in_pass
        Those of which the store keeps the value before, too.
    since
        Views over earlier facts: their rows about servers of which nothing changed are taken
        over, and need not be made again.
    """

    def __init__(
        self,
        facts: Facts,
        in_pass: frozenset[str] | None = None,
        before_in_pass: frozenset[str] = frozenset(),
        *,
        since: Views | None = None,
    ) -> None:
        check_kind("facts", facts, Facts, "Give what fleet.snapshot() or Snapshot.load() reads.")
        self.facts, self._in_pass, self.before_in_pass = facts, in_pass, before_in_pass
        # Shared by all that came of one another: whichever was asked for a view last, what it made
        # can be taken over by whichever is asked next.
        self._derived: dict[str, Derived] = since._derived if since else {}

    def listing(self, name: str) -> Listing:
        """Return the rows of a view as they are made, without loading pandas.

        Parameters
        ----------
        name
            The view's, such as ``secrets``.

        Examples
        --------
        >>> snap = fleet.snapshot()
        >>> len(snap.listing("secrets").rows) == len(snap.secrets)
        True
        """
        from opskit.views.table import Listing

        return Listing.of(_table(name), self.facts, self._in_pass)

    def _shown(self, name: str) -> View:
        from opskit.views.derive import derive

        table = _table(name)
        made = derive(table, self.facts.parts, self._derived.get(name))
        self._derived[name] = made
        return made.copy().described(table.about(self.facts, made.says))

    @property
    def looked_in_pass(self) -> bool:
        """Whether it was looked up what the password store has."""
        return self._in_pass is not None

    @cached_property
    def servers(self) -> View:
        """One row per server: `opskit.views.apps.ServersRow`."""
        return self._shown("servers")

    @cached_property
    def apps(self) -> View:
        """One row per app: `opskit.views.apps.AppsRow`."""
        return self._shown("apps")

    @cached_property
    def secrets(self) -> View:
        """One row per version of a secret: `opskit.views.secrets.SecretsRow`."""
        from opskit.views.secrets import completed

        view = self._shown("secrets")
        return completed(view, self.facts.taken_at, self._in_pass)

    @cached_property
    def services(self) -> View:
        """One row per service: `opskit.views.services.ServicesRow`."""
        return self._shown("services")

    @cached_property
    def tasks(self) -> View:
        """One row per task, past ones included: `opskit.views.services.TasksRow`."""
        return self._shown("tasks")

    @cached_property
    def nodes(self) -> View:
        """One row per node: `opskit.views.swarm.NodesRow`."""
        return self._shown("nodes")

    @cached_property
    def configs(self) -> View:
        """One row per version of a config: `opskit.views.swarm.ConfigsRow`."""
        return self._shown("configs")

    @cached_property
    def networks(self) -> View:
        """One row per network: `opskit.views.swarm.NetworksRow`."""
        return self._shown("networks")

    @cached_property
    def volumes(self) -> View:
        """One row per volume behind each context: `opskit.views.swarm.VolumesRow`."""
        return self._shown("volumes")
