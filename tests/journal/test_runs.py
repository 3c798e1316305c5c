"""The journal: what it remembers, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opskit.errors import InputError, JournalError
from opskit.journal.runs import Journal, new_run_id
from tests.journal.journalling import RUN, begin, done, intent

CANARY = "correct horse battery staple"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as journal:
        yield journal


# -- runs and steps -----------------------------------------------------------------------


def test_a_run_is_remembered_with_its_plan_byte_for_byte(journal: Journal) -> None:
    plan = '{ "units": ["é", 1] }\n'.encode()
    begin(journal, plan=plan)
    journal.finish(RUN, "done")
    run = journal.run(RUN)
    assert run.plan == plan
    assert (run.kind, run.actor, run.host, run.status) == ("rotate", "alice", "desk", "done")
    assert run.finished_at is not None
    assert run.started_at <= run.finished_at


def test_a_plan_that_names_what_is_no_app_names_none(journal: Journal) -> None:
    begin(journal, plan=b'{"units": [{"app": 7, "changes": [{"secret": [1]}]}, {"app": "wiki"}]}')
    (record,) = journal.runs_frame().records()
    assert record.apps == "wiki"


def test_a_step_is_one_row_from_intent_to_outcome(journal: Journal) -> None:
    begin(journal)
    intent(journal)
    (before,) = journal.steps(RUN)
    assert (before.status, before.finished_at, before.result) == ("running", None, {})
    done(journal)
    (after,) = journal.steps(RUN)
    assert (after.status, after.detail, after.result) == ("done", {"length": 32}, {"id": "abc"})
    assert after.finished_at is not None


def test_doing_and_undoing_a_step_are_two_rows(journal: Journal) -> None:
    begin(journal)
    for phase in ("do", "undo"):
        intent(journal, phase=phase)
        done(journal, phase=phase)
    assert [step.phase for step in journal.steps(RUN)] == ["do", "undo"]


def test_a_step_begun_again_counts_its_attempts_and_forgets_the_error(journal: Journal) -> None:
    begin(journal)
    intent(journal)
    journal.outcome(RUN, 0, 0, "do", status="failed", detail={}, error="no answer")
    assert journal.steps(RUN)[0].error == "no answer"
    intent(journal)
    (step,) = journal.steps(RUN)
    assert (step.attempt, step.status, step.error) == (2, "running", "")


def test_a_step_that_is_done_is_not_begun_again(journal: Journal) -> None:
    begin(journal)
    intent(journal)
    done(journal)
    with pytest.raises(JournalError, match="taken already"):
        intent(journal)
    assert journal.steps(RUN)[0].status == "done"


def test_an_outcome_needs_an_intent(journal: Journal) -> None:
    begin(journal)
    with pytest.raises(JournalError, match="was not begun"):
        done(journal)


def test_an_intent_needs_a_run(journal: Journal) -> None:
    with pytest.raises(JournalError):
        intent(journal)
    assert journal.steps_frame().empty


def test_a_run_begins_once(journal: Journal) -> None:
    begin(journal)
    journal.finish(RUN, "done")
    with pytest.raises(JournalError):
        begin(journal)
    assert journal.run(RUN).status == "done"


def test_it_tells_what_was_begun_and_what_is_done(journal: Journal) -> None:
    begin(journal)
    intent(journal, 0)
    done(journal, 0)
    intent(journal, 1)
    assert journal.begun(RUN, 0) == {0, 1}
    assert journal.is_done(RUN, 0, 0, "do")
    assert not journal.is_done(RUN, 0, 1, "do")


def test_a_skipped_step_needs_not_be_taken_again(journal: Journal) -> None:
    begin(journal)
    intent(journal)
    journal.outcome(RUN, 0, 0, "do", status="skipped", detail={})
    assert journal.is_done(RUN, 0, 0, "do")


def test_notes_and_approvals_say_who_and_when(journal: Journal) -> None:
    begin(journal)
    journal.note(RUN, "the provider confirmed", "Bob")
    journal.approve("d1", "Carol", "jupyter")
    assert [(note.text, note.identity) for note in journal.notes(RUN)] == [
        ("the provider confirmed", "Bob")
    ]
    (approval,) = journal.approvals("d1")
    assert (approval.identity, approval.claimed_source) == ("Carol", "jupyter")
    assert journal.approvals("d2") == []


# -- ids ----------------------------------------------------------------------------------


def test_ids_are_unique_and_sort_by_time() -> None:
    # Of one second at the worst: so few that chance all but never makes two alike.
    ids = [new_run_id() for _ in range(30)]
    assert len(set(ids)) == len(ids)
    assert [run[:15] for run in ids] == sorted(run[:15] for run in ids)


def test_the_beginning_of_an_id_is_enough(journal: Journal) -> None:
    begin(journal, "20260101-120000-aaaaaa")
    begin(journal, "20260102-120000-bbbbbb")
    assert journal.run("20260102").run == "20260102-120000-bbbbbb"


def test_a_whole_id_fits_itself_though_it_begins_another(journal: Journal) -> None:
    begin(journal, "20260101")
    begin(journal, "20260101-2")
    assert journal.run("20260101").run == "20260101"


@pytest.mark.parametrize("wanted", ["2025", "", "%", "_", "20260101-120000-aaaaaa "])
def test_an_unknown_id_is_said_to_be_unknown(journal: Journal, wanted: str) -> None:
    begin(journal)
    with pytest.raises(InputError, match=r"there is no run .* opskit journal"):
        journal.run(wanted)


def test_an_ambiguous_id_names_runs_it_fits(journal: Journal) -> None:
    begin(journal, "20260101-120000-aaaaaa")
    begin(journal, "20260101-130000-bbbbbb")
    with pytest.raises(InputError, match="20260101-120000-aaaaaa, 20260101-130000-bbbbbb"):
        journal.run("20260101")


# -- no values ----------------------------------------------------------------------------


def test_every_text_is_redacted_before_it_reaches_the_disk(path: Path) -> None:
    with Journal(path, redact=lambda text: text.replace(CANARY, "•••")) as journal:
        journal.begin(
            run=RUN,
            kind=CANARY,
            plan_digest=CANARY,
            plan=b"{}",
            actor=CANARY,
            host=CANARY,
            pid=1,
            identity=CANARY,
            tool_version=CANARY,
        )
        journal.intent(
            RUN,
            0,
            0,
            "do",
            action=CANARY,
            server=CANARY,
            app=CANARY,
            stack=CANARY,
            subject=CANARY,
            detail={"why": CANARY},
        )
        journal.outcome(
            RUN, 0, 0, "do", status="failed", detail={"x": f"<{CANARY}>"}, error=f"no: {CANARY}"
        )
        journal.note(RUN, CANARY, CANARY)
        journal.approve(CANARY, CANARY, CANARY)
        # Read while it is open: nothing may hide in the write-ahead log either.
        assert [file for file in path.parent.glob("journal*") if holds(file, CANARY)] == []
        assert journal.steps(RUN)[0].error == "no: •••"


def holds(file: Path, text: str) -> bool:
    return file.is_file() and text.encode() in file.read_bytes()


@pytest.mark.parametrize("value", [b"bytes", ["list"], {"a": 1}, object()])
def test_details_are_plain_facts(journal: Journal, value: object) -> None:
    begin(journal)
    with pytest.raises(TypeError, match="'bad'"):
        journal.intent(
            RUN,
            0,
            0,
            "do",
            action="create",
            server="s",
            app="a",
            stack="a",
            subject="x",
            detail={"bad": value},  # type: ignore[dict-item]
        )
    assert journal.steps(RUN) == []


def test_a_file_name_that_is_not_utf_8_is_written_readably(journal: Journal) -> None:
    begin(journal)
    journal.note(RUN, os.fsdecode(b"/srv/caf\xe9.env"), "")
    assert journal.notes(RUN)[0].text == "/srv/caf\\udce9.env"


# -- tables -------------------------------------------------------------------------------


def test_frames_have_arrow_strings_utc_times_and_seconds(journal: Journal) -> None:
    begin(journal)
    intent(journal, 0)
    done(journal, 0)
    intent(journal, 1)
    steps = journal.steps_frame()
    assert list(steps["status"]) == ["done", "running"]
    assert str(steps["started_at"].dtype) == "datetime64[ns, UTC]"
    assert steps["subject"].dtype.storage == "pyarrow"
    assert steps["seconds"][0] >= 0
    assert steps["seconds"].isna().tolist() == [False, True]


def test_the_table_of_runs_shows_whom_the_operator_claims_to_be(journal: Journal) -> None:
    begin(journal)
    (record,) = journal.runs_frame().records()
    assert record.identity
    assert record.identity in repr(journal.runs_frame())


def test_frames_of_no_journal_are_empty_and_make_no_file(journal: Journal, path: Path) -> None:
    for frame in (journal.runs_frame(), journal.steps_frame()):
        assert frame.empty
        assert str(frame["started_at"].dtype) == "datetime64[ns, UTC]"
        assert frame["status"].dtype.storage == "pyarrow"
    assert not path.parent.exists()


def test_runs_count_their_steps_and_failures(journal: Journal) -> None:
    begin(journal)
    intent(journal, 0)
    done(journal, 0)
    intent(journal, 1)
    journal.outcome(RUN, 0, 1, "do", status="failed", detail={}, error="no")
    journal.finish(RUN, "failed")
    (row,) = journal.runs_frame().records()
    assert (row.steps, row.failed, row.status) == (2, 1, "failed")


def test_the_steps_of_one_run_can_be_asked_for(journal: Journal) -> None:
    for run in ("20260101-1", "20260102-1"):
        begin(journal, run)
        intent(journal, run=run)
    assert list(journal.steps_frame("20260102")["run"]) == ["20260102-1"]
