"""From what a form's fields say to a plan."""

from __future__ import annotations

from typing import Any, Literal, assert_never, cast, get_args

from opskit.errors import InputError
from opskit.fleet import Fleet
from opskit.operations.options import Options
from opskit.operations.run import Plan
from opskit.secrets.generate import GeneratorName, Policy
from opskit.secrets.value import Secret
from opskit.snapshot import Snapshot

WholeApp = Literal["deploy", "upgrade", "undeploy", "restart"]
Kind = Literal["browse", "rotate", "generate", "insert", "remove", "prune", "approve"] | WholeApp
WHOLE_APPS: frozenset[Kind] = frozenset(get_args(WholeApp))
"""Kinds of forms that choose an app and none of its secrets."""


def options_from(said: Any) -> Options:
    """Read a form's option fields; empty ones leave what the recipe says.

    Raises
    ------
    InputError
        A field makes no sense; names it.
    """
    fields: dict[str, Any] = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    length, charset, generator = (fields.get(key) for key in ("length", "charset", "generator"))
    policy = None
    if length or charset or generator:
        if generator and generator not in ("characters", "words", "pwqgen", "pwgen"):
            raise InputError(
                f"there is no generator {str(generator)[:20]!r}.",
                remedy=f"Choose from: {', '.join(get_args(GeneratorName))}.",
            )
        policy = Policy(
            generator=cast("GeneratorName", generator or "characters"),
            length=int(length) if isinstance(length, int | float) and length else None,
            charset=str(charset or ""),
        )
    return Options(
        policy=policy,
        use_pass=fields.get("use_pass") is True,
        hook=str(fields.get("hook") or ""),
        no_hook=fields.get("no_hook") is True,
    )


def make_plan(
    fleet: Fleet,
    kind: Kind,
    chosen: list[tuple[str, str, str]],
    options: Options,
    *,
    value: Secret | None = None,
    keep: int | None = None,
    snapshot: Snapshot | None = None,
) -> Plan:
    """Plan what a form is for.

    Parameters
    ----------
    chosen
        (server, app, secret) triples; the secret is empty where a whole app is meant.
    value
        For ``insert``.
    keep
        For ``prune``: superseded versions to leave; by default what the settings say.
    snapshot
        What the form was filled from; else what is needed is read now.
    """
    server, app, secret = chosen[0]
    name = f"{server}/{app}"
    match kind:
        case "rotate" | "browse":
            return fleet.plan_rotate(chosen, options, snapshot=snapshot)
        case "generate":
            names = [one for *_, one in chosen]
            return fleet.plan_generate(name, names, options, snapshot=snapshot)
        case "insert":
            assert value is not None, "an insert form sends a value"
            return fleet.plan_insert(name, secret, value, options=options, snapshot=snapshot)
        case "remove":
            return fleet.plan_remove(chosen, options, snapshot=snapshot)
        case "prune":
            return fleet.plan_prune(chosen, keep=keep, options=options, snapshot=snapshot)
        case "deploy":
            return fleet.plan_deploy(name, options, snapshot=snapshot)
        case "upgrade":
            return fleet.plan_upgrade(name, options, snapshot=snapshot)
        case "undeploy":
            return fleet.plan_undeploy(name, options, snapshot=snapshot)
        case "restart":
            return fleet.plan_restart(name, options=options, snapshot=snapshot)
        case "approve":
            raise InputError("this form only approves.", remedy="Plan in another.")
        case _ as unknown:
            assert_never(unknown)
