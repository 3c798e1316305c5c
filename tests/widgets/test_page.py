"""What an app's page does with clicks, without a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import opskit
from opskit import forms
from opskit.apps.signs import Answer
from opskit.errors import InputError
from opskit.widgets.page import PageForm
from opskit.widgets.pagesession import PageSession
from opskit.widgets.person import Person
from tests.stage import APP, SERVER, Stage
from tests.waiting import eventually

ADA = {"username": "ada", "name": "Ada", "initials": "A", "color": "#123456"}
BEN = {"username": "ben", "name": "Ben"}
NAME = f"{SERVER}/{APP}"


class Desk:
    """A page's session, what it opened and everything it sent."""

    def __init__(self, app: str = APP) -> None:
        self.sent: list[dict[str, Any]] = []
        self.opened: list[tuple[str, str, str, Any]] = []
        self.session = PageSession(
            fleet=opskit.Fleet.from_abra(),
            app=app,
            publish=lambda: None,
            open_form=self.note,
        )
        self.session.read()

    def note(self, kind: str, at: str, who: Person, chosen: Any) -> None:
        self.opened.append((kind, at, str(who), chosen))

    def click(self, type: str, who: Any = ADA, tab: str = "ada-1", **more: Any) -> None:  # noqa: A002
        self.session.handle({"type": type, "who": who, "tab": tab, **more}, self.sent.append)

    def until(
        self, what: str, holds: Callable[[dict[str, Any]], Any] = lambda _: True
    ) -> dict[str, Any]:
        return eventually(
            lambda: self.session.state, what, lambda now: not now["reading"] and holds(now)
        )

    def read(self) -> dict[str, Any]:
        return self.until("the page", lambda now: now["page"])


def obstacles(state: dict[str, Any]) -> dict[str, str]:
    return {one["kind"]: one["obstacle"] for one in state["actions"]}


def buttons(state: dict[str, Any]) -> dict[str, str]:
    return {
        one["secret"]: one["action"]["kind"] for one in state["page"]["secrets"] if one["action"]
    }


def test_a_page_offers_what_applies_and_says_why_the_rest_does_not(stage: Stage) -> None:
    state = Desk().read()
    assert obstacles(state) == {
        "deploy": "",
        "upgrade": "No later release is known here.",
        "restart": "",
        "rotate": "",
        "generate": "Nothing that can be generated is missing.",
        "insert": "",
        "prune": "No secret has a superseded version.",
        "undeploy": "",
    }
    assert all(one["label"].endswith("…") for one in state["actions"])
    assert [one["kind"] for one in state["actions"] if one["apart"]] == ["undeploy"]
    assert state["actions"][-1]["kind"] == "undeploy"
    assert buttons(state) == {"key": "rotate", "token": "rotate"}


def test_what_is_not_deployed_can_be_neither_restarted_nor_taken_down(stage: Stage) -> None:
    for service in stage.engine.services():
        stage.engine.remove_service(service.id)
    for stored in stage.engine.secrets():
        stage.engine.remove_secret(stored.id)
    state = Desk().read()
    assert state["page"]["headline"] == "It is not deployed."
    found = obstacles(state)
    for kind in ("restart", "undeploy", "upgrade"):
        assert found[kind] == "It is not deployed."
    assert found["deploy"] == found["generate"] == ""
    assert buttons(state) == {"key": "generate", "token": "generate"}


def test_an_app_of_a_server_that_is_down_has_its_page_and_no_action(stage: Stage) -> None:
    stage.point_at("unix:///nobody/listens/here")
    state = Desk().read()
    assert state["page"]["tone"] == "warn"
    assert "could not be read" in state["page"]["headline"]
    assert set(obstacles(state).values()) == {"Its server could not be read."}
    assert [one["secret"] for one in state["page"]["secrets"]] == ["key", "token"]


def test_a_click_opens_the_form_of_its_action_for_this_app_only(stage: Stage) -> None:
    desk = Desk()
    desk.read()
    desk.click("open", kind="rotate", secret="token", app="another.example")
    desk.click("open", kind="deploy")
    assert desk.opened == [
        (
            "rotate",
            "rotate token",
            "Ada (ada)",
            {"app": NAME, "only": True, "secret": "token", "options": {}},
        ),
        ("deploy", "deploy", "Ada (ada)", {"app": NAME, "only": True, "secret": "", "options": {}}),
    ]


def test_the_button_of_a_finding_plans_its_remedy_at_once(stage: Stage) -> None:
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"SECRET_KEY_VERSION=v1", b"SECRET_KEY_VERSION=v5"))
    desk = Desk()
    findings = desk.read()["page"]["findings"]
    (finding,) = (one for one in findings if one["plan"].get("secret") == "key")
    desk.click("open", kind="generate", secret="key", finding=finding["key"])
    # A key that a browser sends with another button is no remedy of that.
    desk.click("open", kind="rotate", secret="token", finding=finding["key"])

    options = {"hook": "", "use_pass": False}
    chosen = {"app": NAME, "only": True, "secret": "key", "options": options, "rows": []}
    remedy = {**chosen, "at_once": True}
    assert desk.opened == [
        ("generate", "generate key", "Ada (ada)", remedy),
        (
            "rotate",
            "rotate token",
            "Ada (ada)",
            {"app": NAME, "only": True, "secret": "token", "options": {}},
        ),
    ]


