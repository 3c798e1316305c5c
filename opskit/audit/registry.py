"""The registry of checks: each a small pure function from views to findings.

To add one, write a function in a module of this package, decorate it, and give it a test::

    @check("secret-missing", severity="high", title="A declared secret is not in the swarm")
    def missing(views: Views) -> Iterator[Finding]: ...

`fail_on` says whether findings are bad enough to fail a scheduled run.

Each finding has a short key, by which an operator names it today and tomorrow: a hash of what it is
about and of nothing that changes while it stands, such as an age. So it is the same in each audit,
on each machine and at each operator.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from importlib import import_module
from typing import Annotated, Literal

from opskit.abra.acknowledged import acknowledged_in
from opskit.audit.remedies import Remedy
from opskit.errors import InputError, OpskitError
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.table import About, about
from opskit.views.views import Views

Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")


class FindingsRow(Row, frozen=True, kw_only=True):
    """A row of the audit: one thing worth an operator's attention."""

    key: Annotated[str, Column("Its short name, the same as long as it stands: opskit fix KEY.")]
    id: Annotated[str, Column("The check that found it.")]
    severity: Annotated[Severity, Column("How bad it is, the worst first.")]
    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str | None, Column("The app, if it is about one.")]
    secret: Annotated[str | None, Column("The secret, if it is about one.")]
    what: Annotated[str, Column("What is wrong.")]
    remedy: Annotated[str, Column("What to do next: a command where it is one.")]
    plan: Annotated[
        dict[str, str],
        Column("The plan that does it and its arguments; empty where a person has to decide."),
    ]
    subject: Annotated[str, Column("Which of several that its check may find there.")] = ""
    acknowledged: Annotated[bool, Column("Whether somebody lets it be, up to a day.")] = False
    acknowledged_by: Annotated[str | None, Column("Who does, or did: it may be over.")] = None
    acknowledged_until: Annotated[str | None, Column("The last day of it: 2027-03-31.")] = None
    acknowledged_why: Annotated[str | None, Column("Why.")] = None


class ChecksRow(Row, frozen=True, kw_only=True):
    """A row of the list of checks."""

    id: Annotated[str, Column("Its stable, readable name.")]
    severity: Annotated[Severity, Column("Of its findings, unless one says otherwise.")]
    title: Annotated[str, Column("The fault it looks for.")]
    reference: Annotated[str | None, Column("Where the rule comes from, if not from opskit.")]
    background: Annotated[
        str | None, Column("The section of docs/secrets.md that explains it, if one does.")
    ]


KEY_LENGTH = 5
_LETTERS = "23456789bcdfghjkmnpqrstvwxz"
"""Without what reads like something else, and without vowels, so that no key is a word."""

_SHOWN = ("severity", "key", "id", "server", "app", "secret", "what", "remedy")
_GOES = ("id", "server", "secret", "app")

_ON_A_PAGE = {
    "severity": ("severity",),
    "where": ("app", "secret", "server"),
    "what": ("what",),
    "remedy": ("remedy",),
}

_ACKNOWLEDGED = ("acknowledged_by", "acknowledged_until", "acknowledged_why")

