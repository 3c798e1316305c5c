"""What a plan says of itself: the same in every skin, and read off nothing but its steps."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

import opskit
from opskit.cli.change import carry_out
from opskit.errors import InputError
from opskit.plan.data import Change, PlanData, Unit, calls_view, load_plan
from opskit.secrets.generate import PlannedPolicy, Policy
from opskit.steps import (
    AnyStep,
    CreateSecret,
    Deploy,
    Probe,
    RemovePassword,
    RemoveSecret,
    TakeLock,
    Undeploy,
    Verify,
    VerifyStack,
)
from opskit.steps.tasks import PlannedProbe
from opskit.widgets.session import Session

Plan = opskit.Plan
GONE = RemoveSecret(swarm_name="shop_token_v1", secret_id="id-of-token")
DOWN = Undeploy(stack="shop", services=("shop_app", "shop_db"), timeout=30, returns=True)
BY_FILES = Deploy(mode="stack", root="/", server="one", app="shop", stack="shop", timeout=20)
WAITED = VerifyStack(stack="shop", timeout=300, stable=5)


def plan_of(kind: str, *steps: AnyStep, app: str = "shop", services: tuple[str, ...] = ()) -> Plan:
    change = Change(secret="token", services=services)
    steps = (TakeLock(stack=app), *steps)
    unit = Unit(server="one", app=app, stack=app, changes=(change,), steps=steps)
    return opskit.Plan(
        data=PlanData(kinds=(kind,), made_at=datetime.now(UTC), units=(unit,)), root=Path()
    )


@pytest.mark.parametrize(
    ("plan", "irreversible", "confirm", "says"),
    [
        (plan_of("prune", GONE), True, "shop", "cannot be undone"),
        (plan_of("undeploy", DOWN), False, "shop", "goes down"),
        (plan_of("deploy", BY_FILES, WAITED), False, "", "whose specs the files change"),
        (plan_of("rotate"), False, "", "Restarts nothing."),
        (plan_of("rotate", services=("shop_app",)), False, "", "Restarts shop app."),
    ],
    ids=["removes a value", "takes an app down", "deploys", "only a file", "switches"],
)
def test_what_is_asked_and_said_follows_from_the_steps(
    plan: Plan, irreversible: bool, confirm: str, says: str
) -> None:
    found = plan.data.consequences
    assert (found.irreversible, found.confirm) == (irreversible, confirm)
    assert any(says in sentence for sentence in found.sentences)


def test_the_name_of_a_plan_decides_nothing() -> None:
    assert plan_of("rotate", GONE).data.consequences.confirm == "shop"
    assert plan_of("prune and undeploy").data.consequences.confirm == ""


def test_an_app_that_cannot_be_deployed_again_is_gone_for_good() -> None:
    down = msgspec.structs.replace(DOWN, returns=False, why="its recipe is gone.")
    assert plan_of("undeploy", down).data.consequences.irreversible


def test_services_that_go_are_not_said_to_restart() -> None:
    plan = plan_of("undeploy", DOWN, services=DOWN.services)
    (row,) = plan.changes.records()
    assert (row.restarts, row.removes) == ([], ["app", "db"])
    assert plan.data.consequences.removes == ("shop app", "shop db")
    assert "restarts" not in plan.changes.shown_columns()
    assert "removes" not in plan_of("restart", services=("shop_app",)).changes.shown_columns()


def test_the_longest_wait_and_the_password_store_are_known_beforehand() -> None:
    found = plan_of("deploy", BY_FILES, WAITED).data.consequences
    assert (found.longest_wait, found.touches_pass) == (320, False)
    assert plan_of("remove", RemovePassword(path="hosts/x")).data.consequences.touches_pass


def test_plans_joined_have_the_consequences_of_all() -> None:
    parts = [
        plan_of("prune", GONE),
        plan_of("undeploy", DOWN, app="wiki", services=("wiki_app",)),
        plan_of("restart", WAITED, app="blog", services=("blog_app",)),
    ]
    left = [msgspec.structs.replace(parts[0].data, left_alone=("token_v0 is needed",))]
    parts[0] = opskit.Plan(data=left[0], root=Path())
    joined = opskit.Plan.join(parts)
    found = joined.data.consequences
    assert found.irreversible
    assert found.confirm == "prune and restart and undeploy 3"
    assert [sentence[:16] for sentence in found.warnings] == [
        "This cannot be u",
        "The app goes dow",
    ]
    assert "blog app" in found.restarts
    assert "Changes 3 stacks on one." in found.impact
    assert joined.data.left_alone == ("token_v0 is needed",)


def test_a_plan_saved_before_there_were_consequences_has_them() -> None:
    steps = msgspec.to_builtins((DOWN,))
    saved = {
        "kind": "undeploy",
        "made_at": "2026-01-02T03:04:05Z",
        "units": [
            {
                "server": "one",
                "app": "shop",
                "stack": "shop",
                "changes": [{"secret": "", "restarts": ["shop_app"], "note": "removed"}],
                "steps": steps,
            }
        ],
        "stays": ["token_v0 is needed by shop_app"],
    }
    plan = load_plan(json.dumps(saved).encode())
    assert plan.left_alone == ("token_v0 is needed by shop_app",)
    assert plan.consequences.confirm == "shop"
    assert plan.consequences.removes == ("shop app", "shop db")
    again = load_plan(msgspec.json.encode(plan))
    assert (again, again.digest, again.consequences) == (plan, plan.digest, plan.consequences)


def test_a_plan_that_an_earlier_version_joined_has_the_kinds_of_all_and_the_same_digest() -> None:
    joined = opskit.Plan.join([plan_of("undeploy", DOWN, app="wiki"), plan_of("prune", GONE)]).data
    now, raw = load_plan(msgspec.json.encode(joined)), msgspec.to_builtins(joined)
    assert raw.pop("kinds") == now.kinds == ("prune", "undeploy")
    earlier = load_plan(msgspec.json.encode(raw | {"kind": now.kind}))
    assert (earlier, earlier.digest) == (now, now.digest)
    with pytest.raises(InputError, match="another opskit"):
        load_plan(msgspec.json.encode(raw))


def test_a_kind_of_several_words_is_one() -> None:
    """What plans are called is not read to find what they are."""
    plan = plan_of("seek and destroy").data
    assert PlanData.join([plan]).kinds == ("seek and destroy",)
    assert load_plan(msgspec.json.encode(plan)) == plan


def test_a_saved_plan_with_a_step_that_is_not_known_is_refused() -> None:
    content = msgspec.json.encode(plan_of("prune", GONE).data)
    with pytest.raises(InputError, match="another opskit"):
        load_plan(content.replace(b"remove-secret", b"shred-secret"))


def saved_with(policy: dict[str, Any]) -> bytes:
    """Return a plan to make a value, as a journal may hold it."""
    made = plan_of("generate", CreateSecret(swarm_name="shop_token_v1", policy=Policy()))
    raw = msgspec.to_builtins(made.data)
    raw["units"][0]["steps"][-1]["policy"] = policy
    return msgspec.json.encode(raw)


@pytest.mark.parametrize(
    "policy", [{"length": 20, "charset": "weird,thing"}, {"length": 10**9}, {"charset": "hex,"}]
)
def test_a_saved_plan_loads_whatever_was_allowed_when_it_was_made(policy: dict[str, Any]) -> None:
    plan = load_plan(saved_with(policy))
    step = plan.units[0].steps[-1]
    assert isinstance(step, CreateSecret)
    assert step.policy == PlannedPolicy(**policy)
    assert plan.consequences.impact
    assert len(calls_view(plan)) == 2


def test_a_saved_plan_asks_what_it_asked_when_it_was_made() -> None:
    asking = Verify(watched=(), timeout=9, stable=0, probe=Probe(kind="tcp", target=("db:5432",)))
    saved = msgspec.json.encode(plan_of("rotate", asking).data).replace(b"db:5432", b"db")
    (*_, step) = load_plan(saved).units[0].steps
    assert isinstance(step, Verify)
    assert step.probe == PlannedProbe(kind="tcp", target=("db",))


def test_a_saved_plan_with_a_generator_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="written by another opskit"):
        load_plan(saved_with({"generator": "klingon"}))


def test_equal_plans_have_one_digest_and_one_json() -> None:
    one, other = plan_of("prune", GONE), plan_of("prune", GONE)
    assert one.digest == other.digest
    same = opskit.Plan(data=one.data, root=Path())
    assert one.to_json() == same.to_json()
    assert json.loads(one.to_json())["consequences"]["irreversible"] is True


@pytest.mark.parametrize("steps", [(GONE,), (DOWN,), (BY_FILES, WAITED)])
def test_terminal_form_and_notebook_say_the_same(
    steps: tuple[AnyStep, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of("some change", *steps)
    carry_out(plan, dry_run=True, yes=False)
    printed = capsys.readouterr().out
    form = Session(fleet=None, kind="approve", publish=lambda: None, plan=plan)
    form.begin()
    shown = form.state["plan"]
    displayed = plan._repr_mimebundle_()
    said = plan.data.consequences.sentences
    assert said
    for sentence in said:
        assert sentence in printed
        assert sentence in displayed["text/plain"]
        assert sentence in displayed["text/html"]
    assert [*shown["warnings"], *shown["impact"]] == list(said)
    assert shown["confirm"] == plan.data.consequences.confirm


def test_the_terminal_wants_the_word_that_the_form_wants(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def answer(text: str) -> str:
        asked.append(text)
        return "y"

    monkeypatch.setattr(typer, "prompt", answer)
    with pytest.raises(typer.Exit):
        carry_out(plan_of("prune", GONE), dry_run=False, yes=False)
    assert asked == ["Type shop to confirm"]
    assert "nothing was changed" in capsys.readouterr().err
