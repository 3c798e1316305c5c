"""What the remedies of findings are to plan, and which go together in one run."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast, get_args

from opskit.arguments import check_choice
from opskit.audit.remedies import PlanKind
from opskit.errors import InputError
from opskit.plan.remove import check_store_of_orphans
from opskit.views.frame import View

_GIVE = "Give a row of what snap.audit() gave."


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """What one plan mends.

    Parameters
    ----------
    plan
        Which, as in ``fleet.plan_rotate``.
    server, app, secrets
        What it is about; an app with its server, as ``server/app``.
    hook
        The credential hook it needs.
    where
        Which orphans are to be removed.
    use_pass
        Whether the password store is kept in step.

    Raises
    ------
    InputError
        The password store is to be kept in step with orphans, of which it has nothing.
    """

    plan: PlanKind
    server: str = ""
    app: str = ""
    secrets: tuple[str, ...] = ()
    hook: str = ""
    where: str = ""
    use_pass: bool = False

    def __post_init__(self) -> None:
        if self.plan == "remove":
            check_store_of_orphans(use_pass=self.use_pass)

    @classmethod
    def of(cls, finding: Any) -> Self:
        """Return what mends a finding: a row of the audit, or its ``plan``.

        Raises
        ------
        InputError
            Somebody has to decide; says what. Or it is no such plan.
        """
        plan = finding if isinstance(finding, Mapping) else getattr(finding, "plan", None)
        if not isinstance(plan, Mapping):
            raise InputError("this is no finding.", remedy=_GIVE)
        if not plan:
            raise InputError(
                "this is for a person to mend.", remedy=str(getattr(finding, "remedy", ""))
            )
        said = cast("Mapping[str, str]", plan)
        check_choice("the plan of a finding", said.get("plan"), get_args(PlanKind))
        return cls(
            plan=cast("PlanKind", said["plan"]),
            server=said.get("server", ""),
            app=said.get("app", ""),
            secrets=(said["secret"],) if "secret" in said else (),
            hook=said.get("hook", ""),
            where=said.get("where", ""),
            use_pass="pass" in said,
        )


def named(findings: View, keys: Iterable[str]) -> View:
    """Return the findings of these keys, in the order of the audit.

    Raises
    ------
    InputError
        No finding has such a key, any more or at all.
    """
    wanted = list(keys)
    known = set(findings["key"])
    if gone := [key for key in wanted if key not in known]:
        have = "finding has the key" if len(gone) == 1 else "findings have the keys"
        raise InputError(
            f"no {have} {', '.join(gone)}: mended already, or mistyped.", remedy="See: opskit audit"
        )
    return findings.keep(findings["key"].isin(wanted))


def rounds(mends: Iterable[Mend]) -> list[list[Mend]]:
    """Return what can be joined to one plan, round after round; each but once.

    New values of one app are made together, so that it restarts once, and its old versions are
    pruned together. What else is of one app comes one after the other, and orphans come last.
    """
    by_app: defaultdict[str, list[Mend]] = defaultdict(list)
    by_server: dict[str, Mend] = {}
    for one in dict.fromkeys(mends):
        if one.plan == "remove":
            before = by_server.get(one.server)
            where = f"({before.where}) or ({one.where})" if before else one.where
            by_server[one.server] = replace(one, where=where)
        else:
            _add(by_app[one.app], one)
    number = max(map(len, by_app.values()), default=0)
    found = [[of[at] for of in by_app.values() if at < len(of)] for at in range(number)]
    return [*found, list(by_server.values())] if by_server else found


def _add(of_app: list[Mend], one: Mend) -> None:
    for at, other in enumerate(of_app):
        alike = replace(one, secrets=()) == replace(other, secrets=())
        if alike and one.plan in ("rotate", "generate", "prune"):
            of_app[at] = replace(other, secrets=other.secrets + one.secrets)
            return
    of_app.append(one)
