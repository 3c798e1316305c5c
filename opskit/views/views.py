"""Every view of one look at the fleet, each built when first asked for.

What builds them is imported then, too: pandas takes longer than a server takes to answer.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from opskit.arguments import check_kind
from opskit.facts import Facts

if TYPE_CHECKING:
    from opskit.views.derive import Derived, Table
    from opskit.views.frame import View


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

    def _shown(self, name: str, table: Table) -> View:
        from opskit.views.derive import derive

        made = derive(table, self.facts.parts, self._derived.get(name))
        self._derived[name] = made
        return made.copy().described(table.about(self.facts, made.frame))

    @property
    def looked_in_pass(self) -> bool:
        """Whether it was looked up what the password store has."""
        return self._in_pass is not None

    @cached_property
    def servers(self) -> View:
        """One row per server: `opskit.views.apps.ServersRow`."""
        from opskit.views.apps import SERVERS

        return self._shown("servers", SERVERS)

    @cached_property
    def apps(self) -> View:
        """One row per app: `opskit.views.apps.AppsRow`."""
        from opskit.views.apps import APPS

        return self._shown("apps", APPS)

    @cached_property
    def secrets(self) -> View:
        """One row per version of a secret: `opskit.views.secrets.SecretsRow`."""
        from opskit.views.secrets import SECRETS, completed

        view = self._shown("secrets", SECRETS)
        return completed(view, self.facts.taken_at, self._in_pass)

    @cached_property
    def services(self) -> View:
        """One row per service: `opskit.views.services.ServicesRow`."""
        from opskit.views.services import SERVICES

        return self._shown("services", SERVICES)

    @cached_property
    def tasks(self) -> View:
        """One row per task, past ones included: `opskit.views.services.TasksRow`."""
        from opskit.views.services import TASKS

        return self._shown("tasks", TASKS)

    @cached_property
    def nodes(self) -> View:
        """One row per node: `opskit.views.swarm.NodesRow`."""
        from opskit.views.swarm import NODES

        return self._shown("nodes", NODES)

    @cached_property
    def configs(self) -> View:
        """One row per version of a config: `opskit.views.swarm.ConfigsRow`."""
        from opskit.views.swarm import CONFIGS

        return self._shown("configs", CONFIGS)

    @cached_property
    def networks(self) -> View:
        """One row per network: `opskit.views.swarm.NetworksRow`."""
        from opskit.views.swarm import NETWORKS

        return self._shown("networks", NETWORKS)

    @cached_property
    def volumes(self) -> View:
        """One row per volume behind each context: `opskit.views.swarm.VolumesRow`."""
        from opskit.views.swarm import VOLUMES

        return self._shown("volumes", VOLUMES)
