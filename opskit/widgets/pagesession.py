"""What an app's page is doing, without any browser: what it shows, and what each click asks for.

The page is one for everybody who looks on. What a service wrote, its last words too, goes to the
tab that asked for it and into no state, as a notebook keeps the state of its widgets.
"""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec

from opskit.apps.page import AppPage
from opskit.errors import OpskitError
from opskit.fleet import Fleet
from opskit.inert import visible_in
from opskit.mending import Mend
from opskit.secrets.redact import redact
from opskit.snapshot import Snapshot
from opskit.widgets.below import filled_in
from opskit.widgets.choices import app_choices
from opskit.widgets.kinds import FORMS, FormKind
from opskit.widgets.person import Person, read_person
from opskit.widgets.words import fault_in_words

Send = Callable[[dict[str, Any]], None]

_TAIL = 100
_LONGEST_LINE = 400
"""Of what a service wrote, a page shows so many lines of so many characters."""

_UNREAD = "Its server could not be read."


def on_page() -> dict[str, FormKind]:
    """Return the kinds of forms that a page offers, in its order."""
    offered = ((kind, form) for kind, form in FORMS.items() if form.on_page != "never")
    return dict(sorted(offered, key=lambda one: one[1].on_page == "apart"))


@dataclass(slots=True, kw_only=True)
class PageSession:
    """The state of one page.

    Parameters
    ----------
    fleet, app
        What it shows.
    publish
        Called after every change of `state`, from any thread.
    open_form
        Opens a form of a kind: told the kind, the place, the person and what is preselected.
    """

    fleet: Fleet
    app: str
    publish: Callable[[], None]
    open_form: Callable[[str, str, Person, Mapping[str, Any]], None]
    page: AppPage | None = None
    state: dict[str, Any] = field(init=False)
    _obstacles: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    _errors: dict[str, str] = field(default_factory=dict[str, str])
    _is_due: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _reader: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "opskit-page")
    )
    _asker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "opskit-ask"))

    def __post_init__(self) -> None:
        self.state = {
            "app": self.app,
            "reading": True,
            "page": None,
            "actions": [],
            "answer": None,
            "asking": False,
            "error": "",
        }

    def read(self) -> None:
        """Read the app, in the background; once more if something changes meanwhile."""
        with self._lock:
            if self._is_due:
                return
            self._is_due = True
        self._reader.submit(self._guarded, self._read, "reading")

    def handle(self, message: Mapping[str, Any], send: Send) -> None:
        """Act on a click.

        Parameters
        ----------
        message
            From a browser: not to be trusted in any part.
        send
            Gives every browser a message; each says for which tab it is.
        """
        tab = str(message.get("tab"))
        match message.get("type"):
            case "open":
                kind, secret = str(message.get("kind")), str(message.get("secret") or "")
                key = str(message.get("finding") or "")
                self._open(kind, secret, key, read_person(message.get("who")))
            case "read":
                self.read()
            case "ask":
                with self._lock:
                    if self.state["asking"] or self.page is None:
                        return
                    self._set(asking=True)
                self._asker.submit(self._guarded, self._ask, "asking")
            case "logs":
                service = str(message.get("service"))
                self._asker.submit(self._send_logs, service, tab, send)
            case "ping":
                send({"type": "pong", "tab": tab})
            case _:
                pass

    def _open(self, kind: str, secret: str, finding: str, who: Person) -> None:
        page = self.page
        # What does not apply is no button that works.
        if page is None or self._obstacles.get((kind, secret), "unknown"):
            return
        # Another form than the remedy's, or of another secret, is not the remedy.
        mends = {"plan": kind, **({"secret": secret} if secret else {})}
        remedies = (one.plan for one in page.findings if one.key == finding)
        plan = next((one for one in remedies if mends.items() <= one.items()), None)
        chosen = {"app": page.name, "only": True, "secret": secret, "options": {}}
        self.open_form(
            kind, place(kind, secret), who, {**chosen, **(filled_in(Mend.of(plan)) if plan else {})}
        )

    def _guarded(self, work: Callable[[], None], flag: str) -> None:
        error = _error_of(work)
        with self._lock:
            # What another thread met stands until that is done once more, and well.
            self._errors[flag] = error
            said = dict.fromkeys(filter(None, self._errors.values()))
            self._set(**{flag: False}, error=" ".join(said))

    def _read(self) -> None:
        with self._lock:
            self._is_due = False
            self._set(reading=True)
        snapshot = self.fleet.look_at(self.app)
        page = self.fleet.page_in(snapshot, self.app)
        self._obstacles = obstacles(snapshot, page)
        self.page = page
        shown = msgspec.to_builtins(page)
        for one in shown["secrets"]:
            # A version that is not declared is none that a form is about.
            one["action"] = self._fitting(one["secret"]) if one["declared"] else None
        for one in shown["findings"]:
            one["action"] = self._remedy(one["plan"])
        actions = [
            {
                "kind": kind,
                "at": place(kind, ""),
                "label": form.label,
                "obstacle": self._obstacles[kind, ""],
                "apart": form.on_page == "apart",
            }
            for kind, form in on_page().items()
        ]
        self._set(page=shown, actions=actions)

    def _fitting(self, secret: str) -> dict[str, str] | None:
        able = (
            kind
            for kind, form in sorted(on_page().items(), key=lambda one: one[1].beside)
            if form.beside and not self._obstacles.get((kind, secret), "none")
        )
        return next((self._button(kind, secret) for kind in able), None)

    def _remedy(self, plan: Mapping[str, str]) -> dict[str, str] | None:
        """Return the button of a finding whose remedy is one of the page's forms."""
        kind = plan.get("plan", "")
        secret = plan.get("secret", "")
        is_able = not self._obstacles.get((kind, secret), "none")
        return self._button(kind, secret) if is_able else None

    @staticmethod
    def _button(kind: str, secret: str) -> dict[str, str]:
        return {
            "kind": kind, "secret": secret, "at": place(kind, secret),
            "label": FORMS[kind].label,
        }  # fmt: skip

    def _ask(self) -> None:
        answer = self.fleet.answer(self.app)
        self._set(answer=msgspec.to_builtins(answer))

    def _send_logs(self, service: str, tab: str, send: Send) -> None:
        told: dict[str, Any] = {"type": "logs", "tab": tab, "service": service}
        lines: list[dict[str, str]] = []

        def read() -> None:
            lines.extend(
                {
                    "time": row.time.isoformat(),
                    "stream": row.stream,
                    "line": row.line[:_LONGEST_LINE],
                }
                for row in self.fleet.logs(self.app, [service], tail=_TAIL).records()
            )

        error = _error_of(read)
        shown = [] if error else lines[-_TAIL:]
        send(visible_in({**told, "lines": shown, "error": error}))

    def _set(self, **changes: Any) -> None:
        with self._lock:
            self.state = {**self.state, **visible_in(changes)}
        self.publish()


