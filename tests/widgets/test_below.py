"""Forms that a widget opens below itself, without a browser."""

from __future__ import annotations

from typing import Any

import pytest

import opskit
from opskit.inert import visible_in
from opskit.mending import Mend
from opskit.secrets.sealed import SEALER
from opskit.widgets.below import Opener, filled_in
from opskit.widgets.person import read_person
from tests.stage import APP, SERVER, Stage
from tests.waiting import eventually

ADA = read_person({"username": "ada", "name": "Ada"})
BEN = read_person({"username": "ben", "name": "Ben"})


class Page(Opener):
    """Notes how often a run of a form below ended."""

    ended: list[str]

    def form_ended(self, at: str, /) -> None:
        self.ended.append(at)

    def __init__(self) -> None:
        self.ended = []
        super().__init__()

    def as_text(self) -> str:
        return " ".join(["A page.", *self.outcomes()])

    def ask(self, at: str, who: Any = ADA) -> None:
        fleet = opskit.Fleet.from_abra()
        chosen = {"app": f"{SERVER}/{APP}", "secret": at}
        about = {"secret": f"{at}\x1b"}
        self.open_form(at, who, about=about, fleet=fleet, kind="rotate", preselected=chosen)

    def close(self, at: str, who: Any = ADA) -> None:
        self.close_form(self.entry(at)["form"], who)

    def entry(self, at: str) -> dict[str, Any]:
        (found,) = (one for one in self.opened if one["at"] == at)
        return found

    def form(self, at: str) -> Any:
        return self._forms[self.entry(at)["form"]]

    def until(self, at: str, phase: str) -> Any:
        form = self.form(at)
        eventually(lambda: form.state["phase"], f"the phase {phase}", lambda now: now == phase)
        return form

    def click(self, form: Any, **message: Any) -> None:
        form._clicked(form, {"who": ADA.to_json(), "tab": "ada-1", **message}, [])


def test_of_two_people_who_open_the_same_form_both_get_one(stage: Stage) -> None:
    page = Page()
    page.ask("token")
    page.ask("token", BEN)
    page.ask("key", BEN)
    assert [(one["at"], one["by"]["name"]) for one in page.opened] == [
        ("token", "Ada"),
        ("key", "Ben"),
    ]
    state = page.until("token", "choose").state
    assert state["chosen"] == {"app": f"{SERVER}/{APP}", "secret": "token"}


def test_a_run_that_ends_below_is_told_once_and_stands_in_words(stage: Stage) -> None:
    page = Page()
    page.ask("token")
    form = page.until("token", "choose")
    page.click(form, type="plan", rows=[[SERVER, APP, "token"]])
    page.until("token", "planned")
    page.click(form, type="apply", digest=form.state["plan"]["digest"])
    page.until("token", "ended")
    eventually(lambda: page.ended, "the end")
    (run,) = opskit.Fleet.from_abra().journal()["run"]
    assert page.ended == ["token"]
    assert f"Run {run}: done. By Ada (ada)" in repr(page)

    page.close("token")
    assert page.opened == []
    assert f"Run {run}: done." in repr(page)


def test_only_who_can_still_reveal_new_values_takes_their_form_away(stage: Stage) -> None:
    page = Page()
    page.ask("token", BEN)
    form = page.until("token", "choose")
    page.click(form, type="plan", rows=[[SERVER, APP, "token"]])
    page.until("token", "planned")
    page.click(form, type="apply", digest=form.state["plan"]["digest"])
    page.until("token", "ended")
    page.close("token", BEN)
    assert page.entry("token")["kept"] == "Ada can still reveal new values here."

    (made,) = form.state["result"]["revealable"]
    page.click(form, type="reveal", key=made["key"], tab_key=SEALER.public)
    eventually(lambda: not page.entry("token")["kept"], "nothing left to reveal")
    page.close("token", BEN)
    assert page.opened == []


def test_what_a_form_is_about_is_told_with_it_and_is_inert(stage: Stage) -> None:
    page = Page()
    page.ask("token")
    assert page.has_open("token")
    assert not page.has_open("key")
    assert page.entry("token")["about"] == visible_in({"secret": "token\x1b"})
    assert "\x1b" not in repr(page.opened)


@pytest.mark.parametrize(
    ("plan", "is_planned"), [({"plan": "rotate"}, True), ({"plan": "insert"}, False)]
)
def test_a_remedy_fills_its_form_in_and_is_planned_unless_a_value_is_to_be_given(
    plan: dict[str, str], *, is_planned: bool
) -> None:
    more = {"app": f"{SERVER}/{APP}", "secret": "key", "hook": "postgres:db", "pass": "yes"}
    assert filled_in(Mend.of(plan | more)) == {
        "app": f"{SERVER}/{APP}",
        "only": True,
        "secret": "key",
        "rows": [],
        "options": {"hook": "postgres:db", "use_pass": True},
        "at_once": is_planned,
    }


def test_a_form_at_work_is_not_taken_away(stage: Stage) -> None:
    page = Page()
    page.ask("token")
    form = page.until("token", "choose")
    form.state = {**form.state, "phase": "running"}
    page.close("token")
    assert len(page.opened) == 1
    page.close_form("of another widget", ADA)
    form.state = {**form.state, "phase": "choose"}
    page.close("token")
    assert page.opened == []
