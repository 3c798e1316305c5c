"""The board of findings: a card opens what mends its finding, and the finding goes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import opskit
from opskit import forms
from opskit.audit.blocks import blocks, counted
from opskit.demo.fleet import DemoFleet
from opskit.facts.facts import Facts
from opskit.secrets.passstore import PassStore
from opskit.secrets.sealed import SEALER, seal
from opskit.secrets.value import Secret
from opskit.widgets.attention import Attention
from opskit.widgets.cards import Cards
from opskit.widgets.form import Form
from tests.audit.test_keys import Use
from tests.stage import APP, SERVER, Stage
from tests.waiting import eventually

GIT = "git.coop.example"
ADA = {"username": "ada", "name": "Ada", "initials": "A", "color": "#123456"}
BEN = {"username": "ben", "name": "Ben"}
SOON = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()


class Board:
    """A board that is shown, and what it says."""

    def __init__(self, **more: Any) -> None:
        self.shown: Attention = forms.attention(opskit.Fleet.from_abra(), **more)
        self.until_idle()

    def until_idle(self) -> None:
        eventually(
            lambda: self.shown.found and not self.shown.state["busy"], "the board to be filled"
        )

    def click(self, type: str, key: str, who: Any = ADA, **more: Any) -> None:  # noqa: A002
        self.shown._clicked(self.shown, {"type": type, "key": key, "who": who, **more}, [])

    def card(self, check: str, secret: str = "") -> dict[str, Any]:
        return next(
            one
            for one in self.shown.found["cards"]
            if one["check"] == check and (not secret or secret in one["secrets"])
        )

    def listed(self) -> set[str]:
        return {key for one in self.shown.found["cards"] for key in one["keys"]}

    def form(self, key: str) -> Form:
        eventually(lambda: self.shown.has_open(key), "the form of the card")
        return self.shown._forms[self.opened(key)["form"]]

    def opened(self, key: str) -> dict[str, Any]:
        (found,) = (one for one in self.shown.opened if one["at"] == key)
        return found

    def close(self, key: str, who: Any = ADA) -> None:
        self.click("close", "", who=who, form=self.opened(key)["form"])

    def apply(self, key: str, who: Any = ADA) -> Form:
        form = self.form(key)
        state = eventually(lambda: form.state, "a plan", lambda one: one["phase"] == "planned")
        digest, confirm = state["plan"]["digest"], state["plan"]["confirm"]
        form._clicked(
            form,
            {"type": "apply", "who": who, "tab": "t", "digest": digest, "confirm": confirm},
            [],
        )
        eventually(lambda: form.state["phase"] == "ended", "the end of the run")
        return form


@pytest.fixture
def board(stage: Stage) -> Board:
    """A board of an app that lacks a secret it declares."""
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"SECRET_KEY_VERSION=v1", b"SECRET_KEY_VERSION=v5"))
    return Board()


def test_a_finding_is_mended_by_the_form_of_its_card_and_goes(board: Board) -> None:
    card = board.card("secret-missing", "key")
    assert [act["label"] for act in card["acts"]] == ["Generate…"]
    board.click("open", card["key"])
    form = board.apply(card["key"])
    eventually(lambda: card["key"] not in board.listed(), "the finding to go")

    assert form.state["result"]["status"] == "done"
    assert board.opened(card["key"])["by"]["name"] == "Ada"
    assert board.opened(card["key"])["about"]["check"] == "secret-missing"
    eventually(lambda: "done. By Ada (ada)" in repr(board.shown), "the notebook to say so")


def test_a_value_before_that_the_store_alone_has_goes_from_its_card(
    stage: Stage, password_store: PassStore
) -> None:
    entry = f"hosts/{SERVER}/{APP}/token.previous"
    password_store.store(entry, Secret("the canary before"))
    board = Board(with_pass=True)
    card = board.card("pass-previous", "token")
    board.click("open", card["key"])
    form = board.apply(card["key"])
    eventually(lambda: card["key"] not in board.listed(), "the finding to go")

    assert form.state["result"]["status"] == "done"
    assert form.state["chosen"] == {"app": f"{SERVER}/{APP}", "secret": "token"}
    assert password_store.entries() == frozenset()


def test_why_a_remedy_cannot_be_planned_any_more_is_said_on_the_board(
    board: Board, stage: Stage
) -> None:
    card = board.card("secret-missing", "key")
    stage.create("key_v5")
    board.click("open", card["key"])
    eventually(lambda: "key_v5" in board.shown.state["error"], "why it cannot be")
    assert board.shown.opened == []


def test_a_double_click_opens_one_form(board: Board) -> None:
    key = board.card("secret-missing")["key"]
    board.click("open", key)
    board.click("open", key, who=BEN)
    form = board.form(key)
    board.until_idle()
    board.click("open", key, who=BEN)
    board.until_idle()

    assert board.form(key) is form
    assert len(board.shown.opened) == 1


def test_who_looks_on_cannot_close_what_somebody_may_still_reveal(board: Board) -> None:
    key = board.card("secret-missing")["key"]
    board.click("open", key)
    board.apply(key)
    eventually(lambda: key not in board.listed(), "the finding to go")
    board.until_idle()
    board.close(key, who=BEN)
    assert board.opened(key)["kept"] == "Ada can still reveal new values here."
    board.close(key)
    assert board.shown.opened == []


def test_what_is_acknowledged_goes_and_is_listed_apart(board: Board, stage: Stage) -> None:
    card = board.card("secret-missing")
    wanted = {"until": SOON, "why": "Not yet deployed.", "name": "Ada of ops"}
    board.click("acknowledge", card["key"], keys=card["keys"], **wanted)
    eventually(lambda: card["key"] not in board.listed(), "the finding to go")
    (shown,) = (one for one in board.shown.found["acknowledged"] if one["key"] == card["key"])

    assert (shown["who"], shown["until"], shown["why"]) == ("Ada of ops", SOON, "Not yet deployed.")
    assert (stage.env_file.parent / "opskit.toml").exists()
    board.until_idle()
    assert "opskit.toml" in board.shown.state["said"]


def test_what_was_acknowledged_is_a_finding_again_once_it_is_withdrawn(
    board: Board, stage: Stage
) -> None:
    card = board.card("secret-missing")
    wanted = {"until": SOON, "why": "Not yet deployed.", "name": "Ada"}
    board.click("acknowledge", card["key"], keys=card["keys"], **wanted)
    eventually(lambda: card["key"] not in board.listed(), "the finding to go")
    board.until_idle()
    board.click("withdraw", card["key"])
    eventually(lambda: card["key"] in board.listed(), "the finding to be back")
    board.until_idle()

    assert board.shown.found["acknowledged"] == []
    assert "is a finding again" in board.shown.state["said"]
    assert "Not yet deployed." not in (stage.env_file.parent / "opskit.toml").read_text()


@pytest.mark.parametrize("number", [1, 2])
def test_a_prune_card_names_what_its_form_prunes(stage: Stage, number: int) -> None:
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(
        text.replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION=v9").replace(
            b"KEY_VERSION=v1", b"KEY_VERSION=v9"
        )
    )
    versions = [*(f"v{one}" for one in range(2, 3 + number)), "v9"]
    stage.create(*(f"{secret}_{one}" for secret in ("token", "key") for one in versions))
    board = Board()
    card = board.card("secret-superseded")
    assert [one["label"] for one in card["acts"]] == ["Prune…"]
    board.click("open", card["key"])
    form = board.form(card["key"])
    state = eventually(lambda: form.state, "a plan", lambda one: one["phase"] == "planned")

    pruned: dict[str, list[str]] = {}
    for one in state["plan"]["changes"]:
        pruned.setdefault(one["secret"], []).append(one["from"])
    assert sorted(pruned) == sorted(card["secrets"]) == ["key", "token"]
    assert len(card["what"]) == 1
    assert all(set(gone) == set(re.findall(r"v\d", card["what"][0])) for gone in pruned.values())


@pytest.mark.parametrize("wrong", [{"until": "2001-01-01"}, {"why": ""}, {"until": None}])
def test_what_will_not_do_is_said_and_nothing_is_written(
    board: Board, stage: Stage, wrong: dict[str, Any]
) -> None:
    card = board.card("secret-missing")
    wanted = {"until": SOON, "why": "x", "name": "Ada", **wrong}
    board.click("acknowledge", card["key"], keys=card["keys"], **wanted)
    eventually(lambda: board.shown.state["error"], "a sentence")

    assert card["key"] in board.listed()
    assert not (stage.env_file.parent / "opskit.toml").exists()


def test_a_value_that_is_asked_for_is_sealed_and_in_no_state(board: Board, stage: Stage) -> None:
    recipe = stage.root / "abra" / "recipes" / "shop" / "compose.yml"
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(
        text.replace(b"SECRET_KEY_VERSION=v5", b"SECRET_KEY_VERSION=v6  # generate=false")
    )
    assert recipe.exists()
    board.click("again", "")
    eventually(
        lambda: board.card("secret-missing")["acts"][0]["label"] == "Insert…",
        "what is declared now",
    )
    key = board.card("secret-missing", "key")["key"]
    board.until_idle()
    board.click("open", key)
    form = board.form(key)
    state = eventually(lambda: form.state, "fields", lambda one: one["phase"] == "choose")
    assert state["chosen"] == {"app": f"{SERVER}/{APP}", "secret": "key"}
    assert not state["error"]
    sealed = seal(Secret("good-canary-of-the-board"), SEALER.public, purpose="insert")
    form._clicked(
        form,
        {"type": "plan", "who": ADA, "tab": "t", "rows": [[SERVER, APP, "key"]], "sealed": sealed},
        [],
    )
    board.apply(key)
    eventually(lambda: key not in board.listed(), "the finding to go")

    everything = repr((board.shown.state, board.shown.found, form.state, board.shown))
    assert "canary" not in everything


def test_what_a_browser_makes_up_does_nothing(board: Board) -> None:
    before = board.shown.found
    for message in (None, [], {"type": "open"}, {"type": "close", "form": 7}, {"type": "erase"}):
        board.shown._clicked(board.shown, message, [])
        board.until_idle()
    board.click("acknowledge", "nosuch", keys=["nosuch"], until=SOON, why="x", name="x")
    board.until_idle()

    assert board.shown.opened == []
    assert board.shown.found == before


# -- what is shown ------------------------------------------------------------------------------


@pytest.fixture
def snap(use: Use, demo_fleet: DemoFleet) -> opskit.Snapshot:
    use(demo_fleet)
    return opskit.Fleet.from_abra().snapshot()


def test_every_finding_is_on_one_card_and_info_is_folded_by_check(snap: opskit.Snapshot) -> None:
    found = snap.audit()
    shown = Cards.of(snap.audit(acknowledged=True)).to_json()
    apart = [one for group in shown["info"] for one in group["cards"]]
    keys = [key for one in (*shown["cards"], *apart) for key in one["keys"]]

    assert sorted(keys) == sorted(found["key"])
    groups = [group["check"] for group in shown["info"]]
    assert len(groups) == len(set(groups)) > 1
    order = [shown["severities"].index(one["severity"]) for one in shown["cards"]]
    assert order == sorted(order)
    assert "info" not in {one["severity"] for one in shown["cards"]}


def test_findings_that_one_plan_mends_are_one_card(snap: opskit.Snapshot) -> None:
    shown = Cards.of(snap.audit(acknowledged=True)).to_json()
    deploys = [
        one for one in shown["cards"] if one["acts"] and one["acts"][0]["label"] == "Deploy…"
    ]

    assert len({one["app"] for one in deploys}) == len(deploys)
    assert any(len(one["what"]) > 1 for one in deploys)


def test_cards_are_joined_as_a_terminal_joins_blocks(snap: opskit.Snapshot) -> None:
    shown = Cards.of(snap.audit(acknowledged=True)).to_json()
    worse, _ = counted(snap.audit())

    assert [(one["keys"], one["what"]) for one in shown["cards"]] == [
        ([*block.keys], [*block.what]) for block in blocks(worse)
    ]


def test_a_card_of_several_secrets_has_a_button_for_each_plan_and_quotes_no_command(
    snap: opskit.Snapshot,
) -> None:
    shown = Cards.of(snap.audit(acknowledged=True)).to_json()["cards"]
    (old,) = (one for one in shown if one["app"] == GIT and one["check"] == "secret-old")

    assert old["secrets"] == ["db_password", "internal_token"]
    assert [(one["label"], one["secrets"]) for one in old["acts"]] == [
        ("Rotate db_password…", ["db_password"]),
        ("Rotate internal_token…", ["internal_token"]),
    ]
    assert old["remedy"] == "rotate, with hook postgres:db; rotate"
    assert not [one["remedy"] for one in shown if one["acts"] and "opskit " in one["remedy"]]


def test_a_board_begins_with_the_look_it_is_given_and_says_in_words_what_it_shows(
    snap: opskit.Snapshot,
) -> None:
    shown = forms.attention(opskit.Fleet.from_abra(), snapshot=snap)

    assert shown.found["cards"]
    assert "1 critical" in repr(shown)
    assert "elsewhere use `opskit audit`" in repr(shown)


@pytest.mark.slow
def test_orphans_are_planned_where_the_finding_says_and_word_to_confirm_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = DemoFleet()
    demo.start()
    try:
        for name, value in demo.env.items():
            monkeypatch.setenv(name, value)
        board = Board()
        card = board.card("secret-orphan", "pads_coop_example_session")
        board.click("open", card["key"])
        form = board.apply(card["key"])
        assert form.title == "Remove secrets"
        eventually(lambda: card["key"] not in board.listed(), "the finding to go")
    finally:
        demo.stop()


@pytest.mark.slow
def test_on_the_demo_fleet_a_password_that_a_database_keeps_is_rotated_below_its_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with DemoFleet() as demo:
        for name, value in demo.env.items():
            monkeypatch.setenv(name, value)
        board = Board()
        card = next(one for one in board.shown.found["cards"] if "hook mariadb" in one["remedy"])
        board.click("open", card["key"])
        form = board.apply(card["key"])
        eventually(lambda: card["key"] not in board.listed(), "the finding to go")

        assert form.state["result"]["status"] == "done"
        assert "run-hook" in [step["action"] for step in form.steps]


def test_what_was_not_read_again_says_when_it_was_and_the_store_is_looked_up_again(
    stage: Stage,
) -> None:
    fleet = opskit.Fleet.from_abra()
    snap = fleet.snapshot(with_pass=True)
    before = snap.facts.taken_at - timedelta(days=2, hours=3)
    observed = tuple(msgspec.structs.replace(one, taken_at=before) for one in snap.facts.observed)
    facts = Facts(taken_at=before, declared=snap.facts.declared, observed=observed)
    old = opskit.Snapshot(facts, frozenset(), frozenset())
    files, servers = fleet.refresh(old, []), fleet.refresh(old, [SERVER])

    assert files.looked_in_pass
    assert not fleet.refresh(opskit.Snapshot(facts), []).looked_in_pass
    assert (files.facts.oldest, servers.facts.oldest > before) == (before, True)
    shown = Board(snapshot=files).shown
    assert shown.state["read_at"] == f"{before.astimezone():%Y-%m-%d %H:%M}"
    assert shown._with_pass
    assert Board(snapshot=servers).shown.state["read_at"] == (
        f"{servers.facts.oldest.astimezone():%H:%M}"
    )
