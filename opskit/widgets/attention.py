"""The board of findings: each opens the form that mends it, or is let be, before all who look on.

It has one state, as a form has: see `opskit.widgets.session`. A form that a card opens belongs to
that card (`opskit.widgets.below`) and stays when its finding has gone: it says what was done, and
how to undo it. When a run of it has ended, its server is read again.
"""

# traitlets and anywidget ship partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import traitlets

from opskit.abra.acknowledged import span
from opskit.errors import OpskitError
from opskit.fleet import Fleet, plan_mend
from opskit.inert import visible_in
from opskit.reading.watching import Live
from opskit.secrets.redact import redact
from opskit.snapshot import Snapshot
from opskit.views.frame import View
from opskit.widgets.below import Opener, filled_in
from opskit.widgets.cards import Act, Cards, counted
from opskit.widgets.kinds import FORMS
from opskit.widgets.person import Person, read_person
from opskit.widgets.words import fault_in_words

_STATIC = Path(__file__).parent / "static"
_USUAL_DAYS = 30


class Attention(Opener):
    """What needs attention, as everybody on the notebook sees it.

    Parameters
    ----------
    fleet
        Whose findings.
    snapshot
        What to show at first; else every server is read.
    with_pass
        Whether to look into the password store, too; so it is when `snapshot` did.
    live
        Shows each change of what it watches, until it is closed or its cell is run again.
    """

    _esm = _STATIC / "attention.js"
    _css = "\n".join((_STATIC / name).read_text() for name in ("form.css", "attention.css"))

    title = traitlets.Unicode("What needs attention").tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    found = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        fleet: Fleet,
        snapshot: Snapshot | None = None,
        *,
        with_pass: bool,
        live: Live | None = None,
    ) -> None:
        self._fleet, self._snapshot = fleet, snapshot
        self._told: Snapshot | None = None
        self._with_pass = with_pass or (snapshot is not None and snapshot.looked_in_pass)
        self._findings: View | None = None
        self._acts: dict[str, Act] = {}
        self._servers: dict[str, str] = {}
        self._written: list[str] = []
        self._lock = threading.RLock()
        self._threads = ThreadPoolExecutor(1, "opskit-attention")
        super().__init__(state={"busy": "", "error": "", "said": "", "read_at": ""})
        self.on_msg(self._clicked)
        if live is not None:
            # First, so that no change is missed; all is shown by one thread, the newest last.
            show = partial(self._show_told, live)
            self.follow(live, lambda _: self._threads.submit(self._guarded, show))
            self._threads.submit(show).result()
        elif snapshot is None:
            self._start("Reading every server…", self._read)
        else:
            self._show(snapshot)

    def as_text(self) -> str:
        """Say how many findings there are, what was done here, and what shows them elsewhere."""
        counts = "" if self._findings is None else f" {counted(self._findings)}."
        done = "".join(f" {one}" for one in (*self.outcomes(), *self._written))
        return (
            f"opskit form: {self.title}.{counts}{done} It needs JupyterLab and a running kernel; "
            "elsewhere use `opskit audit`, or fleet.snapshot().audit() in Python."
        )

    # -- clicks ---------------------------------------------------------------------------

    def _clicked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        said: Mapping[str, Any] = message if isinstance(message, dict) else {}
        who, key = read_person(said.get("who")), str(said.get("key"))
        match said.get("type"):
            case "open":
                self._start("Opening…", lambda: self._open(key, who))
            case "close":
                self.close_form(str(said.get("form")), who)
            case "acknowledge":
                self._start("Writing it down…", lambda: self._acknowledge(said, key))
            case "withdraw":
                commit = said.get("commit") is True
                self._start("Withdrawing it…", lambda: self._withdraw(key, commit=commit))
            case "again":
                self._start("Reading every server…", self._read)
            case "ping":
                self.send({"type": "pong", "tab": str(said.get("tab"))})
            case _:
                pass

    def _start(self, busy: str, work: Callable[[], None]) -> None:
        with self._lock:
            # A click that comes while another is being carried out may be its second half.
            if not self.state["busy"]:
                self._submit(busy, work)

    def _submit(self, busy: str, work: Callable[[], None]) -> None:
        self._set(busy=busy, error="", said="")
        self._threads.submit(self._finish, work)

    def _finish(self, work: Callable[[], None]) -> None:
        self._guarded(work)
        self._set(busy="")

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OpskitError as error:
            self._set(error=redact(str(error)))
        except Exception as error:  # noqa: BLE001 (see `fault_in_words`)
            self._set(error=fault_in_words(error))

    # -- what a click starts --------------------------------------------------------------

    def _read(self) -> None:
        self._show(self._fleet.snapshot(with_pass=self._with_pass))

    def _open(self, key: str, who: Person) -> None:
        act = self._acts.get(key)
        if act is None or self.has_open(key):
            return
        self._servers[key] = act.block.server
        begin = self._begin(act)
        self.open_form(key, who, about=act.about, fleet=self._fleet, kind=act.mend.plan, **begin)

    def _begin(self, act: Act) -> dict[str, Any]:
        """Return what the form of a remedy begins with: its plan, or fields for a value."""
        # Whoever goes back from a plan finds chosen what it was for; of orphans a table tells.
        begin = {} if act.mend.where else {"preselected": filled_in(act.mend)}
        if "value" in FORMS[act.mend.plan].fields:
            return begin
        return {**begin, "plan": plan_mend(self._fleet, act.mend)}

    def form_ended(self, at: str, /) -> None:
        """Read again what a run of a card's form has changed."""
        # Whatever else is being done: what was read before is old now.
        self._submit("Reading again…", lambda: self._refresh([self._servers[at]]))

    def _refresh(self, servers: list[str]) -> None:
        assert self._snapshot is not None, "a card was shown"
        self._show(self._fleet.refresh(self._snapshot, servers, with_pass=self._with_pass))

    def _acknowledge(self, said: Mapping[str, Any], key: str) -> None:
        keys = said.get("keys")
        wanted = [str(one) for one in keys] if isinstance(keys, list) else [key]
        rows = [row for row in map(self._row, wanted) if row is not None]
        written: list[str] = []
        try:
            for row in rows:
                done = self._fleet.acknowledge(
                    row,
                    why=str(said.get("why") or ""),
                    until=str(said.get("until") or ""),
                    who=str(said.get("name") or ""),
                    commit=said.get("commit") is True,
                )
                written.append(str(done))
        finally:
            self._written += written
            self._refresh([])
        self._set(said=" ".join(written))

    def _withdraw(self, key: str, *, commit: bool) -> None:
        row = self._row(key)
        if row is None:
            return
        try:
            done = str(self._fleet.withdraw(row, commit=commit))
            self._written.append(done)
        finally:
            self._refresh([])
        self._set(said=done)

    # -- what is shown --------------------------------------------------------------------

    def _show_told(self, live: Live) -> None:
        # What was told of several times is shown once, and never over what was read since.
        snapshot = live.snapshot
        if snapshot is not self._told:
            self._told = snapshot
            self._show(snapshot)

    def _show(self, snapshot: Snapshot) -> None:
        findings = snapshot.audit(acknowledged=True)
        shown = Cards.of(findings)
        with self._lock:
            self._snapshot, self._findings, self._acts = snapshot, findings, shown.acts
        self.update_text()
        first, last = span(datetime.now(UTC).date())
        usual = first + timedelta(days=_USUAL_DAYS)
        with self.hold_sync():
            self.found = shown.to_json()
            self._set(
                read_at=_clock(snapshot.facts.oldest),
                missing=findings.missing_servers,
                days=[day.isoformat() for day in (first, last, usual)],
            )

    def _row(self, key: str) -> Any:
        if self._findings is None:
            return None
        return next(self._findings.records(self._findings["key"] == key), None)

    def _set(self, **changes: Any) -> None:
        with self._lock:
            self.state = {**self.state, **visible_in(changes)}


def _clock(at: datetime) -> str:
    """Return a time of today, and of another day with it."""
    here = at.astimezone()
    is_today = here.date() == datetime.now().astimezone().date()
    return f"{here:%H:%M}" if is_today else f"{here:%Y-%m-%d %H:%M}"
