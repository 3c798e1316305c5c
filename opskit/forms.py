"""Forms for a notebook that several people look at; see `opskit.widgets`.

Each gives a widget: show it as the last line of a cell. What is typed into its secret field is
sealed in the browser and reaches this kernel only. Outside JupyterLab a form says in words how to
do the same in Python or with the ``opskit`` command; `SecretInput` asks in the terminal.

Examples
--------
>>> form = opskit.forms.rotate(fleet, app="matrix.mutual.example", secret="macaroon")
>>> form
opskit form: Rotate secrets (matrix.mutual.example macaroon). ...
>>> opskit.forms.approve(fleet.plan_rotate("matrix.mutual.example", "macaroon"), needed=2)
opskit form: Approve a plan (matrix.mutual.example macaroon v2 → v3). Approved by 0 of 2. ...
"""

from __future__ import annotations

from collections.abc import Sequence

from opskit.arguments import check_count, check_flag, check_kind, check_text
from opskit.errors import InputError
from opskit.fleet import Fleet
from opskit.plan.selection import Selection, named_in
from opskit.reading.watching import Live
from opskit.run.run import Plan
from opskit.snapshot import Snapshot
from opskit.widgets.attention import Attention
from opskit.widgets.form import Form
from opskit.widgets.page import PageForm
from opskit.widgets.secret_input import ask
from opskit.widgets.secret_input import give as SecretInput  # noqa: N812 (what it gives)

__all__ = [
    "SecretInput",
    "app",
    "approve",
    "ask",
    "attention",
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


def app(fleet: Fleet, app: str, *, live: Live | None = None) -> PageForm:
    """Show one app on one page: services, secrets, versions, findings, last runs, and its actions.

    Each action opens its form below, prefilled; when a run there has ended, the page is read again.

    Parameters
    ----------
    app
        The app's name, or ``server/app``.
    live
        What ``fleet.watch()`` gave: the page is read again when its server changes, until it is
        closed or its cell is run again.
    """
    check_kind("fleet", fleet, Fleet, "Give opskit.Fleet.from_abra().")
    check_text("app", app, "Name one, as it stands in fleet.apps().")
    _check_live(live)
    return PageForm(fleet, app, live)


def attention(
    fleet: Fleet,
    *,
    snapshot: Snapshot | None = None,
    with_pass: bool = False,
    live: Live | None = None,
) -> Attention:
    """Show what needs attention, the worst first; each finding opens what mends it, or is let be.

    Parameters
    ----------
    fleet
        Whose findings.
    snapshot
        What to show at first; else every server is read.
    with_pass
        Look into the password store, too; no entry is opened.
    live
        What ``fleet.watch()`` gave: findings come and go as the fleet changes, until the board is
        closed or its cell is run again. It knows nothing of the password store.
    """
    check_kind("fleet", fleet, Fleet, "Give opskit.Fleet.from_abra().")
    check_flag("with_pass", with_pass)
    if snapshot is not None:
        check_kind("snapshot", snapshot, Snapshot, "Give what fleet.snapshot() gave.")
    _check_live(live)
    if live is None:
        return Attention(fleet, snapshot, with_pass=with_pass)
    if with_pass or snapshot is not None:
        raise InputError(
            "a live board shows nothing but what it watches.",
            remedy="Leave out snapshot and with_pass, or live.",
        )
    return Attention(fleet, with_pass=False, live=live)


def browse(fleet: Fleet, *, where: str = "", needed: int = 0, live: Live | None = None) -> Form:
    """Search, sort and filter all secrets; rotate, generate, insert, remove or prune some.

    Parameters
    ----------
    where
        A condition to begin with, as ``snap.secrets.select`` takes it; may be changed in the form.
    needed
        So many different people must approve each plan before it can be applied; see `approve`.
    live
        What ``fleet.watch()`` gave: rows come, go and change as the fleet does, and what is chosen
        stays so, until the form is closed or its cell is run again.
    """
    check_count("needed", needed, least=0)
    _check_live(live)
    return _form(fleet, "browse", where=where, needed=needed, live=live)


def rotate(
    fleet: Fleet,
    *,
    app: str = "",
    secret: str = "",
    selection: Selection | None = None,
) -> Form:
    """Rotate secrets: each gets a new, generated version.

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
    return _form(fleet, "rotate", app=app, secret=secret, rows=rows)


def generate(fleet: Fleet, *, app: str = "", secret: str = "") -> Form:
    """Create declared versions that are not in the swarm yet."""
    return _form(fleet, "generate", app=app, secret=secret)


def insert(fleet: Fleet, *, app: str = "", secret: str = "") -> Form:
    """Store a value that somebody has; it is sealed in the browser."""
    return _form(fleet, "insert", app=app, secret=secret)


def remove(fleet: Fleet, *, app: str = "", secret: str = "") -> Form:
    """Remove secrets that nothing uses; there is no way back."""
    return _form(fleet, "remove", app=app, secret=secret)


def prune(fleet: Fleet, *, app: str = "") -> Form:
    """Remove superseded versions, keeping the newest ones; there is no way back."""
    return _form(fleet, "prune", app=app)


def deploy(fleet: Fleet, *, app: str = "") -> Form:
    """Deploy an app as its files declare it; what fails is put back."""
    return _form(fleet, "deploy", app=app)


def upgrade(fleet: Fleet, *, app: str = "") -> Form:
    """Pin and deploy the latest release that is known here; what fails is put back."""
    return _form(fleet, "upgrade", app=app)


def undeploy(fleet: Fleet, *, app: str = "") -> Form:
    """Take an app down; its volumes and secrets stay."""
    return _form(fleet, "undeploy", app=app)


def restart(fleet: Fleet, *, app: str = "") -> Form:
    """Restart every service of an app: it gets new tasks."""
    return _form(fleet, "restart", app=app)


def approve(plan: Plan, *, needed: int = 2) -> Form:
    """Let a plan be applied only after so many different people approved exactly it.

    Of a plan that warns, each types its word, as whoever applies it does.
    This helps against haste and mistakes, not against malice: one kernel runs everybody's code,
    and names are what browsers claim.

    Raises
    ------
    InputError
        Fewer than one approval makes no sense, or it is no plan.
    """
    check_kind("plan", plan, Plan, "Give what fleet.plan_…(…) gave.")
    check_count("needed", needed, least=1)
    return Form(fleet=Fleet(plan.root), kind="approve", plan=plan, needed=needed)


def _check_live(live: Live | None) -> None:
    if live is not None:
        check_kind("live", live, Live, "Give what fleet.watch() gave.")


def _form(
    fleet: Fleet,
    kind: str,
    *,
    app: str = "",
    secret: str = "",
    rows: Sequence[tuple[str, str, str]] = (),
    where: str = "",
    needed: int = 0,
    live: Live | None = None,
) -> Form:
    check_kind("fleet", fleet, Fleet, "Give opskit.Fleet.from_abra().")
    check_text("app", app, "Name one, as it stands in fleet.apps().", empty=True)
    check_text("secret", secret, "Name one that the app declares.", empty=True)
    check_text("where", where, "Such as: age_days > 90", empty=True)
    preselected = {"app": app, "secret": secret, "rows": rows, "where": where}
    return Form(fleet=fleet, kind=kind, preselected=preselected, needed=needed, live=live)


def _triples(selection: Selection) -> list[tuple[str, str, str]]:
    # Not planned here: what cannot be rotated is said in the form, where it can be left out.
    rows = list(dict.fromkeys(named_in(selection)))
    if not rows:
        raise InputError("the selection is empty.", remedy="Select rows of a secrets view.")
    return rows
