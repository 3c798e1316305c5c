"""The table of all secrets as a browser gets it, and the rows of it that match a condition."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from opskit.errors import OpskitError
from opskit.inert import visible, visible_in
from opskit.secrets.redact import redact
from opskit.snapshot import Snapshot
from opskit.views.frame import View
from opskit.views.select import matching
from opskit.widgets.choices import Key, alphabets, number, plain, secret_states
from opskit.widgets.kinds import FORMS, FormKind
from opskit.widgets.whynot import SecretState

_TEXTS = ("server", "app", "recipe", "secret", "version", "state", "length", "charset")
_NOBODYS = SecretState(
    state=None, exists=True, used=False, generate=False, superseded=0, driver=None,
    templating=None, declared=False,
)  # fmt: skip


@dataclass(slots=True)
class Table:
    """What a form shows of all secrets since it last read them."""

    rows: dict[str, Any] = field(default_factory=dict[str, Any])
    _seen: View | None = None
    _ids: dict[tuple[str, ...], int] = field(default_factory=dict[tuple[str, ...], int])

    def read(self, snapshot: Snapshot, kind: FormKind) -> dict[str, str]:
        """Take in a snapshot, and return the characters of each charset in it."""
        self._seen = snapshot.secrets
        keys = self._seen[list(self._seen.key)].itertuples(index=False, name=None)
        # A row keeps its number however often all are read, so that an answer fits whatever rows
        # the browser has by the time it comes.
        ids = [self._ids.setdefault(key, len(self._ids)) for key in keys]
        self.rows = {**visible_in(table(snapshot, kind)), "ids": ids}
        return alphabets(self.rows["columns"]["charset"]["values"])

    def match(self, condition: str) -> dict[str, Any]:
        """Return the ``ids`` of the rows that match a condition, or why it is none."""
        if self._seen is None:
            return {"rows": [], "error": ""}
        try:
            found = matching(self._seen, condition)
        except OpskitError as error:
            return {"rows": [], "error": visible(redact(str(error)))}
        ids = zip(self.rows["ids"], found, strict=True)
        return {"rows": [one for one, fits in ids if fits], "error": ""}


def table(snapshot: Snapshot, kind: FormKind) -> dict[str, Any]:
    """Return the secrets view column by column; texts as numbers into a list of distinct ones.

    ``used_by`` names services without their stack. ``orphan`` is the whole name of what no app
    declares, which stands for it in a choice. ``obstacles`` say for each of the form's verbs why
    it cannot be done with a row's secret.
    """
    view = snapshot.secrets
    states = secret_states(snapshot)
    rows = list(view.records())
    keys: list[Key] = [(row.server, row.app, row.secret) for row in rows]
    known = [states.get(key) or _nobodys(row) for key, row in zip(keys, rows, strict=True)]
    columns: dict[str, Any] = {name: _encoded(view[name]) for name in _TEXTS}
    columns["age_days"] = [number(value) for value in view["age_days"]]
    columns["used_by"] = _encoded(
        ", ".join(name.removeprefix(f"{row.stack}_") for name in row.used_by) for row in rows
    )
    columns["orphan"] = _encoded(
        "" if key in states else row.swarm_name for key, row in zip(keys, rows, strict=True)
    )
    obstacles = {
        verb: _encoded(FORMS[verb].why_not(state) for state in known) for verb in kind.verbs
    }
    return {
        "rows": len(view),
        "columns": columns,
        "obstacles": obstacles,
        "caption": view.caption,
    }


def _nobodys(row: Any) -> SecretState:
    """Return what is known of a version that no app declares."""
    return replace(_NOBODYS, state=plain(row.state), used=len(row.used_by) > 0)


def _encoded(values: Iterable[Any]) -> dict[str, list[Any]]:
    known: dict[str, int] = {}
    codes = [known.setdefault(str(plain(value) or ""), len(known)) for value in values]
    return {"values": list(known), "codes": codes}
