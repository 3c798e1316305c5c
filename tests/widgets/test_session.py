"""What a form does with clicks, without a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jwe
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey

import opskit
from opskit import forms
from opskit.errors import InputError
from opskit.journal.records import name_in
from opskit.journal.runs import open_journal
from opskit.run.work import Progressed
from opskit.secrets.generate import Policy
from opskit.secrets.sealed import SEALER, seal
from opskit.secrets.value import Secret
from opskit.widgets.form import Form
from opskit.widgets.person import NOBODY, Person, person_named, read_person
from opskit.widgets.running import Running
from opskit.widgets.session import Session
from tests.abra.releases import Releases
from tests.run.test_stacks import NEW, OLD, files
from tests.stage import APP, SERVER, Stage
from tests.waiting import eventually
from tests.widgets.conftest import QUICK

ADA = {"username": "ada", "name": "Ada", "initials": "A", "color": "#123456"}
BEN = {"username": "ben", "name": "Ben"}


def until(look: Callable[[], dict[str, Any]], phase: str) -> dict[str, Any]:
    return eventually(look, f"the phase {phase}", lambda state: state["phase"] == phase)


class Desk:
    """A session, and everything it sent."""

    def __init__(self, kind: str, **more: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.published = 0
        self.session = Session(fleet=opskit.Fleet.from_abra(), kind=kind, publish=self.note, **more)  # type: ignore[arg-type]
        self.session.begin()

    def note(self) -> None:
        self.published += 1

    def click(self, type: str, who: Any = ADA, tab: str = "ada-1", **more: Any) -> None:  # noqa: A002
        """Click; what that starts has begun when this returns, and may have ended."""
        self.session.handle({"type": type, "who": who, "tab": tab, **more}, self.sent.append)

    def until(self, phase: str) -> dict[str, Any]:
        return until(lambda: self.session.state, phase)

    def until_error(self) -> str:
        return str(eventually(lambda: self.session.state["error"], "an error"))

    def planned(self, kind: str = "token") -> str:
        self.until("choose")
        self.click("plan", rows=[[SERVER, APP, kind]])
        return self.until("planned")["plan"]["digest"]


def test_a_rotation_from_choice_to_result_names_who_did_it(stage: Stage) -> None:
    desk = Desk("rotate")
    (app,) = desk.until("choose")["apps"]
    assert [secret["name"] for secret in app["secrets"]] == ["key", "token"]
    digest = desk.planned()
    desk.click("apply", digest=digest)
    state = desk.until("ended")

    assert state["result"]["status"] == "done"
    assert state["result"]["notes"] == []
    assert state["by"]["name"] == "Ada"
    assert state["result"]["sentence"] == f"Done: rotated {APP} token v1 → v2."
    assert desk.session.steps[-1]["action"] == "release-lock"
    assert opskit.Fleet.from_abra().journal()["identity"].tolist() == ["Ada (ada)"]


def test_what_was_asked_for_with_its_options_is_planned_at_once_and_stays_chosen(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []

    def options_from(given: Any) -> opskit.Options:
        said.append(given)
        return QUICK

    monkeypatch.setattr("opskit.widgets.session.options_from", options_from)
    options = {"hook": "postgres:db", "use_pass": True}
    wanted = {"app": f"{SERVER}/{APP}", "secret": "token", "options": options, "at_once": True}
    desk = Desk("rotate", preselected=wanted)
    (change,) = desk.until("planned")["plan"]["changes"]
    assert (change["secret"], said) == ("token", [options])
    desk.click("back")
    state = desk.until("choose")
    assert state["options"] == options
    assert state["chosen"]["secret"] == "token"


def test_a_form_of_one_app_offers_no_other_and_says_what_it_leads_back_to(
    stage: Stage,
) -> None:
    folder = stage.env_file.parent
    text = stage.env_file.read_bytes()
    (folder / "other.example.env").write_bytes(text.replace(b"STACK_NAME=", b"STACK_NAME=other_"))
    bound = {"app": f"{SERVER}/{APP}", "only": True}
    for kind, again, again_of_all in (
        ("rotate", "Rotate others…", "Rotate others…"),
        ("deploy", "Deploy again…", "Deploy another app…"),
    ):
        state = Desk(kind, preselected=bound).until("choose")
        assert [one["app"] for one in state["apps"]] == [APP]
        assert state["again"] == again
        state = Desk(kind, preselected={"app": f"{SERVER}/{APP}"}).until("choose")
        assert len(state["apps"]) == 2
        assert state["again"] == again_of_all

    gone = {"app": f"{SERVER}/gone.example", "only": True}
    state = Desk("restart", preselected=gone).until("choose")
    assert (state["apps"], state["asked"]) == (
        [], f"There is no app {SERVER}/gone.example here that is deployed."
    )  # fmt: skip


def test_a_form_that_begins_with_a_plan_of_several_leads_back_to_them_and_plans_nothing_anew(
    stage: Stage,
) -> None:
    fleet = opskit.Fleet.from_abra()
    rows = [(SERVER, APP, "token"), (SERVER, APP, "key")]
    plan = fleet.plan_rotate(APP, ["token", "key"], QUICK)
    desk = Desk("rotate", plan=plan, preselected={"app": f"{SERVER}/{APP}", "rows": rows})
    desk.until("planned")
    desk.click("back")
    state = desk.until("choose")

    assert state["preset"] == [list(row) for row in rows]
    assert state["plan"] is None


def test_of_two_clicks_one_counts(stage: Stage) -> None:
    desk = Desk("rotate")
    digest = desk.planned()
    desk.click("apply", digest=digest)
    desk.click("apply", digest=digest)
    desk.click("apply", who=BEN, tab="ben-1", digest=digest)
    state = desk.until("ended")

    assert state["by"]["name"] == "Ada"
    assert len(opskit.Fleet.from_abra().journal()) == 1


@pytest.mark.slow
def test_a_colleague_rolls_it_back_and_the_journal_names_them(stage: Stage) -> None:
    before = stage.state()
    desk = Desk("rotate")
    desk.click("apply", digest=desk.planned())
    run = desk.until("ended")["result"]["run"]
    desk.click("rollback", who=BEN, run=run)
    plan = desk.until("planned")["plan"]
    (change,) = plan["changes"]
    assert (change["secret"], change["from"], change["to"]) == ("token", "v2", "v1")
    assert f"Undoes run {run} (rotate, by Ada (ada))." in plan["impact"]
    assert stage.state() != before
    desk.click("apply", who=BEN, digest=plan["digest"])
    assert desk.until("ended")["result"]["status"] == "rolled-back"
    assert desk.session.state["result"]["ways"] == []
    assert stage.state() == before
    (row,) = opskit.Fleet.from_abra().journal().records()
    assert (row.identity, row.undone_by) == ("Ada (ada)", "Ben (ben)")


def test_a_value_typed_in_a_browser_arrives_sealed_and_is_in_no_state(stage: Stage) -> None:
    desk = Desk("insert")
    desk.until("choose")
    sealed = seal(Secret("good-canary-of-the-form"), SEALER.public, purpose="insert")
    desk.click("plan", rows=[[SERVER, APP, "key"]], sealed=sealed)
    desk.click("apply", digest=desk.until("planned")["plan"]["digest"])
    state = desk.until("ended")

    assert state["result"]["status"] == "done", state
    assert "canary" not in repr((state, desk.session.steps, desk.sent))
    assert state["result"]["revealable"] == []


def test_a_new_value_is_revealed_once_and_to_the_tab_that_made_it(stage: Stage) -> None:
    tab = ECKey.generate_key("P-256")
    public = tab.as_dict(private=False)
    desk = Desk("rotate")
    desk.click("apply", digest=desk.planned())
    (made,) = desk.until("ended")["result"]["revealable"]
    desk.click("reveal", who=BEN, tab="ben-1", key=made["key"], tab_key=public)
    assert desk.sent == []
    desk.click("reveal", key=made["key"], tab_key=public)
    desk.click("reveal", key=made["key"], tab_key=public)
    (message,) = desk.sent
    assert {"key": message["key"], "label": message["label"]} == made
    assert made["label"] == f"{stage.stack}_token_v2"
    registry = JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)
    value = jwe.decrypt_compact(message["sealed"], tab, registry=registry).plaintext

    assert value is not None
    assert len(value) == 40
    assert desk.session.state["result"]["revealable"] == []


def test_two_people_must_approve_exactly_this_plan(stage: Stage) -> None:
    plan = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], QUICK)
    desk = Desk("approve", plan=plan, needed=2)
    digest = desk.until("planned")["plan"]["digest"]
    desk.click("apply", digest=digest)
    desk.click("approve", digest="another")
    desk.click("approve", digest=digest)
    desk.click("approve", digest=digest)
    desk.click("approve", who=None, digest=digest)
    assert [one["name"] for one in desk.session.state["approvals"]] == ["Ada"]
    assert desk.session.state["phase"] == "planned"
    desk.click("approve", who=BEN, digest=digest)
    desk.click("apply", who=BEN, digest=digest)
    assert desk.until("ended")["result"]["status"] == "done"


def test_each_who_approves_what_cannot_be_undone_types_its_word(stage: Stage) -> None:
    stage.create("token_v0")
    desk = Desk("approve", plan=opskit.Fleet.from_abra().plan_prune(APP, "token", keep=0), needed=2)
    digest = desk.until("planned")["plan"]["digest"]
    for word in ({}, {"confirm": "another"}):
        desk.click("approve", digest=digest, **word)
        assert desk.session.state["error"] == f"Type {APP} to confirm."
    assert desk.session.state["approvals"] == []
    desk.click("approve", digest=digest, confirm=APP)
    assert desk.session.state["error"] == ""
    desk.click("approve", who=BEN, digest=digest)
    assert [one["name"] for one in desk.session.state["approvals"]] == ["Ada"]


def test_a_plan_that_was_approved_stays_approved_in_another_form(stage: Stage) -> None:
    plan = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], QUICK)
    first = Desk("approve", plan=plan, needed=2)
    first.click("approve", digest=plan.digest)
    again = Desk("approve", plan=plan, needed=2)
    assert [one["username"] for one in again.session.state["approvals"]] == ["ada"]


def test_somebody_who_is_called_otherwise_meanwhile_counts_once(stage: Stage) -> None:
    plan = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], QUICK)
    with open_journal() as journal:
        for identity in ("ada", "Ada (ada)", "Ada (at home) (ada)", "Ben (ben)"):
            journal.approve(plan.digest, identity, "browser")
    given = Desk("approve", plan=plan, needed=3).session.state["approvals"]
    assert [(one["username"], one["name"]) for one in given] == [
        ("ada", "Ada (at home)"),
        ("ben", "Ben"),
    ]


def test_what_cannot_be_undone_wants_the_apps_name_typed(stage: Stage) -> None:
    stage.create("token_v0")
    desk = Desk("prune")
    desk.until("choose")
    desk.click("plan", rows=[[SERVER, APP, "token"]], keep=0)
    plan = desk.until("planned")["plan"]
    assert plan["confirm"] == APP
    desk.click("apply", digest=plan["digest"], confirm="something")
    assert desk.session.state["error"] == f"Type {APP} to confirm."
    desk.click("apply", digest=plan["digest"], confirm=APP)
    result = desk.until("ended")["result"]
    assert (result["status"], result["ways"]) == ("done", [])
    assert stage.state()["secrets"] == [f"{stage.stack}_key_v1", f"{stage.stack}_token_v1"]
    # A click that a browser should not have offered changes nothing, and no form opens with it.
    desk.click("rollback", run=result["run"])
    assert "gone for good" in desk.until_error()
    assert opskit.Fleet.from_abra().journal()["status"].tolist() == ["done"]
    desk.click("back")
    assert desk.until("choose")["unfinished"] is None


def test_what_can_be_neither_finished_nor_undone_is_left_as_it_stands(stage: Stage) -> None:
    from tests.run.killing import apply_in_a_process

    stage.create("token_v0")
    assert apply_in_a_process(stage.env, "prune", 15)
    desk = Desk("rotate")
    unfinished = desk.until("choose")["unfinished"]
    ways = {one["way"]: one["label"] for one in unfinished["ways"]}
    assert "rollback" not in ways
    assert ways["give-up"] == "Leave it"
    desk.click("give-up", run=unfinished["run"])
    eventually(lambda: desk.session.state["unfinished"], "no unfinished run", lambda one: not one)
    assert opskit.Fleet.from_abra().journal()["status"].tolist() == ["given-up"]


def browse(desk: Desk, verb: str, *rows: tuple[str, str, str], **more: Any) -> None:
    desk.until("choose")
    desk.click("plan", verb=verb, rows=[list(row) for row in rows], **more)


def test_the_table_prunes_and_removes_what_no_app_declares(stage: Stage) -> None:
    stage.create("token_v0", "other_v1")
    desk = Desk("browse")
    browse(desk, "prune", (SERVER, APP, "token"), keep=0)
    plan = desk.until("planned")["plan"]
    assert [(one["secret"], one["from"]) for one in plan["changes"]] == [("token", "v0")]
    desk.click("back")
    orphan = f"{stage.stack}_other_v1"
    browse(desk, "remove", (SERVER, "", orphan))
    plan = desk.until("planned")["plan"]
    assert [(one["secret"], one["from"]) for one in plan["changes"]] == [("other", "v1")]
    assert plan["confirm"] == APP
    desk.click("apply", digest=plan["digest"], confirm=APP)
    result = desk.until("ended")["result"]
    assert result["sentence"] == f"Done: removed {APP} other v1."
    assert orphan not in stage.state()["secrets"]
    again = Desk("browse")
    browse(again, "remove", (SERVER, "", orphan))
    assert f"not there any more: {orphan} on {SERVER}." in again.until_error()


def test_the_table_generates_and_inserts_what_is_missing(stage: Stage) -> None:
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"'v1'", b"'v7'").replace(b"=v1", b"=v8"))
    desk = Desk("browse")
    browse(desk, "generate", (SERVER, APP, "token"))
    plan = desk.until("planned")["plan"]
    assert [(one["secret"], one["to"]) for one in plan["changes"]] == [("token", "v7")]
    desk.click("back")
    sealed = seal(Secret("good-canary-of-the-table"), SEALER.public, purpose="insert")
    browse(desk, "insert", (SERVER, APP, "key"), (SERVER, APP, "token"), sealed=sealed)
    assert "one value is for one secret" in desk.until_error()
    sealed = seal(Secret("good-canary-of-the-table"), SEALER.public, purpose="insert")
    browse(desk, "insert", (SERVER, APP, "key"), sealed=sealed)
    state = desk.until("planned")
    assert [(one["secret"], one["to"]) for one in state["plan"]["changes"]] == [("key", "v8")]
    assert "canary" not in repr((state, desk.sent))


def test_rows_that_the_plan_refuses_are_marked_until_something_else_is_chosen(
    stage: Stage,
) -> None:
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"KEY_VERSION=v1", b"KEY_VERSION=v1 # generate=false"))
    desk = Desk("browse")
    browse(desk, "rotate", (SERVER, APP, "token"), (SERVER, APP, "key"))
    desk.until_error()
    (refused,) = desk.session.state["refused"]
    assert refused[:3] == [SERVER, APP, "key"]
    assert refused[3].startswith("marked generate=false")
    desk.click("dismiss")
    state = desk.session.state
    assert (state["error"], state["refused"], state["leave_out"]) == ("", [], 0)


def test_a_condition_is_told_to_the_tab_that_asked_and_so_is_why_it_is_none(stage: Stage) -> None:
    desk = Desk("browse", preselected={"where": "secret == 'token'"})
    assert desk.until("choose")["where"] == "secret == 'token'"
    for condition in ("secret == 'token'", "klingon > 3", "__import__('os')"):
        desk.click("match", condition=condition)
    found, unknown, code = desk.sent
    assert found == {
        "type": "matched", "tab": "ada-1", "condition": "secret == 'token'", "rows": [1],
        "error": "",
    }  # fmt: skip
    assert (unknown["rows"], "klingon" in unknown["error"]) == ([], True)
    assert (code["rows"], bool(code["error"])) == ([], True)


def test_a_filter_is_kept_for_everybody_under_its_name(stage: Stage) -> None:
    desk = Desk("browse")
    desk.until("choose")
    desk.click("save-filter", name=" old ones ", filter={"condition": "age_days > 90"})
    desk.click("save-filter", name="old ones", filter={"condition": "age_days > 180"})
    desk.click("save-filter", name="missing", filter={"state": "missing", "search": "db"})
    others = Desk("browse").until("choose")["filters"]
    assert others == desk.session.state["filters"]
    assert [(name, one["condition"], one["state"]) for name, one in others.items()] == [
        ("missing", "", "missing"), ("old ones", "age_days > 180", ""),
    ]  # fmt: skip
    desk.click("delete-filter", name="old ones")
    assert list(Desk("browse").until("choose")["filters"]) == ["missing"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [("", {}), ("x" * 61, {}), ("x", None), ("x", {"more": "y"}), ("x", {"search": "y" * 1001})],
)
def test_what_is_no_filter_is_not_kept(stage: Stage, name: str, fields: Any) -> None:
    desk = Desk("browse")
    desk.until("choose")
    desk.click("save-filter", name=name, filter=fields)
    assert desk.session.state["error"]
    assert desk.session.state["filters"] == {}


def test_filters_that_cannot_be_read_keep_no_table_from_being_shown(stage: Stage) -> None:
    desk = Desk("browse")
    desk.until("choose")
    desk.click("save-filter", name="mine", filter={})
    (file,) = stage.root.rglob("filters.json")
    file.write_text("{")
    state = Desk("browse").until("choose")
    assert (state["filters"], "saved filters cannot be read" in state["error"]) == ({}, True)


def test_what_of_many_rows_cannot_be_rotated_is_left_out_with_one_click(stage: Stage) -> None:
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(
        text.replace(b"SECRET_KEY_VERSION=v1", b"SECRET_KEY_VERSION=v1  # generate=false")
    )
    desk = Desk("browse")
    browse(desk, "rotate", (SERVER, APP, "token"), (SERVER, APP, "key"))
    said = desk.until_error()
    assert "generate=false" in said
    assert "--skip" not in said, "there is a button for it"
    assert desk.session.state["leave_out"] == 1
    desk.click("leave-out")
    state = desk.until("planned")
    assert [change["secret"] for change in state["plan"]["changes"]] == ["token"]
    (left_alone,) = state["plan"]["left_alone"]
    assert left_alone.startswith(f"{APP} key on {SERVER}: marked generate=false")
    assert (state["leave_out"], state["error"]) == (0, "")


def test_a_failure_is_shown_with_the_next_step_and_the_form_goes_on(stage: Stage) -> None:
    desk = Desk("rotate")
    digest = desk.planned()
    stage.touch("app")
    desk.click("apply", digest=digest)
    state = desk.until("planned")
    assert "Read the servers again and plan again." in state["error"]
    desk.click("back")
    assert desk.until("choose")["error"] == ""


def test_a_form_that_stood_open_plans_over_the_world_as_it_is_now(stage: Stage) -> None:
    desk = Desk("rotate")
    desk.until("choose")
    stage.env_file.write_bytes(stage.env_file.read_bytes() + b"\r\nMORE=1")
    stage.touch("app")
    desk.click("apply", digest=desk.planned())
    result = desk.until("ended")["result"]
    assert result["status"] == "done", result["errors"]


def test_rows_that_a_form_is_opened_with_are_planned_over_what_it_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = opskit.Fleet._look

    def counted(self: opskit.Fleet, *arguments: Any, **more: Any) -> Any:
        looks.append("a look")
        return look(self, *arguments, **more)

    monkeypatch.setattr(opskit.Fleet, "_look", counted)
    desk = Desk("rotate", preselected={"rows": [(SERVER, APP, "token")]})
    desk.until("planned")
    assert looks == ["a look"]


def test_a_plan_is_approved_for_the_fleet_it_was_made_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], QUICK)
    (tmp_path / "other" / "servers").mkdir(parents=True)
    monkeypatch.setenv("ABRA_DIR", str(tmp_path / "other"))
    form = forms.approve(plan)
    assert form._session.fleet.root == stage.root / "abra"


@pytest.mark.parametrize(
    "rows", [None, [], [["a"]], "rows", [[1, 2, 3]], [[SERVER, APP, "no-such-secret"]]]
)
def test_nonsense_from_a_browser_is_an_error_in_the_form(stage: Stage, rows: Any) -> None:
    desk = Desk("rotate")
    desk.until("choose")
    desk.click("plan", rows=rows)
    eventually(lambda: desk.session.state, "an error", lambda state: state["error"])
    assert desk.until("choose")["plan"] is None


def test_an_unfinished_run_is_offered_and_finished(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.run.killing import apply_in_a_process

    before = stage.state()
    assert apply_in_a_process(stage.env, "rotate", 30)
    desk = Desk("rotate")
    unfinished = desk.until("choose")["unfinished"]
    assert unfinished["status"] == "crashed"
    assert [one["way"] for one in unfinished["ways"]] == ["resume", "rollback", "give-up"]
    desk.click("rollback", run=unfinished["run"])
    desk.click("apply", digest=desk.until("planned")["plan"]["digest"])
    assert desk.until("ended")["result"]["status"] == "rolled-back"
    assert stage.state() == before


@pytest.mark.parametrize("claim", [None, 3, {}, {"username": 3}, {"username": "\u202e"}])
def test_a_claim_that_is_none_is_nobody(claim: Any) -> None:
    assert read_person(claim) == NOBODY


def test_what_is_odd_in_a_claim_becomes_harmless() -> None:
    who = read_person(
        {"username": "x" * 500, "name": "A\x1b[31m\u202eda", "color": "red;background:url(x)"}
    )
    assert (len(who.username), who.name, who.color) == (80, "A[31mda", "")


def test_the_whole_table_is_sent_small(stage: Stage) -> None:
    desk = Desk("browse")
    desk.until("choose")
    columns = desk.session.rows["columns"]
    assert sorted(columns["secret"]["values"]) == ["key", "token"]
    assert columns["secret"]["codes"] == [0, 1]
    assert columns["server"] == {"values": [SERVER], "codes": [0, 0]}
    browse(desk, "rotate", (SERVER, APP, "token"), (SERVER, APP, "token"))
    assert len(desk.until("planned")["plan"]["changes"]) == 1


@pytest.mark.parametrize(
    "person",
    [
        Person(username="0c1d", name="Kim (night shift)"),
        Person(username="root", name="root"),
    ],
    ids=["by name", "by id alone"],
)
def test_who_a_journal_names_is_known_again(person: Person) -> None:
    again = person_named(str(person))
    assert (again.username, again.name) == (person.username, person.name)
    assert name_in(str(person)) == person.name


@pytest.mark.parametrize(("kind", "touches"), [("restart", "restarts"), ("undeploy", "removes")])
def test_whole_apps_are_restarted_and_taken_down(stage: Stage, kind: str, touches: str) -> None:
    desk = Desk(kind)
    (app,) = desk.until("choose")["apps"]
    assert (app["app"], app["secrets"]) == (APP, [])
    assert ["Running", "2 of 2 tasks"] in app["about"]
    desk.click("plan", rows=[[SERVER, APP, ""]])
    plan = desk.until("planned")["plan"]
    assert plan["confirm"] == (APP if kind == "undeploy" else "")
    (change,) = plan["changes"]
    assert {name: change[name] for name in ("restarts", "removes")} == {
        "restarts": "", "removes": "", touches: "app, worker",
    }  # fmt: skip
    assert plan[touches] == [f"{APP} app", f"{APP} worker"]
    desk.click("apply", digest=plan["digest"], confirm=APP)
    assert desk.until("ended")["result"]["status"] == "done"
    again = Desk(kind)
    assert len(again.until("choose")["apps"]) == (0 if kind == "undeploy" else 1)


@pytest.mark.slow
def test_an_app_is_upgraded_where_a_later_release_is_known(stage: Stage) -> None:
    recipe = Releases(stage.root / "abra" / "recipes" / "shop")
    recipe.release(OLD, files(OLD))
    assert Desk("upgrade").until("choose")["apps"] == [], "nobody knows what runs"
    opskit.Fleet.from_abra().plan_deploy(APP, QUICK, version=OLD).apply().raise_for_status()
    assert Desk("upgrade").until("choose")["apps"] == [], "it is the latest"
    recipe.release(NEW, files(NEW))
    desk = Desk("upgrade")
    (app,) = desk.until("choose")["apps"]
    assert ["Newest version", NEW] in app["about"]
    desk.click("plan", rows=[[SERVER, APP, ""]])
    plan = desk.until("planned")["plan"]
    assert (plan["changes"][0]["from"], plan["changes"][0]["to"]) == (OLD, NEW)
    assert plan["confirm"] == ""
    assert plan["impact"][:2] == [
        "Restarts shop.example app.",
        "Restarts the services whose specs the files change.",
    ]
    desk.click("apply", digest=plan["digest"])
    assert desk.until("ended")["result"]["status"] == "done"


def test_an_app_that_is_down_can_be_chosen_for_deploying(stage: Stage) -> None:
    opskit.Fleet.from_abra().plan_undeploy(APP).apply().raise_for_status()
    (app,) = Desk("deploy").until("choose")["apps"]
    assert ["Deployed", "no"] in app["about"]


def test_a_plan_that_takes_something_away_is_confirmed_in_an_approval_too(stage: Stage) -> None:
    plan = opskit.Fleet.from_abra().plan_undeploy(APP)
    desk = Desk("approve", plan=plan, needed=1)
    shown = desk.until("planned")["plan"]
    assert (shown["confirm"], shown["warnings"][0][:21]) == (APP, "The app goes down unt")
    desk.click("approve", digest=plan.digest)
    desk.click("apply", digest=plan.digest)
    assert desk.session.state["error"] == f"Type {APP} to confirm."


def test_a_selection_that_cannot_be_planned_whole_is_shown_to_choose_from(stage: Stage) -> None:
    rows = [(SERVER, APP, "token"), (SERVER, APP, "no-such-secret")]
    form = forms.rotate(opskit.Fleet.from_abra(), selection=rows)
    eventually(lambda: form.state, "an error", lambda state: state["error"])
    assert "no-such-secret" in form.state["error"]
    assert form.state["phase"] == "choose"
    assert form.state["preset"] == [list(row) for row in rows]


def test_what_a_plan_leaves_alone_is_shown(stage: Stage) -> None:
    plan = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")])
    left = ("key_v0 is needed by shop_app (its previous spec)",)
    plan = replace(plan, data=msgspec.structs.replace(plan.data, left_alone=left))
    desk = Desk("approve", plan=plan, needed=1)
    assert desk.until("planned")["plan"]["left_alone"] == list(left)


def test_an_empty_selection_is_refused_at_once(stage: Stage) -> None:
    with pytest.raises(InputError, match="empty"):
        forms.rotate(opskit.Fleet.from_abra(), selection=[])


def test_a_form_reads_the_fleet_again_when_asked(stage: Stage) -> None:
    desk = Desk("prune")
    (before,) = desk.until("choose")["apps"]
    stage.create("token_v0")
    desk.click("back")
    (after,) = desk.until("choose")["apps"]
    hints = [[secret["hint"] for secret in app["secrets"]] for app in (before, after)]
    assert hints == [["", ""], ["", "1 old"]]
    never = "It has no superseded version."
    assert [secret["obstacle"] for secret in after["secrets"]] == [never, ""]


def test_a_tab_that_asks_whether_somebody_listens_is_answered(stage: Stage) -> None:
    desk = Desk("rotate")
    desk.until("choose")
    desk.click("ping", tab="ada-1")
    assert desk.sent == [{"type": "pong", "tab": "ada-1"}]


def said(form: Form, status: str, run: str) -> str:
    eventually(
        lambda: form.state["result"],
        f"the result {status}",
        lambda result: result and result["status"] == status,
    )
    (words,) = re.findall(rf"(.*) Run {run}: {status.replace('-', ' ')}. By (.*), 2", repr(form))
    return " / ".join(words)


@pytest.mark.slow
def test_in_words_a_form_names_what_it_did_and_for_whom(stage: Stage) -> None:
    form = forms.rotate(opskit.Fleet.from_abra(), app=APP, secret="token")
    assert repr(form).startswith(f"opskit form: Rotate secrets ({APP} token). Nothing was applied")
    desk = form._session
    for phase, click in (
        ("choose", {"type": "plan", "rows": [[SERVER, APP, "token"]]}),
        ("planned", {"type": "apply"}),
    ):
        until(lambda: desk.state, phase)
        digest = desk.state["plan"] and desk.state["plan"]["digest"]
        desk.handle({"digest": digest, "who": ADA, "tab": "ada-1", **click}, lambda _: None)
    done = said(form, "done", ".*")
    assert done == f"opskit form: Rotate secrets ({APP} token v1 → v2). / Ada (ada)"
    run = form.state["result"]["run"]
    desk.handle({"type": "rollback", "run": run, "who": BEN, "tab": "ben-1"}, lambda _: None)
    digest = until(lambda: desk.state, "planned")["plan"]["digest"]
    desk.handle({"type": "apply", "digest": digest, "who": BEN, "tab": "ben-1"}, lambda _: None)
    back = said(form, "rolled-back", run)
    assert back == f"opskit form: Rotate secrets ({APP} token v1 → v2). / Ben (ben)"


def test_in_words_an_approval_names_the_plan_and_who_approved(stage: Stage) -> None:
    plan = opskit.Fleet.from_abra().plan_rotate([(SERVER, APP, "token")], QUICK)
    form = forms.approve(plan, needed=2)
    form._session.handle({"type": "approve", "digest": plan.digest, "who": ADA}, lambda _: None)
    assert repr(form).startswith(
        f"opskit form: Approve a plan ({APP} token v1 → v2). Approved by 1 of 2: Ada."
    )


def test_an_insert_form_knows_what_each_charset_means(stage: Stage) -> None:
    text = stage.env_file.read_bytes().replace(b"length=40", b"length=12 charset=hex,special")
    stage.env_file.write_bytes(text)
    state = Desk("insert").until("choose")
    (secret,) = [one for one in state["apps"][0]["secrets"] if one["name"] == "token"]
    assert secret["length"] == 12
    assert state["alphabets"] == {
        charset: Policy(charset=charset).alphabet() for charset in ("", "hex,special")
    }
    assert Desk("rotate").until("choose")["alphabets"] == {}


def test_a_step_that_waits_says_what_for(stage: Stage) -> None:
    running = Running()
    step = Progressed(
        unit=0, step=3, server=SERVER, app=APP, action="verify", subject="db", phase="do",
        status="running", waits_for="db: 0 of 1 tasks run",
    )  # fmt: skip
    running.add(step)
    assert [(one["status"], one["waits_for"]) for one in running.steps] == [
        ("running", "db: 0 of 1 tasks run")
    ]
    running.add(replace(step, status="done", waits_for=""))
    assert [(one["status"], one["waits_for"]) for one in running.steps] == [("done", "")]
