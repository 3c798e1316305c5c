"""The deploy modes: one entry each, which feeds settings, the command line, forms and plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DeployMode = Literal["services", "stack", "abra", "none"]
StackMode = Literal["stack", "abra"]
"""The modes that deploy a whole stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How services get a new version.

    Parameters
    ----------
    label
        How forms call it.
    whole
        How the stack is deployed where all of it must be.
    deploys
        Whether a new version, too, comes by deploying the whole stack.
    switches
        Whether exactly the services that use the old version are updated.
    """

    label: str
    whole: StackMode
    deploys: bool = False
    switches: bool = False

    @property
    def acts(self) -> bool:
        """Whether services get a new version at all."""
        return self.deploys or self.switches


MODES: Mapping[DeployMode, Mode] = {
    "services": Mode(label="update what uses it", whole="stack", switches=True),
    "stack": Mode(label="docker stack deploy", whole="stack", deploys=True),
    "abra": Mode(label="abra app deploy", whole="abra", deploys=True),
    "none": Mode(label="leave it to me", whole="stack"),
}

WHOLE: Mapping[str, str] = {name: mode.label for name, mode in MODES.items() if mode.deploys}
"""What deploys a whole stack, with the label of each."""

PROGRAMS: Mapping[StackMode, str] = {"stack": "docker", "abra": "abra"}
"""What must be installed."""
