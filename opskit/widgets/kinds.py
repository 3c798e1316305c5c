"""The kinds of forms: one entry each, which feeds the kernel, the browser and what stands in words.

A kind is added by an entry of `FORMS` and a function of its name in `opskit.forms`; the browser
draws whatever the entry says.
"""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opskit.errors import InputError
from opskit.fleet import Fleet
from opskit.hooks import NO_HOOK
from opskit.hooks import OFFERED as HOOKS
from opskit.join import not_generated
from opskit.modes import MODES, WHOLE
from opskit.plan.options import Options
from opskit.run.run import Plan
from opskit.secrets.generators import CHARSETS
from opskit.secrets.generators import OFFERED as GENERATORS
from opskit.secrets.value import Secret
from opskit.snapshot import Snapshot

Chooser = Literal["table", "secrets", "secret", "app", "nothing"]
"""What somebody chooses: rows of all secrets, secrets or one secret of an app, an app, nothing."""

Choices = list[tuple[str, str]]
_AS_IN_RECIPE = ("", "as in the recipe")
_AS_SET = ("", "as the settings say")

FIELDS: Mapping[str, Choices] = {
    "length": [],
    "charset": [_AS_IN_RECIPE, *((name, label) for name, (_, label) in CHARSETS.items())],
    "generator": [_AS_IN_RECIPE, *GENERATORS.items()],
    "keep": [],
    "use_pass": [],
    "hook": [(name, name) for name in (*HOOKS, NO_HOOK)],
    "deploy": [_AS_SET, *((name, mode.label) for name, mode in MODES.items())],
    "deploy_with": [_AS_SET, *WHOLE.items()],
    "value": [],
}
"""The fields a form may have, with the choices of those that have some."""

_MAKES = ("length", "charset", "generator")
_SWITCHES = ("hook", "deploy")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretState:
    """What a form knows of a declared secret when it tells whether it can do something with it.

    `side_door` says why a new value would lock the app out of its database, if it would, `apart`
    why it can have no other version, and `shared` why not alone.
    """

    state: str | None
    exists: bool
    used: bool
    generate: bool
    superseded: int
    driver: str | None
    templating: str | None
    side_door: str = ""
    apart: str = ""
    shared: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody chose in a form.

    Parameters
    ----------
    fleet
        Where the plan comes from.
    rows
        (server, app, secret) triples; the secret is empty where a whole app is meant.
    options
        How the change is to be made.
    value
        What was given, for a form with that field.
    keep
        Superseded versions to leave; by default what the settings say.
    snapshot
        What the form was filled from; else what is needed is read now.
    skip
        Whether to leave out what cannot be changed.
    """

    fleet: Fleet
    rows: list[tuple[str, str, str]]
    options: Options
    value: Secret | None = None
    keep: int | None = None
    snapshot: Snapshot | None = None
    skip: bool = False

    @property
    def app(self) -> str:
        """The one app that is meant, with its server."""
        server, app, _ = self.rows[0]
        return f"{server}/{app}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormKind:
    """What forms of a kind show, and the plan they come to.

    Parameters
    ----------
    title, verb
        What stands above the form, and on its button.
    chooses, fields
        What there is to choose, and the fields below it, of `FIELDS`.
    command, call
        What does the same in a terminal and in Python.
    plan
        Makes the plan.
    nothing
        What is said when there is nothing to choose from.
    wanted
        Where an app that was asked for is not, as the end of a sentence.
    obstacle
        Says why nothing can be done with a secret, or nothing.
    suits
        Whether something can be done with an app, given its row of the apps view.
    preselects
        Whether what can be done and may be generated is selected at the start.
    """

    title: str
    plan: Callable[[Wanted], Plan]
    chooses: Chooser
    verb: str = ""
    fields: tuple[str, ...] = ()
    command: str = ""
    call: str = ""
    nothing: str = "No app has secrets."
    wanted: str = "here"
    obstacle: Callable[[SecretState], str] = lambda _secret: ""
    suits: Callable[[Any], bool] = lambda _row: True
    preselects: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what a browser needs to draw such a form."""
        return {
            "verb": self.verb,
            "chooses": self.chooses,
            "fields": {name: FIELDS[name] for name in self.fields},
            "nothing": self.nothing,
            "wanted": self.wanted,
            "no_hook": NO_HOOK,
        }


def later_releases(row: Any) -> list[str]:
    """Return the known releases later than what runs; none where nobody can tell."""
    return list(row.upgrades) if isinstance(row.upgrades, list | tuple) else []


def _not_absent(secret: SecretState) -> str:
    if secret.state not in ("missing", "undeployed") or secret.exists:
        return "It exists: rotate it instead."
    return _not_made_up(secret) or secret.side_door


def _not_renewable(secret: SecretState) -> str:
    if obstacle := _not_renewed(secret):
        return obstacle
    return "It is not in the swarm: generate it instead." if secret.state == "missing" else ""


def _not_renewed(secret: SecretState) -> str:
    return _not_made_up(secret) or secret.apart


def _not_made_up(secret: SecretState) -> str:
    """Return why no value is made up: it is a driver's, a template's, or comes from elsewhere."""
    if why := not_generated(secret.driver, secret.templating):
        return f"{why[0].upper()}{why[1:]}."
    return "" if secret.generate else "The recipe says that it is not generated: insert it."


def _not_insertable(secret: SecretState) -> str:
    why = not_generated(secret.driver, None)
    if why:
        return f"{why[0].upper()}{why[1:]}."
    # At a declared version that is absent nothing else changes.
    return (secret.apart or secret.shared) if secret.exists else ""


