"""A board and a page that show what happens without being read again by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import opskit
from opskit import forms
from opskit.errors import InputError
from opskit.watching import Live
from tests.stage import APP, Stage
from tests.waiting import eventually


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


@pytest.mark.parametrize("more", [{"with_pass": True}, {"snapshot": "its own"}])
def test_a_live_board_shows_nothing_but_what_it_watches(live: Live, more: dict[str, Any]) -> None:
    if "snapshot" in more:
        more = {"snapshot": live.snapshot}
    with pytest.raises(InputError, match="nothing but what it watches"):
        forms.attention(opskit.Fleet.from_abra(), live=live, **more)


def test_what_is_no_watch_is_refused(live: Live) -> None:
    with pytest.raises(InputError, match="live is a Snapshot"):
        forms.app(opskit.Fleet.from_abra(), APP, live=live.snapshot)  # type: ignore[arg-type]
