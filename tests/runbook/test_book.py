"""A runbook's record: what it holds, how it goes on in another kernel, and what ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import opskit
from opskit.errors import InputError, JournalError, LockHeldError, RunbookError
from opskit.journal.runbooks import _HELD
from opskit.secrets.value import Secret
from opskit.widgets.person import Person
from tests.stage import APP, QUICK, SERVER, Stage, staged
from tests.waiting import LIMIT

ADA = Person(username="ada", name="Ada")
BEN = Person(username="ben", name="Ben")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A journal of its own."""
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(tmp_path / "state"))
    yield tmp_path
    another_kernel()


def another_kernel() -> None:
    """Let go of every book, as the end of a process does."""
    for locks in _HELD.values():
        locks.drop_all()


def statuses(rb: opskit.Runbook) -> dict[str, str]:
    return dict(zip(rb.steps["step"], rb.steps["status"], strict=True))


def test_steps_are_written_down_with_outcome_person_and_time() -> None:
    rb = opskit.Runbook("A leak", who="Ada")
    with rb.step("Revoke"):
        assert statuses(rb) == {"Revoke": "running"}
    with pytest.raises(ZeroDivisionError), rb.step("Rotate"):
        _ = 1 / 0
    assert statuses(rb) == {"Revoke": "done", "Rotate": "failed"}
    assert set(rb.steps["who"]) == {"Ada"}
    assert (rb.steps["seconds"] >= 0).all()


def test_a_step_that_fails_says_how_to_go_on() -> None:
    rb = opskit.Runbook("A leak")
    with pytest.raises(ZeroDivisionError) as caught, rb.step("Rotate"):
        _ = 1 / 0
    (note,) = caught.value.__notes__
    assert "'Rotate'" in note
    assert rb.id in note
    assert "run this cell again" in note


def test_a_step_that_is_stopped_by_hand_is_interrupted_and_can_be_done_again() -> None:
    rb = opskit.Runbook("A leak")
    with pytest.raises(KeyboardInterrupt), rb.step("Rotate"):
        raise KeyboardInterrupt
    assert statuses(rb) == {"Rotate": "interrupted"}
    with rb.step("Rotate"):
        pass
    assert statuses(rb) == {"Rotate": "done"}


def test_a_finished_step_is_not_done_again_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    rb = opskit.Runbook("A leak")
    with rb.step("Revoke"):
        pass
    with pytest.raises(RunbookError, match=r"done by .* rerun=True"), rb.step("Revoke"):
        raise AssertionError("its body was carried out")
    with rb.step("Revoke", rerun=True):
        print("carried out")
    with rb.step("Look", repeat=True):
        pass
    with rb.step("Look", repeat=True):
        print("looked again")
    assert capsys.readouterr().out == "carried out\nlooked again\n"


def test_another_kernel_goes_on_where_the_first_one_stopped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = opskit.Runbook("A leak")
    with first.step("Revoke"):
        pass
    with pytest.raises(ZeroDivisionError), first.step("Rotate"):
        _ = 1 / 0
    another_kernel()
    second = opskit.Runbook("A leak")
    assert second.id == first.id
    assert "finished are Revoke" in capsys.readouterr().out
    assert not second.step("Revoke").due
    assert second.step("Rotate").due