def _not_removable(secret: SecretState) -> str:
    if secret.used:
        return "Services use it: take the app down first, or rotate it and prune."
    return "" if secret.exists else "It is not in the swarm."


def _not_superseded(secret: SecretState) -> str:
    return "" if secret.superseded else "It has no superseded version."


def _is_deployed(row: Any) -> bool:
    return bool(row.deployed)


def _rotate(wanted: Wanted) -> Plan:
    return wanted.fleet.plan_rotate(
        wanted.rows, wanted.options, skip=wanted.skip, snapshot=wanted.snapshot
    )


def _generate(wanted: Wanted) -> Plan:
    names = [secret for *_, secret in wanted.rows]
    return wanted.fleet.plan_generate(
        wanted.app, names, wanted.options, skip=wanted.skip, snapshot=wanted.snapshot
    )


def _insert(wanted: Wanted) -> Plan:
    if wanted.value is None:
        raise InputError("no value was given.", remedy="Type, paste or drop it in the form.")
    return wanted.fleet.plan_insert(
        wanted.app, wanted.rows[0][2], wanted.value, options=wanted.options,
        snapshot=wanted.snapshot,
    )  # fmt: skip


def _prune(wanted: Wanted) -> Plan:
    return wanted.fleet.plan_prune(
        wanted.rows, keep=wanted.keep, options=wanted.options, snapshot=wanted.snapshot
    )


def _only_approves(_wanted: Wanted) -> Plan:
    raise InputError("this form only approves.", remedy="Plan in another.")


FORMS: Mapping[str, FormKind] = {
    "browse": FormKind(
        title="Browse secrets",
        verb="Rotate selected…",
        chooses="table",
        fields=(*_MAKES, "use_pass", *_SWITCHES),
        command="opskit secrets",
        call="fleet.snapshot().secrets",
        plan=_rotate,
        obstacle=_not_renewed,
    ),
    "rotate": FormKind(
        title="Rotate secrets",
        verb="Rotate",
        chooses="secrets",
        fields=(*_MAKES, "use_pass", *_SWITCHES),
        command="opskit secret rotate {app} {secret}",
        call="fleet.plan_rotate(…).apply()",
        plan=_rotate,
        nothing="No app has a secret that can be generated.",
        obstacle=_not_renewable,
    ),
    "generate": FormKind(
        title="Generate secrets",
        verb="Generate",
        chooses="secrets",
        fields=(*_MAKES, "use_pass"),
        command="opskit secret generate {app} {secret}",
        call="fleet.plan_generate(…).apply()",
        plan=_generate,
        nothing="Nothing that can be generated is missing.",
        obstacle=_not_absent,
        preselects=True,
    ),
    "insert": FormKind(
        title="Insert a secret",
        verb="Insert",
        chooses="secret",
        fields=("value", "use_pass", *_SWITCHES),
        command="opskit secret insert {app} {secret}",
        call="fleet.plan_insert(…).apply()",
        plan=_insert,
        obstacle=_not_insertable,
    ),
    "remove": FormKind(
        title="Remove secrets",
        verb="Remove",
        chooses="secrets",
        fields=("use_pass",),
        command="opskit secret remove {app} {secret}",
        call="fleet.plan_remove(…).apply()",
        plan=lambda wanted: wanted.fleet.plan_remove(
            wanted.rows, wanted.options, skip=wanted.skip, snapshot=wanted.snapshot
        ),
        nothing="Services use every secret: take an app down first.",
        obstacle=_not_removable,
    ),
    "prune": FormKind(
        title="Prune old versions",
        verb="Prune",
        chooses="secrets",
        fields=("keep", "use_pass"),
        command="opskit secret prune {app}",
        call="fleet.plan_prune(…).apply()",
        plan=_prune,
        nothing="No secret has a superseded version.",
        obstacle=_not_superseded,
    ),
    "approve": FormKind(title="Approve a plan", chooses="nothing", plan=_only_approves),
    "deploy": FormKind(
        title="Deploy an app",
        verb="Deploy",
        chooses="app",
        fields=("deploy_with",),
        command="opskit app deploy {app}",
        call="fleet.plan_deploy(…).apply()",
        plan=lambda wanted: wanted.fleet.plan_deploy(
            wanted.app, wanted.options, snapshot=wanted.snapshot
        ),
        nothing="No app is declared.",
    ),
    "upgrade": FormKind(
        title="Upgrade an app",
        verb="Upgrade",
        chooses="app",
        fields=("deploy_with",),
        command="opskit app upgrade {app}",
        call="fleet.plan_upgrade(…).apply()",
        plan=lambda wanted: wanted.fleet.plan_upgrade(
            wanted.app, wanted.options, snapshot=wanted.snapshot
        ),
        nothing="No deployed app has a later release that is known here.",
        wanted="here with a known later release",
        suits=lambda row: bool(later_releases(row)),
    ),
    "undeploy": FormKind(
        title="Take an app down",
        verb="Take down",
        chooses="app",
        command="opskit app undeploy {app}",
        call="fleet.plan_undeploy(…).apply()",
        plan=lambda wanted: wanted.fleet.plan_undeploy(
            wanted.app, wanted.options, snapshot=wanted.snapshot
        ),
        nothing="No app is deployed.",
        wanted="here that is deployed",
        suits=_is_deployed,
    ),
    "restart": FormKind(
        title="Restart an app",
        verb="Restart",
        chooses="app",
        command="opskit app restart {app}",
        call="fleet.plan_restart(…).apply()",
        plan=lambda wanted: wanted.fleet.plan_restart(
            wanted.app, options=wanted.options, snapshot=wanted.snapshot
        ),
        nothing="No app is deployed.",
        wanted="here that is deployed",
        suits=_is_deployed,
    ),
}
