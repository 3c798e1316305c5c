"""A board and a page that show what happens without being read again by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import pytest

import opskit
from opskit import forms
from opskit.abra.model import Acknowledged, Problem
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.facts.facts import Facts
from opskit.reading.watching import Live
from opskit.views.frame import View
from opskit.widgets.cards import Cards
from opskit.widgets.pagesession import PageSession
from tests.audit.test_keys import Use
from tests.stage import APP, Stage
from tests.waiting import eventually

replace = msgspec.structs.replace
GIT = "git.coop.example"
PROBLEM = Problem(
    path="servers/coop.example/opskit.toml", line=1, what="is odd.", remedy="Mend it."
)
ACKNOWLEDGED = Acknowledged(
    check="secret-old", server="coop.example", app=GIT, who="Ada", why="until the move",
    made_on=date(2026, 1, 1), until=date(2026, 2, 1),
)  # fmt: skip


@pytest.fixture
def live(embedded_stage: Stage) -> Iterator[Live]:
    """Watch a stage whose app is deployed."""
    embedded_stage.set_up()
    with opskit.Fleet.from_abra().watch() as live:
        yield live


def test_a_finding_comes_onto_the_board_and_goes(embedded_stage: Stage, live: Live) -> None:
    stage = embedded_stage
    board = forms.attention(opskit.Fleet.from_abra(), live=live)

    def checks() -> list[str]:
        return [one["check"] for one in board.found["cards"]]

    assert "secret-orphan" not in checks()
    made = stage.engine.create_secret(f"{stage.stack}x_lost_v1", b"x", {})
    eventually(lambda: "secret-orphan" in checks(), "the orphan's card")
    stage.engine.remove_secret(made)
    eventually(lambda: "secret-orphan" not in checks(), "the card to go")


def test_an_apps_page_shows_a_version_that_somebody_adds(embedded_stage: Stage, live: Live) -> None:
    page = forms.app(opskit.Fleet.from_abra(), APP, live=live)

    def versions() -> list[Any]:
        shown = page.state["page"]
        return [one["version"] for one in shown["secrets"]] if shown else []

    eventually(versions, "the page to be read")
    assert "v7" not in versions()
    embedded_stage.create("token_v7")
    eventually(lambda: "v7" in versions(), "the new version")


def test_a_table_shows_a_version_that_somebody_adds(embedded_stage: Stage, live: Live) -> None:
    table = forms.browse(opskit.Fleet.from_abra(), live=live)

    def numbers() -> dict[str, int]:
        columns = table.rows.get("columns")
        if not columns:
            return {}
        codes, values = columns["version"]["codes"], columns["version"]["values"]
        return {values[code]: table.rows["ids"][row] for row, code in enumerate(codes)}

    eventually(lambda: table.state["phase"] == "choose", "the table")
    before = numbers()
    assert before
    assert "v7" not in before
    embedded_stage.create("token_v7")
    eventually(lambda: "v7" in numbers(), "the new version")
    # Each row keeps its number: a condition's answer, which names rows by it, fits both.
    after = numbers()
    assert {version: after[version] for version in before} == before
    assert after["v7"] not in before.values()


# -- what comes at a bad moment --------------------------------------------------------------------


class Told(Live):
    """What tells when a test says so."""

    def __init__(self, facts: Facts) -> None:
        self._snapshot = opskit.Snapshot(facts)
        self.callbacks: list[Callable[[opskit.Snapshot], object]] = []
        self.meanwhile: Facts | None = None
        """What is there by the time that somebody has subscribed."""

    def subscribe(self, callback: Callable[[opskit.Snapshot], object]) -> Callable[[], None]:
        if self.meanwhile is not None:
            self._snapshot = opskit.Snapshot(self.meanwhile)
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback) if callback in self.callbacks else None

    def tell(self, facts: Facts) -> None:
        self._snapshot = opskit.Snapshot(facts)
        for one in list(self.callbacks):
            one(self._snapshot)


@pytest.fixture
def facts(use: Use, demo_fleet: DemoFleet) -> Facts:
    """Read the demo fleet."""
    use(demo_fleet)
    return opskit.Fleet.from_abra().snapshot().facts


def without(facts: Facts, *, secrets: bool = False, **declared: Any) -> Facts:
    """Return what a later look says, by default the same."""
    observed = tuple(
        replace(one, taken_at=one.taken_at + timedelta(minutes=1), secrets=())
        if secrets
        else replace(one, taken_at=one.taken_at + timedelta(minutes=1))
        for one in facts.observed
    )
    return Facts(
        taken_at=facts.taken_at + timedelta(minutes=1),
        declared=replace(facts.declared, **declared),
        observed=observed,
    )


def shows(facts: Facts) -> dict[str, Any]:
    """Return what a board shows of some facts."""
    return Cards.of(opskit.Snapshot(facts).audit(acknowledged=True)).to_json()


def test_a_board_shows_what_changed_while_it_was_made(facts: Facts) -> None:
    told = Told(facts)
    told.meanwhile = without(facts, secrets=True)
    assert shows(told.meanwhile) != shows(facts)
    assert forms.attention(opskit.Fleet.from_abra(), live=told).found == shows(told.meanwhile)


def test_what_is_told_while_a_board_reads_again_is_what_it_shows_in_the_end(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, newer = Told(facts), without(facts, secrets=True)
    board = forms.attention(opskit.Fleet.from_abra(), live=told)

    def again(*_: Any, **__: Any) -> opskit.Snapshot:
        told.tell(newer)
        return opskit.Snapshot(facts)

    monkeypatch.setattr(opskit.Fleet, "refresh", again)
    board._clicked(board, {"type": "acknowledge", "key": "nothing"}, [])
    for _ in range(2):  # until it has read, and until what it was told meanwhile is shown
        board._threads.submit(lambda: None).result()
    assert board.found == shows(newer)


def test_what_was_told_before_a_board_read_again_does_not_come_back(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, newer = Told(facts), without(facts, secrets=True)
    board = forms.attention(opskit.Fleet.from_abra(), live=told)
    monkeypatch.setattr(opskit.Fleet, "refresh", lambda *_, **__: opskit.Snapshot(newer))
    board._clicked(board, {"type": "acknowledge", "key": "nothing"}, [])
    told.callbacks[0](told.snapshot)
    board._threads.submit(lambda: None).result()
    assert board.found == shows(newer)


def test_a_fault_while_a_board_is_told_is_said_on_it(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(facts)
    board = forms.attention(opskit.Fleet.from_abra(), live=told)

    def fails(*_: Any, **__: Any) -> View:
        raise ValueError("of the audit")

    with monkeypatch.context() as patch:
        patch.setattr(opskit.Snapshot, "audit", fails)
        told.tell(facts)
        board._threads.submit(lambda: None).result()
    assert "of the audit" in board.state["error"]
    told.tell(without(facts, secrets=True))
    board._threads.submit(lambda: None).result()
    assert board.found == shows(without(facts, secrets=True))


def test_a_page_is_read_again_for_all_that_it_shows_and_for_nothing_else(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    monkeypatch.setattr(PageSession, "read", lambda self: reads.append(self.app))
    told = Told(facts)
    # That its first look is still under way makes no difference.
    forms.app(opskit.Fleet.from_abra(), GIT, live=told)
    assert len(reads) == 1
    told.tell(without(facts))
    assert len(reads) == 1

    let_be = (*facts.declared.acknowledged, ACKNOWLEDGED)
    told.tell(without(facts, acknowledged=let_be))
    assert len(reads) == 2
    told.tell(without(facts, acknowledged=let_be, unacknowledged=(("coop.example", PROBLEM),)))
    assert len(reads) == 3
    told.tell(without(facts, acknowledged=let_be))
    assert len(reads) == 4
    told.tell(without(facts, acknowledged=let_be, problems=(PROBLEM,)))
    assert len(reads) == 5
    told.tell(without(facts, acknowledged=let_be, problems=(PROBLEM,), secrets=True))
    assert len(reads) == 6
    told.tell(without(facts, acknowledged=let_be, problems=(PROBLEM,), secrets=True))
    assert len(reads) == 6


def test_a_table_is_told_of_while_a_plan_is_looked_at(facts: Facts) -> None:
    told = Told(facts)
    table = forms.browse(opskit.Fleet.from_abra(), live=told)
    eventually(lambda: table.state["phase"] == "choose", "the table")
    rows = table.rows["rows"]
    table._session.change(phase="planned")
    told.tell(without(facts, secrets=True))
    # Whoever goes back to it, or whose plan is refused, finds what is there now.
    eventually(lambda: table.rows["rows"] < rows, "fewer rows")
    assert table.state["phase"] == "planned"


@pytest.mark.parametrize(
    "make",
    [forms.attention, forms.browse, lambda fleet, live: forms.app(fleet, GIT, live=live)],
)
def test_a_form_is_told_until_it_is_closed_or_its_cell_is_run_again(
    facts: Facts, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PageSession, "read", lambda _: None)
    told, fleet = Told(facts), opskit.Fleet.from_abra()

    def made_in(cell: str, times: int) -> list[Any]:
        parent = {"metadata": {"cellId": cell}, "header": {"msg_id": str(uuid4())}}
        there = SimpleNamespace(get_parent=lambda: parent)
        with monkeypatch.context() as patch:
            patch.setattr("opskit.widgets.following.shell", lambda: there)
            return [make(fleet, live=told) for _ in range(times)]

    made_in("one", 2)
    other = made_in("other", 1)
    assert len(told.callbacks) == 3
    made_in("one", 1)
    assert len(told.callbacks) == 2
    other[0].close()
    assert len(told.callbacks) == 1
    outside = make(fleet, live=told)
    make(fleet, live=told)
    assert len(told.callbacks) == 3
    outside.close()
    assert len(told.callbacks) == 2


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{"with_pass": True}, {"snapshot": "its own"}])
def test_a_live_board_shows_nothing_but_what_it_watches(live: Live, more: dict[str, Any]) -> None:
    if "snapshot" in more:
        more = {"snapshot": live.snapshot}
    with pytest.raises(InputError, match="nothing but what it watches"):
        forms.attention(opskit.Fleet.from_abra(), live=live, **more)


def test_what_is_no_watch_is_refused(live: Live) -> None:
    with pytest.raises(InputError, match="live is a Snapshot"):
        forms.app(opskit.Fleet.from_abra(), APP, live=live.snapshot)  # type: ignore[arg-type]