_FAMILIES = (
    "opskit.audit.secrets",
    "opskit.audit.fleet",
    "opskit.audit.files",
    "opskit.audit.services",
    "opskit.audit.stored",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing worth an operator's attention; `severity` overrides the check's own.

    The remedy is a plan that would not be refused, or a sentence for a person. Where a check may
    find several things at one server, app and secret, `subject` says which: a version, a service,
    a file; nothing that changes while the finding stands, as it is part of its key.
    """

    server: str
    what: str
    remedy: Remedy | str
    app: str | None = None
    secret: str | None = None
    subject: str = ""
    severity: Severity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A registered check."""

    id: str
    severity: Severity
    title: str
    reference: str
    background: str
    run: Callable[[Views], Iterable[Finding]]


_checks: dict[str, Check] = {}


def check(
    ident: str, *, severity: Severity, title: str, reference: str = "", background: str = ""
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
    background
        The anchor of the section of ``docs/secrets.md`` that explains it, if one does.
    """

    def register(run: Callable[[Views], Iterator[Finding]]) -> Callable[[Views], Iterator[Finding]]:
        assert ident not in _checks, f"two checks are called {ident}"
        _checks[ident] = Check(
            id=ident,
            severity=severity,
            title=title,
            reference=reference,
            background=background,
            run=run,
        )
        return run

    return register


def checks() -> dict[str, Check]:
    """Return every registered check by id."""
    for family in _FAMILIES:
        import_module(family)
    return dict(_checks)


def checks_view() -> View:
    """Return the list of checks: one `ChecksRow` each."""
    rows = [
        ChecksRow(
            id=one.id,
            severity=one.severity,
            title=one.title,
            reference=one.reference or None,
            background=f"docs/secrets.md#{one.background}" if one.background else None,
        )
        for one in checks().values()
    ]
    return View.from_rows(ChecksRow, rows, About(noun="checks"))


def audit_view(
    views: Views, only: Iterable[str] | None = None, *, acknowledged: bool = False
) -> View:
    """Return what checks find in one snapshot.

    What was acknowledged when it was taken, for a day that was not over then, is left out and
    counted in the caption.

    Parameters
    ----------
    views
        The snapshot.
    only
        Ids of the checks to run; all when ``None``.
    acknowledged
        Return what was acknowledged, too, with who, until when and why.

    Returns
    -------
    View
        One `FindingsRow` per finding, the worst first.

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
    abouts = [
        (one.id, finding.server, finding.app or "", finding.secret or "", finding.subject)
        for one, finding in found
    ]
    day = views.facts.taken_at.astimezone(UTC).date()
    let_be = acknowledged_in(views.facts.declared.acknowledged, day)
    rows: list[FindingsRow] = []
    for key, about_what, (one, finding) in zip(keys_of(abouts), abouts, found, strict=True):
        known = let_be(about_what)
        is_let_be = known is not None and known.holds(day)
        over = f" {known.over(day)}" if known and not is_let_be else ""
        rows.append(
            FindingsRow(
                key=key,
                id=one.id,
                severity=finding.severity or one.severity,
                server=finding.server,
                app=finding.app,
                secret=finding.secret,
                what=f"{finding.what}{over}",
                remedy=str(finding.remedy),
                plan=finding.remedy.to_dict() if isinstance(finding.remedy, Remedy) else {},
                subject=finding.subject,
                acknowledged=is_let_be,
                acknowledged_by=known and known.who,
                acknowledged_until=known and known.until.isoformat(),
                acknowledged_why=known and known.why,
            )
        )
    shown = replace(about(views.facts, "findings", *_SHOWN, goes=_GOES), joined=_ON_A_PAGE)
    return listed(View.from_rows(FindingsRow, rows, shown), acknowledged=acknowledged)


def listed(findings: View, *, acknowledged: bool) -> View:
    """Return findings with what is acknowledged, or without, and say in the caption how many are.

    Parameters
    ----------
    findings
        What an audit gave with what is acknowledged, or rows of it: only of these it is counted.
    acknowledged
        Whether it stays among them.
    """
    number = len(findings.keep(findings["acknowledged"]))
    rows = findings if acknowledged else findings.keep(~findings["acknowledged"])
    return rows.told(
        remark=f"{number} {'of them' if acknowledged else 'more'} acknowledged" if number else "",
        shown=_SHOWN + _ACKNOWLEDGED if acknowledged else _SHOWN,
    )


def at_least(findings: View, severity: str) -> View:
    """Return the findings of a severity or worse.

    Raises
    ------
    InputError
        There is no such severity.
    """
    if severity not in SEVERITIES:
        raise InputError(
            f"there is no severity called {severity!r}.",
            remedy=f"Choose from: {', '.join(SEVERITIES)}",
        )
    bad = SEVERITIES[: SEVERITIES.index(severity) + 1]
    return findings.keep(findings["severity"].isin(bad))


class FindingsError(OpskitError):
    """An audit found what was not to be found."""


def fail_on(findings: View, severity: Severity | str) -> None:
    """End with an error when there are findings of a severity or worse.

    Parameters
    ----------
    findings
        What ``snap.audit()`` gave.
    severity
        The mildest that counts; empty for never.

    Raises
    ------
    FindingsError
        There are such findings; says how many.
    InputError
        There is no such severity.
    """
    if not severity:
        return
    number = len(at_least(findings, severity))
    if number:
        noun = "finding is" if number == 1 else "findings are"
        raise FindingsError(f"{number} {noun} of severity {severity} or worse.")


def keys_of(identities: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the key of each finding; where two would be the same, both are longer.

    Parameters
    ----------
    identities
        What each is about: check, server, app, secret, subject. Of findings about the very same,
        each has a number of its own.
    """
    seen: Counter[Hashable] = Counter()
    whole: list[str] = []
    for identity in identities:
        seen[identity] += 1
        number = seen[identity]
        whole.append(_letters("\0".join(identity if number == 1 else (*identity, str(number)))))
    return _shortened(whole, KEY_LENGTH)


def _shortened(whole: list[str], length: int) -> list[str]:
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for one in whole:
        alike[one[:length]].add(one)
    longer = {one for group in alike.values() if len(group) > 1 for one in group}
    if not longer:
        return [one[:length] for one in whole]
    more = dict(zip(longer, _shortened(list(longer), length + 1), strict=True))
    return [more.get(one, one[:length]) for one in whole]


def _letters(text: str) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest())
    found: list[str] = []
    while number:
        number, at = divmod(number, len(_LETTERS))
        found.append(_LETTERS[at])
    return "".join(found)
