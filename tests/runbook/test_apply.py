"""A runbook carries out a plan once somebody says so: for exactly it, here, and in time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

import opskit
from opskit.errors import InputError, OpskitError, RunbookError, StalePlanError, UndecidedError
from opskit.journal.runbooks import _HELD
from opskit.runbook.approval import APPLY, LEAVE
from opskit.widgets.person import Person
from tests.stage import APP, BAD, QUICK, Stage

pytestmark = pytest.mark.slow

ADA = Person(username="ada", name="Ada")
BEN = Person(username="ben", name="Ben")
TITLE = "Rotate the token"


@pytest.fixture
def shop(embedded_stage: Stage) -> Iterator[Stage]:
    """An app on an embedded engine, and a journal of its own."""
    embedded_stage.set_up()
    yield embedded_stage
    another_kernel()


def another_kernel() -> None:
    """Let go of every book, as the end of a process does."""
    for locks in _HELD.values():
        locks.drop_all()


def rotation(name: str = "token") -> opskit.Plan:
    return opskit.Fleet.from_abra().plan_rotate(APP, name, QUICK)


def click(rb: opskit.Runbook, step: str, choice: str = APPLY, who: Person = ADA) -> None:
    rb._questions[f"plan {step}"].decide(choice, who)  # type: ignore[union-attr, call-arg]


def applied(rb: opskit.Runbook, plan: opskit.Plan | None, step: str, **more: object) -> bool:
    """Run the cell of a step; tell whether the plan was carried out."""
    return rb.apply(plan, step, **more) is not None  # type: ignore[arg-type]


def asks(rb: opskit.Runbook, plan: opskit.Plan, step: str, **more: object) -> None:
    before = runs()
    with pytest.raises(UndecidedError, match=f"^{step}: the cells below wait until"):
        applied(rb, plan, step, **more)
    assert runs() == before


def runs() -> list[str]:
    return opskit.Fleet.from_abra().journal()["run"].tolist()


def statuses(rb: opskit.Runbook) -> dict[str, str]:
    return dict(zip(rb.steps["step"], rb.steps["status"], strict=True))


def asked(rb: opskit.Runbook, step: str) -> str:
    return rb._questions[f"plan {step}"].text  # type: ignore[union-attr]


def test_a_plan_waits_for_a_yes_and_is_carried_out_once(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    asks(rb, plan, "Rotate")
    assert f"Plan {plan.digest[:12]}. Restarts shop.example " in asked(rb, "Rotate")
    click(rb, "Rotate")
    assert applied(rb, plan, "Rotate")
    assert "SECRET_TOKEN_VERSION='v2'" in shop.env_file.read_text()
    assert statuses(rb) == {"Rotate": "done"}

    assert not applied(rb, plan, "Rotate")
    assert not applied(rb, rotation(), "Rotate")
    assert "is another one than was applied: it is not applied" in capsys.readouterr().out
    (decision,) = rb._log.entries_of("decision")
    assert decision.data["digest"] == plan.digest
    assert (decision.step, decision.identity) == ("Rotate", "Ada (ada)")
    assert opskit.Fleet.from_abra().journal()["identity"].tolist() == ["Ada (ada)"]


def test_a_yes_counts_in_the_next_kernel_for_the_plan_it_was_given_for(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    asks(rb, plan, "Rotate")
    click(rb, "Rotate")
    # Somebody rotates it by other means before the cell is run again.
    rotation().apply().raise_for_status()
    with pytest.raises(StalePlanError):
        applied(rb, plan, "Rotate")
    assert statuses(rb) == {"Rotate": "failed"}
    another_kernel()

    rb, other = opskit.Runbook(TITLE), rotation()
    asks(rb, other, "Rotate")
    said = capsys.readouterr().out
    assert f"Ada answered 'Apply this plan' for plan {plan.digest[:12]}. " in said
    assert f"This is another plan, {other.digest[:12]}: that answer does not count." in said
    click(rb, "Rotate")
    another_kernel()
    assert applied(opskit.Runbook(TITLE), rotation(), "Rotate")
    assert "SECRET_TOKEN_VERSION='v3'" in shop.env_file.read_text()


def test_a_yes_counts_only_after_the_step_it_follows(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    rb, token, key = opskit.Runbook(TITLE), rotation(), rotation("key")
    assert not applied(rb, key, "The rest", after="First")
    assert "The rest is left out, as 'First' is not done." in capsys.readouterr().out
    assert "plan The rest" not in rb._questions

    asks(rb, token, "First")
    click(rb, "First")
    assert applied(rb, token, "First")
    key = rotation("key")
    asks(rb, key, "The rest", after="First")
    click(rb, "The rest")
    with rb.step("First", rerun=True):
        """What was looked at is not what there is now."""
    asks(rb, key, "The rest", after="First")
    click(rb, "The rest")
    assert applied(rb, key, "The rest", after="First")


def test_whoever_cannot_click_names_the_plan_they_read(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    token = rotation()
    rb = opskit.Runbook(TITLE, approved=[token.digest[:12]])
    assert applied(rb, token, "First")
    (decision,) = rb._log.entries_of("decision")
    assert (decision.data["choice"], decision.data["source"]) == (APPLY, "a parameter")
    # As if the second plan had been known and named before: nobody can have looked at the first.
    key = rotation("key")
    rb._approved = (key.digest,)
    asks(rb, key, "The rest", after="First")
    assert "was approved before the step that it follows was done" in capsys.readouterr().out
    assert applied(
        opskit.Runbook(TITLE, approved=[key.digest[:12]]), key, "The rest", after="First"
    )
    with pytest.raises(InputError, match="'05e8' is no plan that somebody has read"):
        opskit.Runbook(TITLE, approved=["05e8"])


def generation(shop: Stage, options: opskit.Options | None = None) -> opskit.Plan:
    """Plan a secret that is declared and missing: undone, it is the same plan once more."""
    if b"EXTRA" not in shop.env_file.read_bytes():
        shop.env_file.write_bytes(b"SECRET_EXTRA_VERSION=v1\n" + shop.env_file.read_bytes())
        compose = shop.root / "abra" / "recipes" / "shop" / "compose.yml"
        extra = '  extra: {external: true, name: "${STACK_NAME}_extra_${SECRET_EXTRA_VERSION}"}\n'
        compose.write_text(
            compose.read_text().replace("x, secrets: [token]", "x, secrets: [token, extra]") + extra
        )
    return opskit.Fleet.from_abra().plan_generate(APP, "extra", options)


def test_a_digest_alone_does_not_cover_what_can_be_guessed(shop: Stage) -> None:
    plan = generation(shop, opskit.Options(policy=opskit.Policy(length=4)))
    before = shop.state()["secrets"]
    rb = opskit.Runbook(TITLE, approved=[plan.digest])
    for word in ({}, {"confirm": "another"}):
        with pytest.raises(InputError, match="a value of this plan can be guessed"):
            applied(rb, plan, "Make it", **word)
    assert (runs(), statuses(rb), shop.state()["secrets"]) == ([], {}, before)
    assert applied(rb, plan, "Make it", confirm=APP)
    assert statuses(rb) == {"Make it": "done"}


def test_a_digest_covers_what_cannot_be_undone_as_yes_does_on_the_command_line(
    shop: Stage,
) -> None:
    shop.create("token_v0")
    plan = opskit.Fleet.from_abra().plan_prune(APP, "token", keep=0)
    assert plan.data.consequences.confirm == APP
    assert applied(opskit.Runbook(TITLE, approved=[plan.digest]), plan, "Prune")


def test_a_parameter_that_is_left_in_place_carries_nothing_out_again(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = generation(shop)
    approved = [plan.digest[:12]]
    run = opskit.Runbook(TITLE, approved=approved)
    made = run.apply(plan, "Make it")
    assert made is not None
    run.finish()
    opskit.Fleet.from_abra().rollback(made.id)
    again = generation(shop)
    assert again.digest == plan.digest

    rb = opskit.Runbook(TITLE, approved=approved)
    asks(rb, again, "Make it")
    said = capsys.readouterr().out
    assert re.search(rf"was applied by \S+ at .* \(run {made.id}, rolled back since\)", said)
    assert "This is the same plan: it is applied only when somebody says so here." in said
    click(rb, "Make it")
    assert applied(rb, again, "Make it")


def test_a_plan_that_failed_and_was_put_back_may_be_tried_again(embedded_stage: Stage) -> None:
    embedded_stage.set_up(fails=True)
    plan = opskit.Fleet.from_abra().plan_rotate(
        APP, "token", opskit.Options(stable=0.2, timeout=2.0, policy=BAD)
    )
    rb = opskit.Runbook(TITLE, approved=[plan.digest[:12]])
    with pytest.raises(OpskitError, match="ended rolled-back"):
        applied(rb, plan, "Rotate")
    assert statuses(rb) == {"Rotate": "failed"}
    (run,) = rb._log.entries_of("run")
    assert (run.status, run.text.partition(", ")[2]) == ("failed", "failed, and rolled back")
    assert rb._log.applied("Rotate", plan.digest) is None


def test_a_run_that_is_undone_later_is_named_as_undone_on_purpose(shop: Stage) -> None:
    rb = opskit.Runbook(TITLE)
    with rb.step("Rotate"):
        run = rotation().apply()
    with rb.step("Take it back"):
        opskit.Fleet.from_abra().rollback(run.id)
    runs = [(one.step, one.status, one.text) for one in rb._log.entries_of("run")]
    assert runs == [
        ("Rotate", "done", f"rotate {run.id}"),
        ("Take it back", "rolled-back", f"rotate {run.id}, rolled back on purpose"),
    ]
    rb.finish()
    for suffix in (".html", ".md"):
        assert "rolled back on purpose" in rb.report(shop.root / f"it{suffix}").read_text()


def test_a_run_that_a_form_began_stands_outside_of_the_steps(shop: Stage) -> None:
    rb = opskit.Runbook(TITLE)
    run = rotation().apply()
    rb.finish()
    (entry,) = rb._log.entries_of("run")
    assert (entry.step, entry.data["run"]) == ("", run.id)


def test_a_dry_run_changes_nothing_and_is_never_gone_on_with(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = rotation()
    dry = opskit.Runbook(TITLE, dry_run=True, approved=[plan.digest[:12]])
    assert repr(dry).startswith("Dry run: nothing is changed.")
    assert not applied(dry, plan, "Rotate")
    assert f"it would be plan {plan.digest[:12]}" in capsys.readouterr().out
    well = dry.decision("Well?", ["yes", "no"], answer="yes")
    with pytest.raises(UndecidedError, match="Not asked in a dry run"):
        well.decide("yes", ADA)
    assert not dry.step("Change it by hand").due
    assert not dry.step("Verify", repeat=True, after="Rotate").due
    assert dry.step("Look", repeat=True).due
    dry.finish(report=shop.root / "dry.md")
    assert "Dry run: nothing was changed." in capsys.readouterr().out
    assert "**Dry run: nothing was changed by this runbook.**" in (
        shop.root / "dry.md"
    ).read_text()  # fmt: skip
    assert repr(dry.timeline()).count("Dry run: runbook") == 1
    assert dry._log.record.status == "dry-run"

    live = opskit.Runbook(TITLE)
    assert live.id != dry.id
    assert not live.decision("Well?", ["yes", "no"]).made
    asks(live, plan, "Rotate")
    assert runs() == []


def test_a_dry_run_is_begun_anew_beside_a_live_one_which_stays(shop: Stage) -> None:
    live = opskit.Runbook(TITLE)
    with live.step("Look"):
        pass
    dry = opskit.Runbook(TITLE, dry_run=True)
    assert opskit.Runbook(TITLE, dry_run=True).id == dry.id
    another_kernel()
    assert opskit.Runbook(TITLE, dry_run=True).id not in (dry.id, live.id)
    assert opskit.Runbook(TITLE).id == live.id


def test_a_dry_run_tells_of_what_was_changed_beside_it(shop: Stage) -> None:
    dry = opskit.Runbook(TITLE, dry_run=True)
    run = rotation().apply()
    assert repr(dry).startswith(
        f"Dry run: it changes nothing itself; begun beside it: run {run.id}."
    )


def test_a_plan_may_be_left_and_what_follows_it_is_left_too(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    rb, plan = opskit.Runbook(TITLE), rotation()
    asks(rb, plan, "Rotate")
    click(rb, "Rotate", LEAVE)
    for _ in range(2):
        assert not applied(rb, plan, "Rotate")
    assert "Rotate: left, as Ada decided." in capsys.readouterr().out
    assert [one.status for one in rb._log.entries_of("step")] == ["skipped"]
    assert not applied(rb, rotation("key"), "The rest", after="Rotate")
    assert rb.step("Verify", repeat=True, after="Rotate").due
    assert rb.finish()._log.record.status == "done"


def test_as_many_different_people_agree_as_are_needed_and_one_is_enough_to_leave_it(
    shop: Stage,
) -> None:
    plan = rotation()
    rb = opskit.Runbook(TITLE, approved=[plan.digest[:12]], who="Kim")
    asks(rb, plan, "Rotate", needed=3)
    for _ in range(2):
        click(rb, "Rotate")
    asks(rb, plan, "Rotate", needed=3)
    click(rb, "Rotate", who=BEN)
    assert applied(rb, plan, "Rotate", needed=3)

    key = rotation("key")
    asks(rb, key, "Other", needed=2)
    click(rb, "Other", LEAVE, BEN)
    click(rb, "Other")
    assert not applied(rb, key, "Other", needed=2)


def test_a_step_without_anything_to_do_is_done_and_says_why(shop: Stage) -> None:
    rb = opskit.Runbook(TITLE)
    assert not applied(rb, None, "First")
    declared = shop.env_file.read_bytes()
    shop.env_file.write_bytes(
        declared.replace(b"KEY_VERSION=v1", b"KEY_VERSION=v1 # generate=false")
    )
    nothing = opskit.Fleet.from_abra().plan_rotate(APP, "key", skip=True, may_be_empty=True)
    assert not applied(rb, nothing, "Second")
    written = rb._log.entries_of("step")
    assert [dict(one.data) for one in written] == [{"had_nothing_to_apply": True}] * 2
    said = [one.text for one in written]
    assert said[0] == "There was nothing to apply."
    assert said[1].startswith("There was nothing to apply: shop.example key on one.example: ")
    # There is nothing to look at before what follows.
    plan = rotation()
    rb = opskit.Runbook(TITLE, approved=[plan.digest[:12]])
    assert applied(rb, plan, "Third", after="First")
    asks(rb, rotation(), "First")


@pytest.mark.parametrize(
    ("text", "data"),
    [
        pytest.param("Nichts zu tun.", {"had_nothing_to_apply": True}, id="however it says so"),
        pytest.param("There was nothing to apply: x.", {}, id="written by an earlier version"),
    ],
)
def test_a_step_that_had_nothing_to_do_is_done_once_it_has(
    shop: Stage, text: str, data: dict[str, Any]
) -> None:
    plan = rotation()
    rb = opskit.Runbook(TITLE, approved=[plan.digest[:12]])
    rb._log.add("step", step="Rotate", text=text, data=data)
    assert applied(rb, plan, "Rotate")


def test_a_yes_of_another_step_or_in_a_book_that_an_older_opskit_left_does_not_count(
    shop: Stage,
) -> None:
    plan, rb = rotation(), opskit.Runbook(TITLE)
    data = {"choice": APPLY, "options": [APPLY, LEAVE], "source": "browser"}
    question = f"Rotate: apply plan {plan.digest[:12]}?"
    rb._log.add("decision", step="", text=question, data=data)
    rb._log.add("decision", step="Another", text=question, data=data | {"digest": plan.digest})
    asks(rb, plan, "Rotate")


def test_an_answer_that_was_given_before_its_step_does_not_count(
    shop: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    rb = opskit.Runbook(TITLE)
    with pytest.raises(UndecidedError, match=r"Not asked yet: Well\?"):
        _ = rb.decision("Well?", ["yes", "no"], answer="yes", after="Look").choice
    with rb.step("Look"):
        pass
    assert not rb.decision("Well?", ["yes", "no"], answer="yes", after="Look").made
    assert "'yes' was given before 'Look' was done" in capsys.readouterr().out
    again = opskit.Runbook(TITLE).decision("Well?", ["yes", "no"], answer="yes", after="Look")
    assert again.choice == "yes"


def test_two_plans_of_one_title_in_one_cell_are_refused(
    shop: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opskit.runbook.step.current_cell", lambda: 7)
    rb = opskit.Runbook(TITLE)
    assert not applied(rb, None, "Rotate")
    with pytest.raises(InputError, match="a moment ago in this cell"):
        applied(rb, None, "Rotate")
    rb.finish()
    with pytest.raises(RunbookError, match="is finished: make it anew"):
        applied(rb, rotation(), "Another")


def test_names_are_remembered_as_they_first_were(shop: Stage) -> None:
    first = opskit.Runbook(TITLE).remember("Leaked", ["token_v1"])
    another_kernel()
    again = opskit.Runbook(TITLE)
    assert again.remember("Leaked", ["token_v2"]) == first == ["token_v1"]
    assert again.remember("Others", []) == []
    assert [one.text for one in again._log.entries_of("note")] == [
        "Leaked: token_v1", "Others: none",
    ]  # fmt: skip
