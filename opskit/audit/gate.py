"""Whether findings are bad enough to fail a scheduled run."""

from __future__ import annotations

from opskit.audit.registry import SEVERITIES, Severity
from opskit.errors import OpskitError
from opskit.views.frame import View


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
    """
    if not severity:
        return
    if severity not in SEVERITIES:
        raise OpskitError(
            f"there is no severity called {severity!r}. Choose from: {', '.join(SEVERITIES)}"
        )
    bad = SEVERITIES[: SEVERITIES.index(severity) + 1]
    number = len(findings.keep(findings["severity"].isin(bad)))
    if number:
        noun = "finding is" if number == 1 else "findings are"
        raise FindingsError(f"{number} {noun} of severity {severity} or worse.")
