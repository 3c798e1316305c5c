"""How a change is made: the choices an operator has, with careful defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from opskit.operations.steps import Probe
from opskit.secrets.generate import Policy
from opskit.settings import read_settings

DeployMode = Literal["services", "stack", "abra", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices for a plan.

    `deploy`, `pass_template` and `hooks` are by default what the operator's settings say.

    Parameters
    ----------
    deploy
        ``services`` updates exactly the services that use the secret, ``stack`` runs
        ``docker stack deploy``, ``abra`` runs ``abra app deploy``, ``none`` leaves it to you.
    timeout, stable
        Seconds for the services to converge, and to stay converged before the change counts.
    probe
        Asked from here after convergence.
    commit
        Commit the ``.env`` when its folder is a git checkout.
    use_pass, pass_template
        Keep the password store in step; where an entry lives (``{server} {app} {secret}``).
    policy
        Overrides what the recipe says about length and characters.
    hook, hooks
        How a database is told its new password: ``KIND[:SERVICE] [user=NAME]`` with the kinds
        ``postgres``, ``mariadb`` and ``redis``, or ``command:SERVICE PROGRAM``; for this change,
        and by recipe or ``recipe/secret``.
    no_hook
        Rotate database passwords too, though the database keeps its old one inside: right only
        when the image sets the password at every start, or you change it yourself.
    keep_failed
        Keep the new version, labelled as failed, when its rotation is undone; by default it is
        removed.
    """

    deploy: DeployMode = field(default_factory=lambda: read_settings().deploy)
    timeout: float = 300.0
    stable: float = 5.0
    probe: Probe | None = None
    commit: bool = False
    use_pass: bool = False
    pass_template: str = field(default_factory=lambda: read_settings().pass_template)
    policy: Policy | None = None
    hook: str = ""
    hooks: Mapping[str, str] = field(default_factory=lambda: read_settings().hooks)
    no_hook: bool = False
    keep_failed: bool = False
    root: Path = Path()