@pytest.mark.slow
def test_a_killed_kernel_leaves_a_step_that_another_one_can_do(state: Path) -> None:
    code = (
        "import opskit, os, signal\n"
        "rb = opskit.Runbook('A leak')\n"
        "with rb.step('Revoke'): rb.note('revoked')\n"
        "with rb.step('Rotate'): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    rb = opskit.Runbook("A leak")
    assert statuses(rb) == {"Revoke": "done", "Rotate": "interrupted"}
    with rb.step("Rotate"):
        pass
    rb.finish()


@pytest.mark.slow
def test_two_kernels_do_not_carry_out_one_book_at_once() -> None:
    code = (
        "import opskit, sys\n"
        "rb = opskit.Runbook('A leak')\n"
        "print(rb.id, flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    theirs = other.stdout.readline().strip()
    try:
        with pytest.raises(LockHeldError, match=f"{theirs}.*process {other.pid}.*fresh=True"):
            opskit.Runbook("A leak")
        assert opskit.Runbook("A leak", fresh=True).id != theirs
    finally:
        other.communicate()


def test_a_fresh_book_leaves_an_abandoned_one_behind() -> None:
    first = opskit.Runbook("Nightly")
    with pytest.raises(RunbookError):
        first.check("all is well", False)
    second = opskit.Runbook("Nightly", fresh=True)
    assert second.id != first.id
    assert first._log.record.status == "abandoned"
    another_kernel()
    assert opskit.Runbook("Nightly").id == second.id


def test_a_finished_book_is_not_gone_on_with() -> None:
    first = opskit.Runbook("A leak")
    with first.step("Revoke"):
        pass
    assert first.finish()._log.record.status == "done"
    assert opskit.Runbook("A leak").id != first.id


def test_what_failed_in_the_end_fails_the_book() -> None:
    rb = opskit.Runbook("A leak")
    with rb.step("Verify"):
        assert not rb.check("the old key is refused", False, "it still works", stop=False)
        rb.check("the app answers", False, stop=False)
        assert rb.check("the app answers", True)
    with pytest.raises(RunbookError, match="the check 'the old key is refused' failed"):
        rb.finish()
    assert rb._log.record.status == "failed"


def test_the_same_note_counts_once() -> None:
    rb = opskit.Runbook("A leak")
    for _ in range(2):
        rb.note("revoked at the provider", who="Ada")
    rb.note("their ticket is 4711", who="Ben")
    assert rb.timeline()["who"].tolist() == ["Ada", "Ben"]


def test_steps_do_not_begin_inside_of_each_other() -> None:
    rb = opskit.Runbook("A leak")
    with rb.step("One"), pytest.raises(InputError, match=r"'Two' begins inside of 'One'"):
        rb.step("Two")


def test_a_decision_is_made_once_and_kept() -> None:
    rb = opskit.Runbook("A leak")
    when = rb.decision("Now or tonight?", ["now", "tonight"])
    with pytest.raises(RunbookError, match=r"nobody has decided yet: Now or tonight\?"):
        _ = when.choice
    with pytest.raises(InputError, match="Choose from: now, tonight"):
        when.decide("tomorrow", ADA)
    when.decide("tonight", ADA)
    when.decide("now", BEN)
    assert when.choice == "tonight"
    another_kernel()
    again = opskit.Runbook("A leak").decision("Now or tonight?", ["now", "tonight"])
    assert (again.made, again.choice) == (True, "tonight")
    assert repr(again) == "Now or tonight? tonight (Ada)"


def test_an_answer_is_given_where_nobody_can_be_asked() -> None:
    rb = opskit.Runbook("Nightly")
    assert rb.decision("Now?", ["yes", "no"], answer="no").choice == "no"
    with pytest.raises(InputError, match="'perhaps' does not answer"):
        rb.decision("Sure?", ["yes", "no"], answer="perhaps")


def test_a_runbook_keeps_tables_and_nothing_strange() -> None:
    rb = opskit.Runbook("A leak")
    rb.keep(pd.DataFrame({"a": range(600), "b": None}), "Many")
    (entry,) = rb._log.entries
    assert len(entry.data["table"]["rows"]) == 500
    assert entry.data["table"]["caption"] == "600 rows · 100 more are not kept"
    grouped = pd.DataFrame({"recipe": ["a", "a"], "n": [1, 2]}).groupby("recipe").agg(["sum"])
    twice = pd.DataFrame([[1, 2]], columns=["x", "x"])
    for odd, columns, row in (
        (grouped, ["recipe", "n sum"], ["a", "3"]),
        (twice, ["x", "x"], ["1", "2"]),
        (pd.DataFrame({"a": []}), ["a"], None),
        (pd.DataFrame(), [], None),
        (pd.DataFrame({0: [7]}), ["0"], ["7"]),
    ):
        rb.keep(odd, "Odd")
        data = rb._log.entries[-1].data["table"]
        assert data["columns"] == columns
        assert data["rows"] == ([row] if row else [])
    with pytest.raises(InputError, match="cannot keep a dict"):
        rb.keep({})


@pytest.mark.slow
def test_runs_of_a_step_belong_to_it(
    state: Path, embedded_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in staged(state / "stage", embedded_host, monkeypatch):
        assert isinstance(stage, Stage)
        stage.set_up()
        rb = opskit.Runbook("A leak")
        with rb.step("Rotate"):
            plan = opskit.Fleet.from_abra().plan_rotate(
                [(SERVER, APP, "token")], opskit.Options(stable=0, timeout=LIMIT)
            )
            rb.keep(plan)
            run = plan.apply()
        kinds = [(one.kind, one.step, one.data.get("run")) for one in rb._log.entries]
        assert kinds == [
            ("step", "Rotate", None),
            ("plan", "Rotate", None),
            ("run", "Rotate", run.id),
        ]
        with rb.step("Rotate again"):
            again = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], QUICK).apply()
            rb.keep(again)
        assert [one.data["run"] for one in rb._log.entries_of("run")] == [run.id, again.id]
        report = rb.report(state / "report.html").read_text()
        assert run.id in report
        assert "switch-service" in report


def test_a_value_that_gets_into_words_is_masked_in_journal_and_report(state: Path) -> None:
    canary = "canary-of-the-runbook-7c1f"
    _secret = Secret(canary)
    rb = opskit.Runbook("A leak")
    rb.note(f"somebody pasted {canary} here")
    rb.keep(pd.DataFrame({"said": [canary]}), canary)
    rb.check("x", True, canary)
    with pytest.raises(ValueError), rb.step("Rotate"):
        raise ValueError(canary)
    for suffix in (".html", ".md"):
        assert canary not in rb.report(state / f"report{suffix}").read_text()
    for path in (state / "state").rglob("*"):
        assert path.is_dir() or canary.encode() not in path.read_bytes()


def test_a_title_used_twice_in_one_cell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opskit.runbook.step.current_cell", lambda: 7)
    rb = opskit.Runbook("A leak")
    with rb.step("Restart server"):
        pass
    with pytest.raises(InputError, match=r"a moment ago in this cell\. Give each its own title"):
        rb.step("Restart server")
    monkeypatch.setattr("opskit.runbook.step.current_cell", lambda: 8)
    assert not rb.step("Restart server").due


@pytest.mark.parametrize("title", ["", "  ", 7, None, "x" * 400])
def test_a_title_is_a_short_text(title: Any) -> None:
    with pytest.raises(InputError):
        opskit.Runbook(title)
    rb = opskit.Runbook("A leak")
    with pytest.raises(InputError):
        rb.step(title)
    with rb.step("Revoke"):
        rb.note("still usable")


class BrokenError(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_an_error_that_cannot_be_said_ends_its_step_all_the_same() -> None:
    rb = opskit.Runbook("A leak")
    with pytest.raises(BrokenError), rb.step("Rotate"):
        raise BrokenError
    assert statuses(rb) == {"Rotate": "failed"}


def test_a_journal_that_fails_once_leaves_the_runbook_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rb = opskit.Runbook("A leak")

    def full(*_: object) -> None:
        raise JournalError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(rb._log, "_write", full)
        with pytest.raises(JournalError), rb.step("Rotate"):
            raise AssertionError("it was carried out without a record")
    with rb.step("Rotate"):
        pass


@pytest.mark.parametrize("odd", [lambda: False, float("nan"), pd.DataFrame({"a": [1]}), pd.NA])
def test_a_check_takes_a_truth_and_nothing_else(odd: Any) -> None:
    with pytest.raises(InputError, match="neither true nor false"):
        opskit.Runbook("A leak").check("all is well", odd)


def test_what_nobody_signed_or_decided_is_noted_at_the_end() -> None:
    rb = opskit.Runbook("A leak")
    rb.decision("Now or tonight?", ["now", "tonight"])
    signing = rb.sign_off(needed=3)
    signing.sign(ADA)
    signing.sign(ADA)
    assert signing.signed_by == ["Ada (ada)"]
    rb.finish()
    notes = rb.timeline().query("kind == 'note'")["text"].tolist()
    assert notes == [
        "Open at the end: nobody has answered: Now or tonight?",
        "Open at the end: 2 more people are to sign: I have read this record.",
    ]
    with pytest.raises(RunbookError, match="is finished: make it anew"):
        rb.step("After")


def test_a_decision_is_not_turned_by_another_answer() -> None:
    rb = opskit.Runbook("A leak")
    rb.decision("Now?", ["yes", "no"], answer="yes")
    with pytest.raises(InputError, match="was answered already: yes"):
        rb.decision("Now?", ["yes", "no"], answer="no")
    with pytest.raises(InputError, match="Give a list"):
        rb.decision("Now?", "yes")


def test_a_step_may_fail_and_let_the_book_end_with_its_report(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rb = opskit.Runbook("Nightly")
    with rb.step("Judge", stop=False):
        raise RunbookError("3 findings are of severity high.")
    with pytest.raises(RunbookError, match=r"'Judge' failed \(RunbookError: 3 findings are of"):
        rb.finish(report=state / "report.html")
    assert "✗ Judge: RunbookError: 3 findings" in capsys.readouterr().out
    assert rb._log.record.status == "failed"
    text = (state / "report.html").read_text()
    for said in ("<dd>failed</dd>", "Judge", "3 findings are of severity high."):
        assert said in text


def test_an_interrupt_stops_a_step_that_may_fail() -> None:
    rb = opskit.Runbook("Nightly")
    with pytest.raises(KeyboardInterrupt), rb.step("Judge", stop=False):
        raise KeyboardInterrupt
    assert statuses(rb) == {"Judge": "interrupted"}


def test_an_end_whose_report_cannot_be_written_is_still_the_end(state: Path) -> None:
    rb = opskit.Runbook("Nightly")
    with pytest.raises(InputError):
        rb.finish(report=state / "report.pdf")
    assert rb._log.record.status == "done"


def test_a_report_says_what_is_open_and_has_it_when_it_is_written_again(state: Path) -> None:
    rb = opskit.Runbook("A leak")
    asked = rb.decision("Now or tonight?", ["now", "tonight"])
    signing = rb.sign_off(needed=1)
    for suffix in (".html", ".md"):
        text = rb.report(state / f"early{suffix}").read_text()
        for said in ("not finished yet", "Still open", "nobody has answered: Now or tonight?",
                     "one more person is to sign: I have read this record."):  # fmt: skip
            assert said in text, said
    rb.finish(report=state / "report.html")
    assert "Still open" in (state / "report.html").read_text()
    asked.decide("now", ADA)
    signing.sign(BEN)
    for suffix in (".html", ".md"):
        rb.finish(report=state / f"report{suffix}")
        text = (state / f"report{suffix}").read_text()
        assert "Still open" not in text
        assert "not finished yet" not in text
        assert "Ben (ben)" in text
