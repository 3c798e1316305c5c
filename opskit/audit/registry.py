"""The registry of checks: each a small pure function from views to findings.

To add one, write a function in a module of this package, decorate it, and give it a test::

    @check("secret-missing", severity="high", title="A declared secret is not in the swarm")
    def missing(views: Views) -> Iterator[Finding]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from opskit.errors import InputError
from opskit.views.frame import About, Columns, View
from opskit.views.views import Views

Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")

FINDINGS = {
    "id": "string",
    "severity": "category:" + ",".join(SEVERITIES),
    "server": "string",
    "app": "string",
    "secret": "string",
    "what": "string",
    "remedy": "string",
}

CHECKS = {
    "id": "string",
    "severity": "category:" + ",".join(SEVERITIES),
    "title": "string",
    "reference": "string",
}

_FAMILIES = (
    "opskit.audit.secrets",
    "opskit.audit.fleet",
    "opskit.audit.swarm",
    "opskit.audit.services",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing worth an operator's attention; `severity` overrides the check's own."""

    server: str
    what: str
    remedy: str
    app: str | None = None
    secret: str | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A registered check."""

    id: str
    severity: Severity
    title: str
    reference: str
    run: Callable[[Views], Iterable[Finding]]


_checks: dict[str, Check] = {}


def check(
    ident: str, *, severity: Severity, title: str, reference: str = ""
) -> Callable[[Callable[[Views], Iterator[Finding]]], Callable[[Views], Iterator[Finding]]]:
    """Register a check.

    Parameters
    ----------
    ident
        A stable, readable id, such as ``secret-missing``.
    severity
        Of its findings, unless one says otherwise.
    title
        One line naming the fault.
    reference
        Where the rule comes from, if not from opskit.
    """

    def register(run: Callable[[Views], Iterator[Finding]]) -> Callable[[Views], Iterator[Finding]]:
        assert ident not in _checks, f"two checks are called {ident}"
        _checks[ident] = Check(
            id=ident, severity=severity, title=title, reference=reference, run=run
        )
        return run

    return register


def checks() -> dict[str, Check]:
    """Give every registered check by id."""
    for family in _FAMILIES:
        import_module(family)
    return dict(_checks)


def checks_view() -> View:
    """List the checks: id, severity, title and reference."""
    columns = Columns(CHECKS)
    for one in checks().values():
        columns.add(one.id, one.severity, one.title, one.reference or None)
    return columns.view(About(noun="checks"))


def audit_view(views: Views, only: Iterable[str] | None = None) -> View:
    """Run checks over one snapshot.

    Parameters
    ----------
    views
        The snapshot.
    only
        Ids of the checks to run; all when ``None``.

    Returns
    -------
    View
        One row per finding, the worst first: ``id severity server app secret what remedy``.

    Raises
    ------
    InputError
        `only` names a check that does not exist.
    """
    known = checks()
    chosen = list(known) if only is None else list(only)
    for ident in chosen:
        if ident not in known:
            raise InputError(
                f"there is no check called {ident!r}.",
                remedy=f"Choose from: {', '.join(sorted(known))}",
            )
    found = [(known[i], finding) for i in chosen for finding in known[i].run(views)]
    found.sort(
        key=lambda pair: (
            SEVERITIES.index(pair[1].severity or pair[0].severity),
            pair[1].server,
            pair[1].app or "",
            pair[1].secret or "",
        )
    )
    columns = Columns(FINDINGS)
    for one, finding in found:
        columns.add(
            one.id,
            finding.severity or one.severity,
            finding.server,
            finding.app,
            finding.secret,
            finding.what,
            finding.remedy,
        )
    facts = views.facts
    return columns.view(
        About(noun="findings", servers=len(facts.apps_by_server), missing=facts.missing())
    )
