"""What a form is doing, without any browser: its state, and what each click makes of it.

A form has one state, held here and shown alike in every browser. A click is a message with the
person and the tab it came from. Work happens in a thread of the form's own; a click that does not
fit the state any more, such as the second half of a double click, does nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal, assert_never

import msgspec

from opskit.errors import InputError, OpskitError
from opskit.inert import visible_in
from opskit.journal.runs import open_journal
from opskit.kinds.statuses import Way
from opskit.plan.data import Unit
from opskit.plan.obstacles import ObstaclesError
from opskit.reading.watching import Live
from opskit.run.recovery import Rollback
from opskit.run.run import Plan, Run
from opskit.run.work import Progressed
from opskit.secrets.redact import redact
from opskit.secrets.sealed import SEALER
from opskit.secrets.value import Secret
from opskit.snapshot import Snapshot
from opskit.widgets.choices import asked_for, offered, options_from
from opskit.widgets.filters import delete_filter, filters_shown, save_filter
from opskit.widgets.kinds import FORMS, FormKind, Wanted
from opskit.widgets.person import Person, read_person
from opskit.widgets.running import Running
from opskit.widgets.shown import (
    approvals_shown,
    first_state,
    plan_of,
    plan_shown,
    refused_shown,
    result_shown,
    unfinished_shown,
)
from opskit.widgets.table import Table
from opskit.widgets.words import (
    changes_in_words,
    chosen_in_words,
    fault_in_words,
    outcome_in_words,
)

Phase = Literal["loading", "choose", "planning", "planned", "running", "ended", "left"]
Send = Callable[[dict[str, Any]], None]
_NO_FAULT: Mapping[str, Any] = {"error": "", "leave_out": 0, "refused": []}


@dataclass(slots=True, kw_only=True)
class Session:
    """The state of one form.

    Parameters
    ----------
    fleet
        Where plans come from.
    kind
        What the form does, of `FORMS`.
    publish
        Called after every change of `state` or `steps`, from any thread.
    preselected
        What is chosen at the start: ``app``, ``secret`` and ``options``, and whether to plan it
        ``at_once``; or ``rows``, which are; ``where`` is a condition that a table begins with.
        With ``only`` there is no other app to choose.
    needed
        How many different people must approve before it may be applied.
    plan
        A plan to begin with.
    live
        What a table shows at first, and shows each change of; else every server is read.
    """

    fleet: Any
    kind: str
    publish: Callable[[], None]
    preselected: Mapping[str, Any] = field(default_factory=dict[str, Any])
    needed: int = 0
    plan: Plan | None = None
    live: Live | None = None
    state: dict[str, Any] = field(init=False)
    subject: str = field(init=False)
    outcome: str = ""
    rollback: Rollback | None = None
    """What is shown instead of a plan, where a run is to be undone."""
    _wanted: Wanted | None = None
    _doing: FormKind = field(init=False)
    _told: Snapshot | None = None
    _table: Table = field(default_factory=Table)
    _running: Running = field(default_factory=Running)
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held while a click is judged by the state and changes it."""
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "opskit-form")
    )

    def __post_init__(self) -> None:
        plan, self._doing = self.plan, self.form
        self.subject = changes_in_words(plan.data) if plan else chosen_in_words(self.preselected)
        self.state = first_state(self.form, self.preselected, self.needed)

    @property
    def form(self) -> FormKind:
        """What forms of this kind show."""
        return FORMS[self.kind]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps of the run so far."""
        return self._running.steps

    @property
    def rows(self) -> dict[str, Any]:
        """The table of all secrets."""
        return self._table.rows

    def begin(self) -> None:
        """Read the fleet, and plan at once what was preselected whole."""
        if self.plan is not None:
            # Whoever goes back from it chooses: it is not planned once more.
            self.preselected = {}
            self._show_plan(self.plan)
            self.publish()
            return
        self._threads.submit(self._guarded, self._load, "choose")

    def told(self) -> None:
        """Show what the watch knows now, in the background."""
        self._threads.submit(self._take_in)

    def _take_in(self) -> None:
        # What was told of several times is shown once, and never over what was read since.
        if self.live is None or self.live.snapshot is self._told:
            return
        snapshot = self._told = self.live.snapshot
        try:
            alphabets = self._table.read(snapshot, self.form)
        except Exception as error:  # noqa: BLE001 (see `fault_in_words`)
            self.change(error=fault_in_words(error))
            return
        self.change(alphabets=alphabets, missing=snapshot.secrets.missing_servers)

    def handle(self, message: Mapping[str, Any], send: Send) -> None:
        """Act on a click.

        Parameters
        ----------
        message
            From a browser: not to be trusted in any part.
        send
            Gives every browser a message; what only one may read is sealed to it.
        """
        who = read_person(message.get("who"))
        match message.get("type"):
            case "plan":
                self._start(("choose", "ended"), "planning", who, lambda: self._plan(message))
            case "apply":
                if self.may_apply(message):
                    tab = str(message.get("tab"))
                    self._start(("planned",), "running", who, lambda: self._apply(who, tab))
            case "approve":
                self.approve(message, who)
            case "back":
                self._start(("choose", "planned", "ended"), "loading", who, self._load)
            case "leave-out":
                self._start(("choose",), "planning", who, self._leave_out)
            case "resume" | "rollback" | "give-up" as way:
                self._take(way, str(message.get("run")), who)
            case "reveal":
                self._reveal(message, send)
            case "match":
                condition = str(message.get("condition"))
                told = {"type": "matched", "tab": str(message.get("tab")), "condition": condition}
                send({**told, **self._table.match(condition)})
            case "save-filter":
                name, fields = str(message.get("name")), message.get("filter")
                self._change_filters(lambda: save_filter(name, fields))
            case "delete-filter":
                self._change_filters(lambda: delete_filter(str(message.get("name"))))
            case "dismiss":
                self.change(**_NO_FAULT)
            case "ping":
                send({"type": "pong", "tab": str(message.get("tab"))})
            case _:
                pass

    # -- what a click starts --------------------------------------------------------------

    def _start(
        self, before: tuple[Phase, ...], after: Phase, who: Person, work: Callable[[], None]
    ) -> None:
        with self.lock:
            was: Phase = self.state["phase"]
            if was not in before:
                return
            self.change(phase=after, by=who.to_json(), **_NO_FAULT)
        back: Phase = was if was != "ended" else "choose"
        self._threads.submit(self._guarded, work, back)

    def _guarded(self, work: Callable[[], None], back: Phase) -> None:
        try:
            work()
        except ObstaclesError as error:
            count = len(error.obstacles) if error.leaves_some else 0
            # What leaves it out is an option of a command, and here a button.
            one = error.obstacles[0].error if len(error.obstacles) == 1 else error.what
            said = redact(str(one))
            self.change(phase=back, error=said, leave_out=count, refused=refused_shown(error))
        except OpskitError as error:
            self.change(phase=back, error=redact(str(error)))
        except Exception as error:  # noqa: BLE001 (see `fault_in_words`)
            self.change(phase=back, error=fault_in_words(error))

    def _load(self) -> None:
        if self.live is not None and not self.state["loaded"]:
            snapshot = self._told = self.live.snapshot
        else:
            snapshot = self.fleet.snapshot()
        self._doing = self.form
        read: dict[str, Any] = {}
        match self.form.chooses:
            case "table":
                read["alphabets"] = self._table.read(snapshot, self.form)
                try:
                    read["filters"] = filters_shown()
                except OpskitError as error:
                    read["error"] = redact(str(error))
            case "app" | "secrets" | "secret":
                asked, only = self.state["chosen"]["app"], self.state["only"]
                read = offered(snapshot, self.form, asked, only=only)
            case "nothing":
                pass
            case _ as unknown:
                assert_never(unknown)
        self.change(
            phase="choose", plan=None, result=None, approvals=[], unfinished=unfinished_shown(),
            missing=snapshot.secrets.missing_servers, loaded=True, **read,
        )  # fmt: skip
        given, self.preselected = self.preselected, {}
        rows = given.get("rows")
        if given.get("at_once"):
            rows = asked_for(read["apps"], given["app"], given["secret"])
        if rows:
            self.change(phase="planning")
            options = options_from(given.get("options"))
            self._make_plan(Wanted(fleet=self.fleet, rows=rows, options=options, snapshot=snapshot))

    def _plan(self, message: Mapping[str, Any]) -> None:
        verb = message.get("verb")
        self._doing = FORMS[str(verb)] if verb in self.form.verbs else self.form
        options = options_from(message.get("options"))
        value = None
        if self._takes_value:
            value = SEALER.open(message.get("sealed"), purpose="insert")
        chosen = self._chosen(message)
        keep = message.get("keep")
        # Read now, and only the servers concerned: the form may have stood open for hours.
        wanted = Wanted(
            fleet=self.fleet,
            rows=chosen,
            options=options,
            value=value,
            keep=keep if isinstance(keep, int) else None,
        )
        self._make_plan(wanted)

    def _make_plan(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._show_plan(self._doing.plan(wanted))
        self._wanted = None

    def _leave_out(self) -> None:
        """Plan once more, without what cannot be changed."""
        if self._wanted is None:
            raise InputError("nothing was to be planned.", remedy="Choose, and plan again.")
        self._make_plan(replace(self._wanted, skip=True))

    @property
    def _takes_value(self) -> bool:
        """Whether somebody gives the value, which then need not be revealed."""
        return "value" in self._doing.fields

    def _chosen(self, message: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        try:
            rows = msgspec.convert(message.get("rows"), list[tuple[str, str, str]])
        except msgspec.ValidationError:
            rows = []
        if not rows:
            raise InputError("nothing is selected.", remedy="Choose something first.")
        return list(dict.fromkeys(rows))

    def _show_plan(self, plan: Plan) -> None:
        self.plan, self.rollback = plan, None
        approvals: list[dict[str, str]] = []
        if self.needed:
            with open_journal() as journal:
                approvals = approvals_shown(journal, plan.digest)
        self.change(phase="planned", plan=plan_shown(plan), needed=self.needed, approvals=approvals)

    def show_rollback(self, run: str) -> None:
        """Show what undoing a run would do; whoever sees it may do it, as time may press."""
        back: Rollback = self.fleet.plan_rollback(run)
        self.plan, self.rollback = None, back
        self.change(phase="planned", plan=plan_shown(back), needed=0, approvals=[])

    def may_apply(self, message: Mapping[str, Any]) -> bool:
        """Return whether this click may apply what is shown."""
        shown = self.state["plan"]
        if shown is None or message.get("digest") != shown["digest"]:
            return False
        if not self.is_confirmed(message):
            return False
        return len(self.state["approvals"]) >= self.state["needed"]

    def is_confirmed(self, message: Mapping[str, Any]) -> bool:
        """Return whether the word of the plan that is shown was typed, else ask for it."""
        word = self.state["plan"]["confirm"]
        if word and message.get("confirm") != word:
            self.change(error=f"Type {word} to confirm.")
            return False
        return True

    def _apply(self, who: Person, tab: str) -> None:
        if self.rollback is not None:
            self._finish(self.fleet.rollback, self.rollback.data.record.run, who)
            return
        assert self.plan is not None, "only a shown plan is applied"
        plan = self.plan
        self._running.clear()
        self.change(result=None)

        def made(unit: Unit, values: Mapping[str, Secret]) -> None:
            self._running.keep(unit, values, tab)

        run = self.carry_out(
            plan,
            # `may_apply` asked for it.
            confirm=plan.data.consequences.confirm,
            identity=str(who),
            on_progress=self._progressed,
            on_made=made,
        )
        self.plan, self.subject = None, changes_in_words(plan.data)
        self.show_end(run, who, "" if self._takes_value else tab)

    def carry_out(self, plan: Plan, **options: Any) -> Run:
        """Apply a plan, and return how it ended."""
        return plan.apply(**options)

    def _take(self, way: Way, run: str, who: Person) -> None:
        """Do what may be done about a run; undoing it is shown before."""
        phases: tuple[Phase, ...] = ("choose", "ended", "planned")
        match way:
            case "resume":
                self._start(
                    phases, "running", who, lambda: self._finish(self.fleet.resume, run, who)
                )
            case "rollback":
                self._start(phases, "planning", who, lambda: self.show_rollback(run))
            case "give-up":
                self._start(phases, "loading", who, lambda: self._give_up(run, who))
            case _ as unknown:
                assert_never(unknown)

    def _give_up(self, run: str, who: Person) -> None:
        self.fleet.give_up(run, identity=str(who))
        self._load()

    def _finish(self, act: Callable[..., Run], run: str, who: Person) -> None:
        self._running.clear()
        before = self.state["result"]
        if before is None or before["run"] != run:
            self.subject = ""
        ended = act(run, identity=str(who), on_progress=self._progressed)
        self.plan = self.rollback = None
        self.show_end(ended, who, "")

    def show_end(self, run: Run, who: Person, tab: str) -> None:
        """Show how a run ended; what it made may be revealed to one tab."""
        self.outcome = outcome_in_words(run, str(who))
        plan = plan_of(run.id)
        if plan and not self.subject:
            self.subject = changes_in_words(plan)
        result = {
            **result_shown(run, plan),
            "revealable": self._running.revealable if tab else [],
            "tab": tab,
        }
        self.change(phase="ended", result=result, unfinished=None)

    def approve(self, message: Mapping[str, Any], who: Person) -> None:
        """Write that somebody approves the plan that is shown."""
        with self.lock:
            if self.plan is None or self.state["phase"] != "planned":
                return
            if message.get("digest") != self.plan.digest:
                return
            known = {one["username"] for one in self.state["approvals"]}
            if who.username in known or who.username == "unknown":
                return
            if not self.is_confirmed(message):
                return
            try:
                with open_journal() as journal:
                    journal.approve(self.plan.digest, str(who), "browser")
            except OpskitError as error:
                self.change(error=redact(str(error)))
                return
            self.change(approvals=[*self.state["approvals"], who.to_json()], error="")

    def _reveal(self, message: Mapping[str, Any], send: Send) -> None:
        key, tab = str(message.get("key")), message.get("tab")
        revealed = None
        try:
            revealed = self._running.reveal(key, tab, message.get("tab_key"))
        except OpskitError as error:
            self.change(error=redact(str(error)))
        with self.lock:
            result, left = self.state["result"], self._running.revealable
            if result and result["revealable"] != left:
                self.change(result={**result, "revealable": left})
        if revealed is not None:
            send({"type": "revealed", "tab": tab, "key": key, **revealed})

    def _change_filters(self, change: Callable[[], None]) -> None:
        try:
            change()
            self.change(filters=filters_shown())
        except OpskitError as error:
            self.change(error=redact(str(error)))

    def _progressed(self, step: Progressed) -> None:
        self._running.add(step)
        self.publish()

    def change(self, **changes: Any) -> None:
        """Change parts of the state, and publish it."""
        with self.lock:
            moved = changes.get("phase", self.state["phase"]) != self.state["phase"]
            view = self.state["view"] + (1 if moved or "plan" in changes else 0)
            self.state = {**self.state, **visible_in(changes), "view": view}
        self.publish()
