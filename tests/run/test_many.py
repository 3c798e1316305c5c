"""Several stacks in one run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import opskit
from opskit.demo.fleet import DemoFleet
from opskit.errors import StepError
from opskit.journal.runs import open_journal
from opskit.run.work import Progressed
from opskit.steps import Probe, lock
from opskit.swarm.context import find_context
from opskit.swarm.engine import Engine
from tests.stage import hurry_probes
from tests.waiting import LIMIT

CHOSEN = [
    ("mutual.example", "matrix.mutual.example", "macaroon"),
    ("workshop.example", "pads.workshop.example", "session"),
]


@pytest.fixture
def fleet(use: Callable[[DemoFleet], Path], own_fleet: DemoFleet) -> opskit.Fleet:
    use(own_fleet)
    return opskit.Fleet.from_abra()


@pytest.fixture
def interrupted() -> Iterator[threading.Event]:
    """Tell when Ctrl-C has reached the main thread."""
    seen = threading.Event()

    def interrupt(*_: object) -> None:
        seen.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    yield seen
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "status"), [("resume", "done"), ("rollback", "rolled-back")])
def test_a_run_stopped_between_two_stacks_is_unfinished_though_no_step_was_cut_short(
    fleet: opskit.Fleet, interrupted: threading.Event, ending: str, status: str
) -> None:
    plan = fleet.plan_rotate(CHOSEN, opskit.Options(stable=0.1))

    def press_ctrl_c_at_the_last_step(step: Progressed) -> None:
        if (step.unit, step.action, step.status) == (0, "release-lock", "running"):
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupted.wait(LIMIT)

    run = plan.apply(max_parallel=1, on_progress=press_ctrl_c_at_the_last_step)

    assert run.status == "interrupted"
    assert run.stacks == {"done": 1, "skipped": 1}
    assert getattr(fleet, ending)().status == status


@pytest.mark.slow
def test_ctrl_c_while_threads_are_started_leaves_none_at_work(
    fleet: opskit.Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = fleet.plan_rotate(CHOSEN, opskit.Options(stable=0.1))
    start, made = threading.Thread.start, list[threading.Thread]()

    def pressed(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("opskit-apply"):
            made.append(thread)
            raise KeyboardInterrupt

    told: list[Progressed] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", pressed)
        run = plan.apply(max_parallel=1, on_progress=told.append)
    assert run.status == "interrupted"
    (thread,) = made
    thread.join(LIMIT)
    assert told == []
    assert fleet.resume().status == "done"


@pytest.mark.slow
def test_whoever_looks_on_is_told_of_a_stack_that_stops_between_two_steps(
    fleet: opskit.Fleet, interrupted: threading.Event
) -> None:
    plan = fleet.plan_rotate(CHOSEN, opskit.Options(stable=0.1))
    told: list[Progressed] = []

    def press_ctrl_c_in_the_first_step(step: Progressed) -> None:
        told.append(step)
        if (step.unit, step.step, step.status) == (0, 0, "running"):
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupted.wait(LIMIT)

    plan.apply(max_parallel=1, on_progress=press_ctrl_c_in_the_first_step)

    assert [(step.step, step.status) for step in told] == [
        (0, "running"), (0, "done"), (1, "failed"),
    ]  # fmt: skip
    assert told[-1].error == "not begun: the run was interrupted."


@pytest.mark.slow
def test_what_the_settings_say_holds_in_python_too(
    fleet: opskit.Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "opskit").mkdir()
    (tmp_path / "opskit" / "config.toml").write_text("deadline = 7\nkeep = 0\nmax_parallel = 1\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    units: list[int] = []

    fleet.plan_rotate(CHOSEN, opskit.Options(stable=0)).apply(
        on_progress=lambda step: units.append(step.unit)
    )
    removed = [len(fleet.plan_prune(keep=keep).changes) for keep in (None, 0, 1)]

    assert opskit.Fleet.from_abra().deadline == 7
    assert opskit.Fleet.from_abra(deadline=3).deadline == 3
    assert units == sorted(units)
    assert removed[0] == removed[1] > removed[2]


@pytest.mark.slow
def test_a_stack_that_was_never_begun_is_not_begun_by_resuming_a_run_that_went_back(
    fleet: opskit.Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry_probes(monkeypatch)
    bad = opskit.Options(stable=0.1, probe=Probe(kind="command", target=("false",)))
    run = fleet.plan_rotate(CHOSEN, bad).apply(max_parallel=1)
    assert (run.status, run.stacks) == ("rolled-back", {"rolled-back": 1, "skipped": 1})

    again = fleet.resume(run.id)

    assert (again.status, again.stacks) == (run.status, run.stacks)
    with open_journal() as journal:
        assert journal.begun(run.id, 1) == frozenset()


@pytest.mark.slow
def test_a_rollback_that_is_kept_out_names_nothing_of_stacks_that_it_did_not_come_to(
    fleet: opskit.Fleet,
) -> None:
    run = fleet.plan_rotate(CHOSEN, opskit.Options(stable=0)).apply().raise_for_status()
    server, stack = "mutual.example", "matrix_mutual_example"
    lock.take(Engine(find_context(server)), stack, run="another", owner="kim", host="laptop")
    with pytest.raises(StepError, match=r"nothing was changed: .* break-lock .*matrix") as refused:
        fleet.rollback(run.id, max_parallel=1)
    assert not str(refused.value).endswith("; ")