def _error_of(work: Callable[[], None]) -> str:
    """Do something, and return what went wrong: a thread's fault would be seen by nobody."""
    try:
        work()
    except OpskitError as raised:
        return redact(str(raised))
    except Exception as raised:  # noqa: BLE001 (as above)
        return fault_in_words(raised)
    return ""


def place(kind: str, secret: str) -> str:
    """Return the place of a page that a form belongs to: one for each button."""
    return f"{kind} {secret}".rstrip()


def obstacles(snapshot: Snapshot, page: AppPage) -> dict[tuple[str, str], str]:
    """Return why each action does not apply, by kind and secret: empty where it does.

    The secret is empty for the app as a whole. What forms would refuse is refused here, too.
    """
    found: dict[tuple[str, str], str] = {}
    view = snapshot.apps
    (row,) = view.records((view["server"] == page.server) & (view["app"] == page.app))
    for kind, form in on_page().items():
        if page.deployed is None:
            found[kind, ""] = _UNREAD
        elif form.chooses == "app":
            found[kind, ""] = form.app_obstacle(row)
        else:
            secrets = _secrets(snapshot, page, form)
            found |= {(kind, name): obstacle for name, obstacle in secrets.items()}
            found[kind, ""] = _of_all(secrets, form.nothing)
    return found


def _secrets(snapshot: Snapshot, page: AppPage, form: FormKind) -> dict[str, str]:
    """Return why nothing can be done with each declared secret of the app in a form of a kind."""
    return {
        one["name"]: one["obstacle"]
        for app in app_choices(snapshot, form)
        if (app["server"], app["app"]) == (page.server, page.app)
        for one in app["secrets"]
    }


def _of_all(secrets: Mapping[str, str], nothing: str) -> str:
    """Return why a form can do nothing with any of some secrets, if it cannot."""
    if not secrets:
        return "It declares no secret."
    if not all(secrets.values()):
        return ""
    reasons = set(secrets.values())
    return reasons.pop() if len(reasons) == 1 and len(secrets) == 1 else nothing
