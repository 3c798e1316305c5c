"""The snapshot operators work with: views, audit, diff, save and load."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Self

from opskit.arguments import check_flag, check_kind, check_text, path_in
from opskit.views.views import Views

if TYPE_CHECKING:
    from opskit.views.frame import View


class Snapshot(Views):
    """One look at the fleet, frozen.

    Parameters
    ----------
    facts
        What was declared and observed.
    in_pass
        Keys ``server/app/secret`` found in the password store; ``None`` when not looked up.
    before_in_pass
        Those of which the store keeps the value before, too.
    since
        An earlier snapshot: its rows about servers of which nothing changed are taken over.

    Examples
    --------
    >>> snap = fleet.snapshot()
    >>> snap.secrets.query("state == 'missing'")[["app", "secret"]].to_numpy().tolist()
    [['matrix.mutual.example', 'keycloak_client_secret'],
     ['shop-dev.workshop.example', 'db_password']]
    >>> snap.save("monday.opskit")
    >>> len(fleet.snapshot().diff(opskit.Snapshot.load("monday.opskit")))
    0
    """

    def __repr__(self) -> str:
        facts = self.facts
        missing = f", {len(facts.missing())} missing" if facts.missing() else ""
        return (
            f"<Snapshot of {len(facts.apps_by_server)} servers{missing}, "
            f"{facts.taken_at:%Y-%m-%d %H:%M} UTC>"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        head = f"<p>{html.escape(repr(self))}</p>"
        return {"text/plain": repr(self), "text/html": head + self.servers.as_html()}

    def audit(self, *, acknowledged: bool = False) -> View:
        """Run every check; one row per finding (see `opskit.audit`).

        What colleagues had acknowledged when the snapshot was taken, for a day that was not over
        then, is left out and counted; with `acknowledged` it is there, with who, until when and
        why. A saved snapshot carries it, and its audit says what it said then.
        """
        from opskit.audit.registry import audit_view

        check_flag("acknowledged", acknowledged)
        return audit_view(self, acknowledged=acknowledged)

    def uses_of(self, app: str, secret: str) -> View:
        """Return a secret's versions, who uses them, and which other apps share them."""
        from opskit.audit.exposure import uses_of

        check_text("app", app, "Name one, as it stands in snap.apps.")
        check_text("secret", secret, "Name one, as it stands in snap.secrets.")
        return uses_of(self, app, secret)

    def fail_on(self, severity: str) -> None:
        """End with an error when there are findings of a severity or worse; empty for never.

        What is acknowledged does not count.

        Raises
        ------
        FindingsError
            There are such findings.
        """
        from opskit.audit.registry import fail_on

        check_text("severity", severity, "Name one, such as high.", empty=True)
        fail_on(self.audit(), severity)

    def save(self, path: str | Path) -> None:
        """Write the snapshot to a file; it holds no secret's value and no environment.

        The file's folder is made when it is missing, for its owner alone.
        """
        from opskit.saved.saved import save_facts

        save_facts(self.facts, path_in("path", path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a snapshot file."""
        from opskit.saved.saved import load_facts

        return cls(load_facts(path_in("path", path)))

    @classmethod
    def load_all(cls, folder: str | Path) -> list[Self]:
        """Read the ``*.opskit`` files of a folder, the oldest first; none when it is not there."""
        files = path_in("folder", folder).glob("*.opskit")
        return sorted(map(cls.load, files), key=lambda s: s.facts.taken_at)

    def diff(self, earlier: Snapshot) -> View:
        """Return what changed since an earlier snapshot."""
        from opskit.views.diff import diff_view

        check_kind("earlier", earlier, Snapshot, "Give a snapshot, such as Snapshot.load(…).")
        return diff_view(self, earlier)
