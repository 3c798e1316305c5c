"""The kinds of forms: one entry each, which feeds the kernel, the browser and what stands in words.

A kind is added by an entry of `FORMS` and a function of its name in `opskit.forms`; the browser
draws whatever the entry says.
"""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from opskit.errors import InputError
from opskit.fleet import Fleet
from opskit.kinds.hooks import NO_HOOK
from opskit.kinds.hooks import OFFERED as HOOKS
from opskit.kinds.modes import MODES, WHOLE
from opskit.plan.options import Options
from opskit.run.run import Plan
from opskit.secrets.generate import CHARSETS
from opskit.secrets.generate import OFFERED as GENERATORS
from opskit.secrets.value import Secret
from opskit.snapshot import Snapshot
from opskit.widgets.whynot import (
    SecretState,
    not_absent,
    not_deployed,
    not_insertable,
    not_removable,
    not_renewable,
    not_superseded,
    not_upgradable,
)

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
class Wanted:
    """What somebody chose in a form.

    Parameters
    ----------
    fleet
        Where the plan comes from.
    rows
        (server, app, secret) triples; the secret is empty where a whole app is meant. Of what no
        app declares the app is empty, and the secret its whole name.
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
    verbs
        The kinds of forms of which a table of all secrets can do the same.
    obstacle
        Says why nothing can be done with a secret, or nothing; see `why_not`.
    orphans
        Whether something can be done with what no app declares.
    app_obstacle
        Says why nothing can be done with an app, given its row of the apps view, or nothing.
    on_page
        Whether an app's page offers it: "among" its actions, "apart" as what takes the app away.
    beside
        Where it stands among what may be offered beside a secret of the page, which is the first
        that can be done with it; 0 is never.
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
    verbs: tuple[str, ...] = ()
    obstacle: Callable[[SecretState], str] = lambda _secret: ""
    orphans: bool = False
    app_obstacle: Callable[[Any], str] = lambda _row: ""
    on_page: Literal["among", "apart", "never"] = "among"
    beside: int = 0
    preselects: bool = False

    @property
    def label(self) -> str:
        """What stands on its button, which only plans."""
        return f"{self.verb}…" if self.verb else ""

    def repeat_label(self, *, only: bool) -> str:
        """Return what stands on the button that leads from a run back to the choice, if any."""
        match self.chooses:
            case "table":
                return "Another one"
            case "secrets":
                return f"{self.verb} others…"
            case "secret":
                return f"{self.verb} another…"
            case "app":
                return f"{self.verb} again…" if only else f"{self.verb} another app…"
            case "nothing":
                return ""
            case _ as unknown:
                assert_never(unknown)

    def why_not(self, secret: SecretState) -> str:
        """Return why nothing can be done with a secret, or nothing."""
        if not secret.state:
            return "Its server is not read."
        if not (secret.declared or self.orphans):
            return "No app declares it."
        return self.obstacle(secret)

    def to_json(self) -> dict[str, Any]:
        """Return what a browser needs to draw such a form."""
        return {
            "verb": self.verb,
            "label": self.label,
            "chooses": self.chooses,
            "fields": {name: FIELDS[name] for name in self.fields},
            "nothing": self.nothing,
            "no_hook": NO_HOOK,
            "verbs": {name: FORMS[name].to_json() for name in self.verbs},
        }


def _rotate(wanted: Wanted) -> Plan:
    return wanted.fleet.plan_rotate(
        wanted.rows, wanted.options, skip=wanted.skip, snapshot=wanted.snapshot
    )


def _generate(wanted: Wanted) -> Plan:
    if len({(server, app) for server, app, _ in wanted.rows}) > 1:
        return wanted.fleet.plan_restore(
            wanted.rows, from_pass=False, options=wanted.options, skip=wanted.skip,
            snapshot=wanted.snapshot,
        )  # fmt: skip
    names = [secret for *_, secret in wanted.rows]
    return wanted.fleet.plan_generate(
        wanted.app, names, wanted.options, skip=wanted.skip, snapshot=wanted.snapshot
    )


def _insert(wanted: Wanted) -> Plan:
    if wanted.value is None:
        raise InputError("no value was given.", remedy="Type, paste or drop it in the form.")
    if len(wanted.rows) > 1:
        raise InputError("one value is for one secret.", remedy="Select a single one.")
    return wanted.fleet.plan_insert(
        wanted.app, wanted.rows[0][2], wanted.value, options=wanted.options,
        snapshot=wanted.snapshot,
    )  # fmt: skip


def _prune(wanted: Wanted) -> Plan:
    return wanted.fleet.plan_prune(
        wanted.rows, keep=wanted.keep, options=wanted.options, snapshot=wanted.snapshot
    )


def _remove(wanted: Wanted) -> Plan:
    orphans = {(server, name) for server, app, name in wanted.rows if not app}
    if not orphans:
        return wanted.fleet.plan_remove(
            wanted.rows, wanted.options, skip=wanted.skip, snapshot=wanted.snapshot
        )
    # Another server of the same swarm may declare them: all are read.
    snapshot = wanted.snapshot or wanted.fleet.snapshot()
    secrets, rows = snapshot.secrets, set(wanted.rows)
    chosen = [
        (row.server, row.swarm_name) in orphans or (row.server, row.app, row.secret) in rows
        for row in secrets.records()
    ]
    found = secrets.keep(chosen)
    if gone := orphans - set(zip(found["server"], found["swarm_name"], strict=True)):
        named = ", ".join(sorted(f"{name} on {server}" for server, name in gone))
        raise InputError(f"not there any more: {named}.", remedy="Read again, and choose anew.")
    return wanted.fleet.plan_remove(found, wanted.options, skip=wanted.skip, snapshot=snapshot)


def _only_browses(_wanted: Wanted) -> Plan:
    raise InputError("this form does what another one does.", remedy="Say which.")


def _only_approves(_wanted: Wanted) -> Plan:
    raise InputError("this form only approves.", remedy="Plan in another.")


FORMS: Mapping[str, FormKind] = {
    "browse": FormKind(
        title="Browse secrets",
        chooses="table",
        verbs=("rotate", "generate", "insert", "remove", "prune"),
        command="opskit secrets",
        call="fleet.snapshot().secrets",
        plan=_only_browses,
        nothing="No server has secrets, and no app declares any.",
        on_page="never",
    ),
    "approve": FormKind(
        title="Approve a plan", chooses="nothing", plan=_only_approves, on_page="never"
    ),
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
        app_obstacle=not_upgradable,
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
        app_obstacle=not_deployed,
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
        obstacle=not_renewable,
        beside=2,
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
        obstacle=not_absent,
        preselects=True,
        beside=1,
    ),
    "insert": FormKind(
        title="Insert a secret",
        verb="Insert",
        chooses="secret",
        fields=("value", "use_pass", *_SWITCHES),
        command="opskit secret insert {app} {secret}",
        call="fleet.plan_insert(…).apply()",
        plan=_insert,
        obstacle=not_insertable,
        beside=3,
    ),
    "remove": FormKind(
        title="Remove secrets",
        verb="Remove",
        chooses="secrets",
        fields=("use_pass",),
        command="opskit secret remove {app} {secret}",
        call="fleet.plan_remove(…).apply()",
        plan=_remove,
        nothing="Services use every secret: take an app down first.",
        obstacle=not_removable,
        orphans=True,
        on_page="never",
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
        obstacle=not_superseded,
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
        app_obstacle=not_deployed,
        on_page="apart",
    ),
}
"""In the order in which an app's page offers them; what stands apart comes last."""
