"""The way back of a deploy, where the world moved on since."""

from __future__ import annotations

from opskit.steps import PutBack, StepContext
from tests.stage import Stage
from tests.waiting import LIMIT


def test_what_was_updated_since_a_deploy_made_it_does_not_go_with_that_deploy(
    embedded_stage: Stage,
) -> None:
    embedded_stage.set_up()
    way_back = PutBack(stack=embedded_stage.stack, before=(), timeout=LIMIT)
    ctx = StepContext(engine=embedded_stage.engine, run="run", actor="kim", host="laptop")
    assert way_back.undo_conflict(ctx) == ""

    embedded_stage.put("app", embedded_stage.engine.raw_service(f"{embedded_stage.stack}_app").spec)
    assert way_back.undo_conflict(ctx) == "", "the same spec again changes nothing"

    embedded_stage.touch("app")
    why = way_back.undo_conflict(ctx)
    assert f"{embedded_stage.stack}_app on one.example was updated since it was made" in why
    assert why.endswith("To take it down all the same, undeploy the app.")