@pytest.mark.parametrize(
    "click",
    [
        {"kind": "upgrade"},
        {"kind": "rotate", "secret": "of another app"},
        {"kind": "browse"},
        {"kind": "generate", "secret": "token"},
        {},
    ],
)
def test_what_does_not_apply_opens_nothing_whatever_a_browser_says(
    stage: Stage, click: dict[str, str]
) -> None:
    desk = Desk()
    desk.read()
    desk.click("open", **click)
    assert desk.opened == []


def test_logs_that_cannot_be_had_say_why(stage: Stage) -> None:
    desk = Desk()
    desk.read()
    desk.click("logs", service="nobody")
    (message,) = eventually(lambda: desk.sent, "the logs")
    assert "has no service called 'nobody'" in message["error"]
    assert message["lines"] == []


def test_a_fault_at_the_logs_is_told_to_the_tab_that_asked(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of a test")

    desk = Desk()
    desk.read()
    monkeypatch.setattr(opskit.Fleet, "logs", broken)
    desk.click("logs", service="web")
    (message,) = eventually(lambda: desk.sent, "the logs")
    assert (message["tab"], message["service"], message["lines"]) == ("ada-1", "web", [])
    assert "opskit met a fault (RuntimeError: a fault of a test)" in message["error"]


def test_what_one_thread_met_is_not_taken_away_by_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise InputError("no address.", remedy="")

    desk = Desk()
    desk.read()
    monkeypatch.setattr(opskit.Fleet, "answer", broken)
    desk.click("ask")
    assert "no address" in desk.until("the fault", lambda now: now["error"])["error"]
    read = desk.session.page
    desk.click("read")
    eventually(lambda: desk.session.page, "another page", lambda now: now is not read)
    assert "no address" in desk.until("the fault")["error"]
    answer = Answer(url="", text="answers", tone="good")
    monkeypatch.setattr(opskit.Fleet, "answer", lambda *_: answer)
    desk.click("ask")
    assert desk.until("no fault", lambda now: not now["error"])["error"] == ""


def test_an_app_that_is_not_there_is_said_and_reading_again_finds_it(stage: Stage) -> None:
    desk = Desk("late.example")
    state = desk.until("an error", lambda now: now["error"])
    assert "there is no app called 'late.example'" in state["error"]
    assert state["page"] is None
    stage.env_file.with_name("late.example.env").write_text("TYPE=shop\n")
    desk.click("read")
    assert desk.read()["error"] == ""


def test_an_address_is_asked_only_when_somebody_asks(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def status(url: str, *_: Any, **__: Any) -> int:
        asked.append(url)
        return 502

    monkeypatch.setattr("opskit.apps.signs.http_status", status)
    stage.env_file.write_bytes(stage.env_file.read_bytes() + b"\nDOMAIN=shop.example\n")
    desk = Desk()
    assert desk.read()["answer"] is None
    assert asked == []
    desk.click("ask")
    state = desk.until("an answer", lambda now: now["answer"])
    assert asked == ["https://shop.example/"]
    assert state["answer"]["text"] == "answers with status 502: a fault"


# -- in a notebook ------------------------------------------------------------------------


class Browser:
    """Somebody who clicks in a page and in the forms below it."""

    def __init__(self, page: PageForm) -> None:
        self.page = page

    def until_read(self, holds: Callable[[Any], Any] = lambda _: True) -> Any:
        return eventually(
            lambda: self.page.state, "the page", lambda now: now["page"] and holds(now["page"])
        )["page"]

    def click(self, **message: Any) -> None:
        self.page._clicked(self.page, {"who": ADA, "tab": "ada-1", **message}, [])

    def form(self, phase: str) -> Any:
        (opened,) = self.page.opened
        form = self.page._forms[opened["form"]]
        eventually(lambda: form.state["phase"], f"the phase {phase}", lambda now: now == phase)
        return form

    def click_form(self, form: Any, **message: Any) -> None:
        form._clicked(form, {"who": ADA, "tab": "ada-1", **message}, [])


@pytest.mark.slow
def test_a_rotation_below_is_on_the_page_once_it_is_done(stage: Stage) -> None:
    page = forms.app(opskit.Fleet.from_abra(), APP)
    ada = Browser(page)
    before = ada.until_read()
    assert before["last_runs"] == []
    assert [(one["secret"], one["version"]) for one in before["secrets"]] == [
        ("key", "v1"),
        ("token", "v1"),
    ]
    ada.click(type="open", kind="rotate", secret="token")
    form = ada.form("choose")
    assert form.state["chosen"] == {"app": NAME, "secret": "token"}
    ada.click_form(form, type="plan", rows=[[SERVER, APP, "token"]])
    ada.click_form(form, type="apply", digest=ada.form("planned").state["plan"]["digest"])
    ada.form("ended")

    after = ada.until_read(lambda now: now["last_runs"])
    (run,) = after["last_runs"]
    assert (run["did"], run["status"], run["tone"], run["who"]) == (
        "rotate: token v1 → v2", "done", "good", "Ada",
    )  # fmt: skip
    states = [(one["secret"], one["version"], one["state"]) for one in after["secrets"]]
    assert states == [
        ("key", "v1", "current"),
        ("token", "v2", "current"),
        ("token", "v1", "superseded"),
    ]
    assert f"Run {run['run']}: done. By Ada" in repr(page)
    assert f"`opskit app show {APP}`, or fleet.page(…) in Python." in repr(page)

    ada.click(type="close", form=page.opened[0]["form"])
    assert page.opened == []


def test_a_page_needs_an_app_by_name(stage: Stage) -> None:
    for wrong in ("", None, 3):
        with pytest.raises(InputError, match="app"):
            forms.app(opskit.Fleet.from_abra(), wrong)  # type: ignore[arg-type]
