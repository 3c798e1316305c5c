"""Forms that a widget opens below itself, without a browser."""

from __future__ import annotations

from typing import Any

import opskit
from opskit.widgets.below import Opener
from opskit.widgets.person import read_person
from tests.stage import APP, SERVER, Stage
from tests.waiting import eventually

ADA = read_person({"username": "ada", "name": "Ada"})
BEN = read_person({"username": "ben", "name": "Ben"})


class Page(Opener):
    """Notes how often a run of a form below ended."""

    ended = 0

    def form_ended(self) -> None:
        self.ended += 1

    def as_text(self) -> str:
        return " ".join(["A page.", *self.outcomes()])

    def ask(self, at: str, who: Any = ADA) -> None:
        fleet = opskit.Fleet.from_abra()
        self.open_form(
            fleet, "rotate", at=at, who=who, preselected={"app": f"{SERVER}/{APP}", "secret": at}
        )

    def form(self, at: str) -> Any:
        (ident,) = (one["form"] for one in self.opened if one["at"] == at)
        return self._forms[ident]

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
    assert page.ended == 1
    assert f"Run {run}: done. By Ada (ada)" in repr(page)

    page.close_form(page.opened[0]["form"])
    assert page.opened == []
    assert f"Run {run}: done." in repr(page)


def test_a_form_at_work_is_not_taken_away(stage: Stage) -> None:
    page = Page()
    page.ask("token")
    form = page.until("token", "choose")
    form.state = {**form.state, "phase": "running"}
    page.close_form(page.opened[0]["form"])
    assert len(page.opened) == 1
    page.close_form("of another widget")
    form.state = {**form.state, "phase": "choose"}
    page.close_form(page.opened[0]["form"])
    assert page.opened == []
