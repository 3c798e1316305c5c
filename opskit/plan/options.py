"""How a change is made: the choices an operator has, with careful defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from opskit.arguments import check_choice, check_flag, check_kind, check_number, check_text
from opskit.errors import InputError
from opskit.kinds.hooks import parse_hook
from opskit.kinds.modes import MODES, DeployMode
from opskit.secrets.generate import Policy
from opskit.secrets.passstore import entry_path
from opskit.settings import read_settings
from opskit.steps import Probe


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
        Seconds for the services to converge, and to stay converged before the change counts. What
        the recipe's label or the services' own updates need, if that is more, they have anyway.
    probe
        Asked from here after convergence.
    commit
        Commit the ``.env`` when its folder is a git checkout.
    use_pass, pass_template
        Keep the password store in step; where an entry lives (``{server} {app} {secret}``).
    policy
        How values are made, before what the recipe says; what it leaves open, the recipe's marks
        for length and characters decide.
    generate_anyway
        Make up values also where the recipe says ``generate=false``: that they come from elsewhere.
    hook, hooks
        How a database is told its new password: ``KIND[:SERVICE] [user=NAME]`` with a kind such
        as ``postgres``, or ``command:SERVICE PROGRAM``; for this change, and by recipe or
        ``recipe/secret``.
    no_hook
        Rotate database passwords too, though the database keeps its old one inside: right only
        when the image sets the password at every start, or you change it yourself.
    keep_failed
        Keep the new version, labelled as failed, when its rotation is undone; by default it is
        removed.

    Raises
    ------
    InputError
        One of them is not what it must be; says which, and what it may be.
    """

    deploy: DeployMode = field(default_factory=lambda: read_settings().deploy)
    timeout: float = 300.0
    stable: float = 5.0
    probe: Probe | None = None
    commit: bool = False
    use_pass: bool = False
    pass_template: str = field(default_factory=lambda: read_settings().pass_template)
    policy: Policy | None = None
    generate_anyway: bool = False
    hook: str = ""
    hooks: Mapping[str, str] = field(default_factory=lambda: read_settings().hooks)
    no_hook: bool = False
    keep_failed: bool = False
    root: Path = Path()

    def __post_init__(self) -> None:
        check_choice("deploy", self.deploy, tuple(MODES))
        check_number("timeout", self.timeout, above=0)
        check_number("stable", self.stable)
        if self.probe is not None:
            check_kind("probe", self.probe, Probe, "Give an opskit.Probe(kind=…, target=…).")
        if self.policy is not None:
            check_kind("policy", self.policy, Policy, "Give an opskit.Policy(generator=…).")
        for flag in ("generate_anyway", "commit", "use_pass", "no_hook", "keep_failed"):
            check_flag(flag, getattr(self, flag))
        self._check_template()
        self._check_hooks()
        check_kind("root", self.root, Path, "Leave it out: the fleet knows its folder.")

    def _check_template(self) -> None:
        remedy = "It may use {server}, and must use {app} and {secret}."
        check_text("pass_template", self.pass_template, remedy)
        entry_path(self.pass_template, server="server", app="app", secret="secret")  # noqa: S106
        for part in ("{app}", "{secret}"):
            if part not in self.pass_template:
                raise InputError(
                    f"the pass path template {self.pass_template!r} lacks {part}, so one secret "
                    "would be written over another.",
                    remedy=remedy,
                )

    def _check_hooks(self) -> None:
        check_text("hook", self.hook, 'Give a text, such as "postgres:db".', empty=True)
        if self.hook:
            parse_hook(self.hook)
        remedy = 'Give a dict, such as {"wordpress": "mariadb"}.'
        check_kind("hooks", self.hooks, Mapping, remedy)
        for recipe, hook in self.hooks.items():
            check_text("a recipe in hooks", recipe, remedy)
            check_text(f"the hook of {recipe}", hook, remedy)
            parse_hook(hook)
