"""Forms for a notebook that several people look at; see `opskit.widgets`.

Each gives a widget: show it as the last line of a cell. What is typed into its secret field is
sealed in the browser and reaches this kernel only. Outside JupyterLab a form says in words how to
do the same in Python or with the ``opskit`` command; `SecretInput` asks in the terminal.
"""

from __future__ import annotations

from opskit.errors import InputError
from opskit.fleet import Fleet
from opskit.operations.run import Plan
from opskit.operations.select import Selection, named_in
from opskit.widgets.form import Form
from opskit.widgets.secret_input import ask
from opskit.widgets.secret_input import give as SecretInput  # noqa: N812 (what it gives)

__all__ = [
    "SecretInput",
    "approve",
    "ask",
    "browse",
    "deploy",
    "generate",
    "insert",
    "prune",
    "remove",
    "restart",
    "rotate",
    "undeploy",
    "upgrade",
]


def browse(fleet: Fleet) -> Form:
    """Search, sort and filter all secrets; rotate those you select."""
    return Form(fleet=fleet, kind="browse")


def rotate(
    fleet: Fleet,
    *,
    app: str = "",
    secret: str = "",
    selection: Selection | None = None,
) -> Form:
    """Give secrets a new, generated version.

    Parameters
    ----------
    app, secret
        Preselected; may be changed in the form.
    selection
        Rows of a secrets view: the plan is made at once.

    Raises
    ------
    InputError
        The selection is empty or no rows of a secrets view.
    """
    rows = _triples(selection) if selection is not None else ()
    return Form(
        fleet=fleet, kind="rotate", preselected={"app": app, "secret": secret, "rows": rows}
    )


def generate(fleet: Fleet, *, app: str = "", secret: str = "") -> Form:
    """Create declared versions that are not in the swarm yet."""
    return Form(fleet=fleet, kind="generate", preselected={"app": app, "secret": secret})


def insert(fleet: Fleet, *, app: str = "", secret: str = "") -> Form:
    """Store a value that somebody has; it is sealed in the browser."""
    return Form(fleet=fleet, kind="insert", preselected={"app": app, "secret": secret})


def remove(fleet: Fleet, *, app: str = "", secret: str = "") -> Form:
    """Remove secrets that nothing uses; there is no way back."""
    return Form(fleet=fleet, kind="remove", preselected={"app": app, "secret": secret})


def prune(fleet: Fleet, *, app: str = "") -> Form:
    """Remove superseded versions, keeping the newest ones; there is no way back."""
    return Form(fleet=fleet, kind="prune", preselected={"app": app, "secret": ""})


def deploy(fleet: Fleet, *, app: str = "") -> Form:
    """Deploy an app as its files declare it; what fails is put back."""
    return Form(fleet=fleet, kind="deploy", preselected={"app": app})


def upgrade(fleet: Fleet, *, app: str = "") -> Form:
    """Pin and deploy the latest release that is known here; what fails is put back."""
    return Form(fleet=fleet, kind="upgrade", preselected={"app": app})


def undeploy(fleet: Fleet, *, app: str = "") -> Form:
    """Take an app down; its volumes and secrets stay."""
    return Form(fleet=fleet, kind="undeploy", preselected={"app": app})


def restart(fleet: Fleet, *, app: str = "") -> Form:
    """Give every service of an app new tasks."""
    return Form(fleet=fleet, kind="restart", preselected={"app": app})


def approve(plan: Plan, *, needed: int = 2) -> Form:
    """Let a plan be applied only after so many different people approved exactly it.

    This helps against haste and mistakes, not against malice: one kernel runs everybody's code,
    and names are what browsers claim.

    Raises
    ------
    InputError
        Fewer than one approval makes no sense.
    """
    if needed < 1:
        raise InputError(f"{needed} approvals make no sense.", remedy="Ask for 1 or more.")
    return Form(fleet=Fleet.from_abra(), kind="approve", plan=plan, needed=needed)


def _triples(selection: Selection) -> list[tuple[str, str, str]]:
    # Not planned here: what cannot be rotated is said in the form, where it can be left out.
    rows = list(dict.fromkeys(named_in(selection)))
    if not rows:
        raise InputError("the selection is empty.", remedy="Select rows of a secrets view.")
    return rows
