"""From what a form's fields say to a plan."""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

from opskit.errors import InputError
from opskit.fleet import Fleet
from opskit.operations.options import Options
from opskit.operations.run import Plan
from opskit.secrets.generate import GeneratorName, Policy
from opskit.secrets.value import Secret

Kind = Literal[
    "browse", "rotate", "generate", "insert", "remove", "prune", "approve",
    "deploy", "upgrade", "undeploy", "restart",
]  # fmt: skip
WHOLE_APPS: frozenset[Kind] = frozenset({"deploy", "upgrade", "undeploy", "restart"})
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
    """
    match kind:
        case "generate":
            server, app, _ = chosen[0]
            return fleet.plan_generate(f"{server}/{app}", [name for *_, name in chosen], options)
        case "insert":
            assert value is not None, "an insert form sends a value"
            server, app, secret = chosen[0]
            return fleet.plan_insert(f"{server}/{app}", secret, value, options=options)
        case "remove":
            return fleet.plan_remove(chosen, options)
        case "prune":
            return fleet.plan_prune(chosen, keep=keep, options=options)
        case "deploy" | "upgrade" | "undeploy" | "restart":
            server, app, _ = chosen[0]
            plan = {
                "deploy": fleet.plan_deploy,
                "upgrade": fleet.plan_upgrade,
                "undeploy": fleet.plan_undeploy,
                "restart": fleet.plan_restart,
            }[kind]
            return plan(f"{server}/{app}", options=options)
        case _:
            return fleet.plan_rotate(chosen, options)
