"""Every view of one look at the fleet, each built when first asked for."""

from __future__ import annotations

from functools import cached_property

from opskit.arguments import check_kind
from opskit.facts import Facts
from opskit.views.apps import apps_view, servers_view
from opskit.views.frame import View
from opskit.views.secrets import secrets_view
from opskit.views.swarm import (
    configs_view,
    networks_view,
    nodes_view,
    services_view,
    tasks_view,
    volumes_view,
)


class Views:
    """The views over some facts.

    Parameters
    ----------
    facts
        What was declared and observed.
    in_pass
        Keys ``server/app/secret`` found in the password store; ``None`` when not looked up.
    """

    def __init__(self, facts: Facts, in_pass: frozenset[str] | None = None) -> None:
        check_kind("facts", facts, Facts, "Give what fleet.snapshot() or Snapshot.load() reads.")
        self.facts, self._in_pass = facts, in_pass

    @cached_property
    def servers(self) -> View:
        """One row per server (see `opskit.views.apps.servers_view`)."""
        return servers_view(self.facts)

    @cached_property
    def apps(self) -> View:
        """One row per app (see `opskit.views.apps.apps_view`)."""
        return apps_view(self.facts)

    @cached_property
    def secrets(self) -> View:
        """One row per version of a secret (see `opskit.views.secrets.secrets_view`)."""
        return secrets_view(self.facts, self._in_pass)

    @cached_property
    def services(self) -> View:
        """One row per service."""
        return services_view(self.facts)

    @cached_property
    def tasks(self) -> View:
        """One row per task, past ones included."""
        return tasks_view(self.facts)

    @cached_property
    def nodes(self) -> View:
        """One row per node."""
        return nodes_view(self.facts)

    @cached_property
    def configs(self) -> View:
        """One row per config version."""
        return configs_view(self.facts)

    @cached_property
    def networks(self) -> View:
        """One row per network."""
        return networks_view(self.facts)

    @cached_property
    def volumes(self) -> View:
        """One row per volume on the node behind each context."""
        return volumes_view(self.facts)
