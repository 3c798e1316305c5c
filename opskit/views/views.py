"""Every view of one look at the fleet, each built when first asked for.

What builds them is imported then, too: pandas takes longer than a server takes to answer.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from opskit.arguments import check_kind
from opskit.facts import Facts

if TYPE_CHECKING:
    from opskit.views.frame import View


class Views:
    """The views over some facts; ``help`` of a view's row lists its columns.

    Parameters
    ----------
    facts
        What was declared and observed.
    in_pass
        Keys ``server/app/secret`` found in the password store; ``None`` when not looked up.
    before_in_pass
        Those of which the store keeps the value before, too.
    """

    def __init__(
        self,
        facts: Facts,
        in_pass: frozenset[str] | None = None,
        before_in_pass: frozenset[str] = frozenset(),
    ) -> None:
        check_kind("facts", facts, Facts, "Give what fleet.snapshot() or Snapshot.load() reads.")
        self.facts, self._in_pass, self.before_in_pass = facts, in_pass, before_in_pass

    @property
    def looked_in_pass(self) -> bool:
        """Whether it was looked up what the password store has."""
        return self._in_pass is not None

    @cached_property
    def servers(self) -> View:
        """One row per server: `opskit.views.apps.ServersRow`."""
        from opskit.views.apps import servers_view

        return servers_view(self.facts)

    @cached_property
    def apps(self) -> View:
        """One row per app: `opskit.views.apps.AppsRow`."""
        from opskit.views.apps import apps_view

        return apps_view(self.facts)

    @cached_property
    def secrets(self) -> View:
        """One row per version of a secret: `opskit.views.secrets.SecretsRow`."""
        from opskit.views.secrets import secrets_view

        return secrets_view(self.facts, self._in_pass)

    @cached_property
    def services(self) -> View:
        """One row per service: `opskit.views.services.ServicesRow`."""
        from opskit.views.services import services_view

        return services_view(self.facts)

    @cached_property
    def tasks(self) -> View:
        """One row per task, past ones included: `opskit.views.services.TasksRow`."""
        from opskit.views.services import tasks_view

        return tasks_view(self.facts)

    @cached_property
    def nodes(self) -> View:
        """One row per node: `opskit.views.swarm.NodesRow`."""
        from opskit.views.swarm import nodes_view

        return nodes_view(self.facts)

    @cached_property
    def configs(self) -> View:
        """One row per version of a config: `opskit.views.swarm.ConfigsRow`."""
        from opskit.views.swarm import configs_view

        return configs_view(self.facts)

    @cached_property
    def networks(self) -> View:
        """One row per network: `opskit.views.swarm.NetworksRow`."""
        from opskit.views.swarm import networks_view

        return networks_view(self.facts)

    @cached_property
    def volumes(self) -> View:
        """One row per volume behind each context: `opskit.views.swarm.VolumesRow`."""
        from opskit.views.swarm import volumes_view

        return volumes_view(self.facts)
