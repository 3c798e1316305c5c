"""How far a run is, for whoever waits for it in a cell: applied, resumed and undone alike."""

from __future__ import annotations

import pytest

import opskit
from opskit.progress import NoProgress
from tests.run.killing import apply_in_a_process
from tests.stage import APP, QUICK, SERVER, Stage

pytestmark = pytest.mark.slow


class Bar(NoProgress):
    """Notes what a bar would show."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.counted = title, total, list[str]()

    def advance(self, what: str) -> None:
        self.counted.append(what)


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    """Return the bars that were shown, in order."""
    shown: list[Bar] = []

    def show(title: str, total: int) -> Bar:
        shown.append(Bar(title, total))
        return shown[-1]

    monkeypatch.setattr("opskit.run.shown.default_progress", show)
    return shown


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    embedded_stage.set_up()
    return embedded_stage


def test_a_plan_and_its_way_back_count_every_step_that_does_something(
    stage: Stage, bars: list[Bar]
) -> None:
    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_rotate([(SERVER, APP, "token")], QUICK).apply().raise_for_status()
    assert fleet.rollback(run.id).status == "rolled-back"
    forth, back = bars

    assert (forth.title, back.title) == ("rotate:", "rotate, undone:")
    assert len(forth.counted) == forth.total > 4
    assert len(back.counted) == back.total > 4
    assert all(what.startswith(f"{APP}: undo ") for what in back.counted)


def test_a_run_that_is_resumed_counts_what_is_left_of_it(stage: Stage, bars: list[Bar]) -> None:
    assert apply_in_a_process(stage.env, "rotate", 15)
    assert opskit.Fleet.from_abra().resume().status == "done"
    (left,) = bars
    fleet = opskit.Fleet.from_abra()
    fleet.plan_rotate([(SERVER, APP, "token")], QUICK).apply().raise_for_status()

    assert left.title == "rotate, resumed:"
    assert 0 < len(left.counted) == left.total < bars[1].total


def test_whoever_asks_to_be_told_sees_no_bar(stage: Stage, bars: list[Bar]) -> None:
    fleet = opskit.Fleet.from_abra()
    run = fleet.plan_rotate([(SERVER, APP, "token")], QUICK).apply(on_progress=lambda _step: None)
    fleet.rollback(run.id, on_progress=lambda _step: None)
    assert bars == []
