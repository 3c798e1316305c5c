"""What a form is doing, without any browser: its state, and what each click makes of it.

A form has one state, held here and shown alike in every browser. A click is a message with the
person and the tab it came from. Work happens in a thread of the form's own; a click that does not
fit the state any more, such as the second half of a double click, does nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal, assert_never, cast

import msgspec

from opskit.errors import InputError, OpskitError
from opskit.inert import visible_in
from opskit.journal.runs import open_journal
from opskit.plan.data import Unit
from opskit.plan.obstacles import ObstaclesError
from opskit.run.again import Rollback
from opskit.run.run import Plan, Run
from opskit.run.ways import ways_of
from opskit.run.work import Progressed
from opskit.secrets.redact import redact
from opskit.secrets.sealed import SEALER, Unrevealed
from opskit.secrets.value import Secret
from opskit.statuses import STATUSES, Way
from opskit.widgets.choices import (
    alphabets,
    app_choices,
    asked_for,
    options_from,
    table,
    whole_apps,
)
from opskit.widgets.kinds import FORMS, FormKind, Wanted
from opskit.widgets.person import Person, person_named, read_person
from opskit.widgets.words import changes_in_words, chosen_in_words, outcome_in_words, ways_on

Phase = Literal["loading", "choose", "planning", "planned", "running", "ended"]
Send = Callable[[dict[str, Any]], None]


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
        ``at_once``; or ``rows``, which are.
    needed
        How many different people must approve before it may be applied.
    plan
        A plan to begin with.
    """

    fleet: Any
    kind: str
    publish: Callable[[], None]
    preselected: Mapping[str, Any] = field(default_factory=dict[str, Any])
    needed: int = 0
    plan: Plan | None = None
    state: dict[str, Any] = field(init=False)
    subject: str = field(init=False)
    outcome: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rows: dict[str, Any] = field(default_factory=dict[str, Any])
    _rollback: Rollback | None = None
    _wanted: Wanted | None = None
    _made: dict[str, Unrevealed] = field(default_factory=dict[str, Unrevealed])
    _index: dict[tuple[int, int, str], int] = field(default_factory=dict[tuple[int, int, str], int])
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "opskit-form")
    )

    def __post_init__(self) -> None:
        plan = self.plan
        self.subject = changes_in_words(plan.data) if plan else chosen_in_words(self.preselected)
        self.state = {
            "form": self.form.to_json(),
            "phase": "loading",
            "view": 0,
            "loaded": False,
            "apps": [],
            "alphabets": {},
            "chosen": {key: self.preselected.get(key, "") for key in ("app", "secret")},
            "preset": [list(row) for row in self.preselected.get("rows", ())],
            "options": dict(self.preselected.get("options", {})),
            "missing": "",
            "plan": None,
            "needed": self.needed,
            "approvals": [],
            "by": None,
            "result": None,
            "unfinished": None,
            "error": "",
            "leave_out": 0,
        }

    @property
    def form(self) -> FormKind:
        """What forms of this kind show."""
        return FORMS[self.kind]

    def begin(self) -> None:
        """Read the fleet, and plan at once what was preselected whole."""
        if self.plan is not None:
            self._show_plan(self.plan)
            self.publish()
            return
        self._threads.submit(self._guarded, self._load, "choose")

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
                if self._may_apply(message):
                    tab = str(message.get("tab"))
                    self._start(("planned",), "running", who, lambda: self._apply(who, tab))
            case "approve":
                self._approve(message, who)
            case "back":
                self._start(("choose", "planned", "ended"), "loading", who, self._load)
            case "leave-out":
                self._start(("choose",), "planning", who, self._leave_out)
            case "resume" | "rollback" | "give-up" as way:
                self._take(way, str(message.get("run")), who)
            case "reveal":
                self._reveal(message, send)
            case "ping":
                send({"type": "pong", "tab": str(message.get("tab"))})
            case _:
                pass

    # -- what a click starts --------------------------------------------------------------

    def _start(
        self, before: tuple[Phase, ...], after: Phase, who: Person, work: Callable[[], None]
    ) -> None:
        with self._lock:
            was: Phase = self.state["phase"]
            if was not in before:
                return
            self._set(phase=after, by=who.to_json(), error="", leave_out=0)
        back: Phase = was if was != "ended" else "choose"
        self._threads.submit(self._guarded, work, back)

    def _guarded(self, work: Callable[[], None], back: Phase) -> None:
        try:
            work()
        except ObstaclesError as error:
            count = len(error.obstacles) if error.leaves_some else 0
            self._set(phase=back, error=redact(str(error)), leave_out=count)
        except OpskitError as error:
            self._set(phase=back, error=redact(str(error)))
        except Exception as error:  # noqa: BLE001 (a thread's fault would be seen by nobody)
            what = f"opskit met a fault ({type(error).__name__}: {error}). Please report it."
            self._set(phase=back, error=redact(what))

    def _load(self) -> None:
        snapshot = self.fleet.snapshot()
        read: dict[str, Any] = {}
        match self.form.chooses:
            case "table":
                self.rows = visible_in(table(snapshot, self.form))
            case "app":
                read["apps"] = whole_apps(snapshot, self.form)
            case "secrets" | "secret":
                read["apps"] = app_choices(snapshot, self.form)
                read["alphabets"] = alphabets(read["apps"]) if self._takes_value else {}
            case "nothing":
                pass
            case _ as unknown:
                assert_never(unknown)
        with open_journal() as journal:
            open_run = journal.last_unfinished()
            ways = ways_of(journal, open_run) if open_run else ()
        unfinished = None
        if open_run is not None:
            unfinished = {
                "run": open_run.run,
                "kind": open_run.kind,
                "status": STATUSES[open_run.status].label,
                "ways": ways_on(open_run.status, ways),
                "identity": open_run.identity or open_run.actor,
            }
        self._set(
            phase="choose", plan=None, result=None, approvals=[], unfinished=unfinished,
            missing=snapshot.secrets.missing_servers, loaded=True, **read,
        )  # fmt: skip
        given, self.preselected = self.preselected, {}
        rows = given.get("rows")
        if given.get("at_once"):
            rows = asked_for(read["apps"], given["app"], given["secret"])
        if rows:
            self._set(phase="planning")
            options = options_from(given.get("options"))
            self._make_plan(Wanted(fleet=self.fleet, rows=rows, options=options, snapshot=snapshot))

    def _plan(self, message: Mapping[str, Any]) -> None:
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
        self._show_plan(self.form.plan(wanted))
        self._wanted = None

    def _leave_out(self) -> None:
        """Plan once more, without what cannot be changed."""
        if self._wanted is None:
            raise InputError("nothing was to be planned.", remedy="Choose, and plan again.")
        self._make_plan(replace(self._wanted, skip=True))

    @property
    def _takes_value(self) -> bool:
        """Whether somebody gives the value, which then need not be revealed."""
        return "value" in self.form.fields

    def _chosen(self, message: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        try:
            rows = msgspec.convert(message.get("rows"), list[tuple[str, str, str]])
        except msgspec.ValidationError:
            rows = []
        if not rows:
            raise InputError("nothing is selected.", remedy="Choose an app and secrets of it.")
        return list(dict.fromkeys(rows))

    def _show_plan(self, plan: Plan) -> None:
        self.plan, self._rollback = plan, None
        self._show(plan, plan.data.left_alone, self._approvals(plan))

    def _show_rollback(self, run: str) -> None:
        """Show what undoing a run would do; whoever sees it may do it, as time may press."""
        back: Rollback = self.fleet.plan_rollback(run)
        self.plan, self._rollback = None, back
        self._show(back, back.data.left_alone, [])

    def _show(
        self, plan: Plan | Rollback, left_alone: Sequence[str], approvals: list[dict[str, str]]
    ) -> None:
        shown: dict[str, Any] = {
            "digest": plan.digest,
            "changes": _records(plan.changes),
            "calls": _records(plan.calls),
            "left_alone": list(left_alone),
            **msgspec.to_builtins(plan.data.consequences),
        }
        needed = 0 if isinstance(plan, Rollback) else self.needed
        self._set(phase="planned", plan=shown, needed=needed, approvals=approvals)

    def _may_apply(self, message: Mapping[str, Any]) -> bool:
        shown = self.state["plan"]
        if shown is None or message.get("digest") != shown["digest"]:
            return False
        if shown["confirm"] and message.get("confirm") != shown["confirm"]:
            self._set(error=f"Type {shown['confirm']} to confirm.")
            return False
        return len(self.state["approvals"]) >= self.state["needed"]

    def _apply(self, who: Person, tab: str) -> None:
        if self._rollback is not None:
            self._finish(self.fleet.rollback, self._rollback.data.record.run, who)
            return
        assert self.plan is not None, "only a shown plan is applied"
        plan = self.plan
        self._clear_steps()
        self._set(result=None)

        def made(unit: Unit, values: Mapping[str, Secret]) -> None:
            for name, value in values.items():
                self._made[f"{unit.server}/{name}"] = Unrevealed.now(value, tab)

        run = plan.apply(
            # `_may_apply` asked for it.
            confirm=plan.data.consequences.confirm,
            identity=str(who),
            on_progress=self._progressed,
            on_made=made,
        )
        self.plan, self.subject = None, changes_in_words(plan.data)
        self._ended(run, who, "" if self._takes_value else tab)

    def _take(self, way: Way, run: str, who: Person) -> None:
        """Do what may be done about a run; undoing it is shown before."""
        phases: tuple[Phase, ...] = ("choose", "ended", "planned")
        match way:
            case "resume":
                self._start(
                    phases, "running", who, lambda: self._finish(self.fleet.resume, run, who)
                )
            case "rollback":
                self._start(phases, "planning", who, lambda: self._show_rollback(run))
            case "give-up":
                self._start(phases, "loading", who, lambda: self._give_up(run, who))
            case _ as unknown:
                assert_never(unknown)

    def _give_up(self, run: str, who: Person) -> None:
        self.fleet.give_up(run, identity=str(who))
        self._load()

    def _finish(self, act: Callable[..., Run], run: str, who: Person) -> None:
        self._clear_steps()
        before = self.state["result"]
        if before is None or before["run"] != run:
            self.subject = ""
        ended = act(run, identity=str(who), on_progress=self._progressed)
        self.plan = self._rollback = None
        self._ended(ended, who, "")

    def _ended(self, run: Run, who: Person, tab: str) -> None:
        self.outcome = outcome_in_words(run, str(who))
        result = {
            "run": run.id,
            "status": run.status,
            "tone": STATUSES[run.status].tone,
            "sentence": STATUSES[run.status].sentence(fault=bool(run.errors)),
            "ways": ways_on(run.status, run.ways),
            "stacks": dict(run.stacks),
            "errors": [redact(error) for error in run.errors],
            "notes": [redact(note) for note in run.notes],
            "revealable": sorted(self._made) if tab else [],
            "tab": tab,
        }
        self._set(phase="ended", result=result, unfinished=None)

    def _approve(self, message: Mapping[str, Any], who: Person) -> None:
        with self._lock:
            if self.plan is None or self.state["phase"] != "planned":
                return
            if message.get("digest") != self.plan.digest:
                return
            known = {one["username"] for one in self.state["approvals"]}
            if who.username in known or who.username == "unknown":
                return
            try:
                with open_journal() as journal:
                    journal.approve(self.plan.digest, str(who), "browser")
            except OpskitError as error:
                self._set(error=redact(str(error)))
                return
            self._set(approvals=[*self.state["approvals"], who.to_json()])

    def _approvals(self, plan: Plan) -> list[dict[str, str]]:
        if not self.needed:
            return []
        with open_journal() as journal:
            given = journal.approvals(plan.digest)
        people = [person_named(one.identity) for one in given]
        # By username: somebody may have changed how they are called in between.
        return list({person.username: person.to_json() for person in people}.values())

    def _reveal(self, message: Mapping[str, Any], send: Send) -> None:
        name, tab, key = message.get("name"), message.get("tab"), message.get("tab_key")
        with self._lock:
            made = self._made.get(str(name))
            if made is None or made.tab != tab or not isinstance(key, dict):
                return
            del self._made[str(name)]
            result = self.state["result"]
            if result is not None:
                left = [one for one in result["revealable"] if one in self._made]
                self._set(result={**result, "revealable": left})
        try:
            sealed = made.sealed_to(cast("dict[str, object]", key))
        except OpskitError as error:
            self._set(error=redact(str(error)))
            return
        send({"type": "revealed", "tab": tab, "name": name, "sealed": sealed})

    # -- what is shown --------------------------------------------------------------------

    def _progressed(self, step: Progressed) -> None:
        line: dict[str, Any] = visible_in(
            {
                "app": step.app,
                "action": step.action,
                "subject": redact(step.subject),
                "phase": step.phase,
                "status": step.status,
                "seconds": round(step.seconds, 1),
                "began": round(time.time() - step.seconds, 1),
                "error": redact(step.error),
            }
        )
        with self._lock:
            key = (step.unit, step.step, step.phase)
            if key in self._index:
                self.steps[self._index[key]] = line
            else:
                self._index[key] = len(self.steps)
                self.steps.append(line)
        self.publish()

    def _clear_steps(self) -> None:
        with self._lock:
            self.steps.clear()
            self._index.clear()
            self._made.clear()

    def _set(self, **changes: Any) -> None:
        with self._lock:
            moved = changes.get("phase", self.state["phase"]) != self.state["phase"]
            view = self.state["view"] + (1 if moved or "plan" in changes else 0)
            self.state = {**self.state, **visible_in(changes), "view": view}
        self.publish()


def _records(view: Any) -> list[dict[str, Any]]:
    flat: Any = view.flat().astype(object)
    records: list[dict[str, Any]] = flat.where(flat.notna(), "").to_dict("records")
    return records
