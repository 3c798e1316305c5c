"""Pictures: self-contained, readable without seeing them, and still readable when there is much."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

import opskit
from opskit import pictures
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.journal.runs import Journal, open_journal
from opskit.pictures import Picture
from opskit.pictures import picture as palette
from tests.pictures.fleets import nothing, tenfold, without
from tests.waiting import eventually

LIGHT, DARK = "#ffffff", "#111111"
BELONGS_TO_SVG = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.fixture
def snap(demo_fleet: DemoFleet, use: Callable[[DemoFleet], Path]) -> opskit.Snapshot:
    use(demo_fleet)
    return opskit.Fleet.from_abra().snapshot()


@pytest.fixture
def many(snap: opskit.Snapshot) -> opskit.Snapshot:
    return tenfold(snap)


@pytest.fixture(params=["age_map", "states", "fleet_map", "findings_trend"])
def draw(request: pytest.FixtureRequest) -> Callable[[opskit.Snapshot], Picture]:
    if request.param == "findings_trend":
        return lambda snap: pictures.findings_trend([snap, snap])
    return getattr(pictures, request.param)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def height(picture: Picture) -> float:
    found = re.search(r'<svg[^>]* height="([^"]+)"', picture.svg)
    assert found is not None
    return float(found[1])


def test_a_picture_needs_nothing_from_outside_and_runs_no_script(
    draw: Callable[[opskit.Snapshot], Picture], snap: opskit.Snapshot
) -> None:
    page = draw(snap).to_html()

    assert set(re.findall(r"https?://[^\"'\s<]+", page)) <= BELONGS_TO_SVG
    assert "<script" not in page
    assert "url(" not in page


def test_text_and_lines_follow_the_theme(
    draw: Callable[[opskit.Snapshot], Picture], snap: opskit.Snapshot
) -> None:
    drawing = draw(snap).svg

    texts = re.findall(r"<text[^>]*fill=\"([^\"]+)\"", drawing)
    assert texts
    on_cells = {ink for _, ink in palette.AGES.values()}
    assert set(texts) <= {"currentColor", "#fff", *on_cells}


def test_what_it_shows_is_said_in_words_and_numbers(
    draw: Callable[[opskit.Snapshot], Picture], snap: opskit.Snapshot
) -> None:
    picture = draw(snap)

    assert 'role="img" aria-label="' in picture.to_html()
    assert picture.alt in repr(picture)
    assert len(picture.numbers)


def test_forty_servers_still_fit_and_what_is_put_together_is_said(
    draw: Callable[[opskit.Snapshot], Picture], many: opskit.Snapshot
) -> None:
    picture = draw(many)

    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', picture.svg)
    assert size
    assert float(size[1]) < 760
    assert float(size[2]) < 1600
    if "server" in picture.numbers:
        assert picture.numbers["server"].nunique() == 40
    if "app" in picture.numbers:
        assert "each" in picture.note


def test_an_empty_fleet_has_pictures_too(
    draw: Callable[[opskit.Snapshot], Picture], snap: opskit.Snapshot
) -> None:
    picture = draw(nothing(snap))

    assert "<svg" in picture.to_html()
    assert 0 < height(picture) < 1000


def test_a_server_that_cannot_be_read_is_in_the_map(snap: opskit.Snapshot) -> None:
    picture = pictures.fleet_map(snap)
    numbers = picture.numbers

    assert picture.alt.endswith("2 servers could not be read.")
    assert set(numbers.query("health == 'not read'")["server"]) == set(snap.facts.missing())


def test_the_map_begins_with_the_worst_and_names_what_is_wrong(snap: opskit.Snapshot) -> None:
    picture = pictures.fleet_map(snap)
    numbers = picture.numbers.set_index("app")

    assert picture.numbers["critical"].idxmax() == 0
    assert "secret missing" in numbers.loc["shop-dev.workshop.example", "wrong"]
    assert numbers.loc["notes.garden.example", "wrong"] == ["not deployed"]
    assert numbers.loc["cloud.mutual.example", "newer"] in picture.svg
    assert not numbers.loc["id.coop.example", "wrong"]
    severities = {str(one) for one in snap.audit()["severity"]}
    assert all(numbers[one].sum() == (snap.audit()["severity"] == one).sum() for one in severities)


def test_what_is_well_is_one_line(snap: opskit.Snapshot) -> None:
    drawing = pictures.fleet_map(snap).svg

    assert "2 apps well" in drawing
    assert "id.coop.example, notes.coop.example" in drawing


def test_the_oldest_secrets_come_first_and_are_the_darkest(snap: opskit.Snapshot) -> None:
    picture = pictures.age_map(snap)

    oldest = picture.numbers.groupby("app", sort=False)["oldest_days"].max()
    assert list(oldest) == sorted(oldest, reverse=True)
    assert f"the oldest {oldest.iloc[0]:,.0f} days" in picture.alt


def test_findings_that_came_and_went_are_marked(snap: opskit.Snapshot) -> None:
    def about(snap: opskit.Snapshot) -> set[str]:
        return set(snap.audit().query("severity != 'info'")["key"])

    before, after = without(snap, "coop.example"), without(snap, "garden.example", week=1)
    picture = pictures.findings_trend([after, before])

    new, gone = about(after) - about(before), about(before) - about(after)
    assert new
    assert gone
    numbers = picture.numbers.query("severity != 'info'")
    assert (numbers["new"].sum(), numbers["gone"].sum()) == (len(new), len(gone))
    assert f"{len(new)} new, {len(gone)} gone" in picture.alt
    assert f">+{len(new)}<" in picture.svg
    assert f">-{len(gone)}<" in picture.svg


@pytest.mark.slow
def test_a_run_is_drawn_from_the_journal(
    fresh: tuple[DemoFleet, opskit.Fleet],
) -> None:
    _, fleet = fresh
    plan = fleet.plan_rotate(
        [("coop.example", "notes.coop.example", "session")], opskit.Options(stable=0.1)
    )
    run = plan.apply()

    picture = pictures.timeline(run.id)

    assert picture.numbers["step"].str.contains("verify").any()
    assert set(picture.numbers["outcome"]) == {"done"}
    assert run.id in picture.title
    assert picture.alt.endswith("Done.")


@pytest.mark.slow
def test_a_run_that_was_undone_has_its_way_back_below(
    fresh: tuple[DemoFleet, opskit.Fleet],
) -> None:
    _, fleet = fresh
    run = fleet.plan_rotate(
        [("coop.example", "notes.coop.example", "session")], opskit.Options(stable=0.1)
    ).apply()
    fleet.rollback(run.id)

    picture = pictures.timeline(run.id)

    assert "The way back" in picture.svg
    assert set(picture.numbers.query("way == 'back'")["outcome"]) == {"undone"}
    assert (picture.numbers["waits"] == "waits for tasks").any()
    assert "steps back on 1 app" in picture.alt


def test_what_a_run_waited_for_and_did_not_begin_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(tmp_path))
    with open_journal() as journal:
        units = [
            {"server": "coop.example", "app": f"{n}.coop.example", "steps": [{}, {}]}
            for n in range(3)
        ]
        journal.begin(
            run="20260101-000000-abcdef", kind="rotate", plan_digest="", identity="", actor="me",
            host="here", pid=1, tool_version="1", plan=msgspec.json.encode({"units": units}),
        )  # fmt: skip
        taken(journal, 0, "done")
        # What waits is told by times, and these are the journal's own.
        since = time.monotonic()
        eventually(lambda: time.monotonic() - since > 0.3, "another app to have waited")
        taken(journal, 1, "failed")
        journal.finish("20260101-000000-abcdef", "failed")

    picture = pictures.timeline("20260101")

    rows = picture.numbers.set_index("app")
    assert "waits for other apps" in set(rows.loc["1.coop.example", "waits"])
    assert rows.loc["2.coop.example", "outcome"] == "not begun"
    assert "failed: switch service" in picture.svg
    # One of two steps is not all of it.
    assert "interrupted after" in picture.svg
    assert "1 app not begun" in picture.alt


def taken(journal: Journal, unit: int, status: str) -> None:
    journal.intent(
        "20260101-000000-abcdef", unit, 0, "do", action="switch-service", server="coop.example",
        app=f"{unit}.coop.example", stack="s", subject="s", detail={},
    )  # fmt: skip
    journal.outcome("20260101-000000-abcdef", unit, 0, "do", status=status, detail={})


@pytest.fixture
def fresh(use: Callable[[DemoFleet], Path], own_fleet: DemoFleet) -> tuple[DemoFleet, opskit.Fleet]:
    use(own_fleet)
    return own_fleet, opskit.Fleet.from_abra()


def test_it_is_saved_as_a_drawing_or_as_a_page(snap: opskit.Snapshot, tmp_path: Path) -> None:
    picture = pictures.states(snap)
    picture.save(tmp_path / "states.svg")
    picture.save(tmp_path / "states.html")
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("states.*")} == {0}

    assert f"<title>{picture.title}</title>" in (tmp_path / "states.svg").read_text()
    assert "prefers-color-scheme:dark" in (tmp_path / "states.svg").read_text()
    assert "opskit-table" in (tmp_path / "states.html").read_text()
    with pytest.raises(InputError, match=r"\.svg or \.html"):
        picture.save(tmp_path / "states.png")


def test_every_colour_is_seen_on_both_themes_and_carries_white_text() -> None:
    colours = {*palette.STATES.values(), *palette.OUTCOMES.values()}
    marks = {colour for colour, _ in (*palette.HEALTH.values(), *palette.SEVERITIES.values())}

    for colour in colours | marks:
        assert contrast(colour, LIGHT) >= 3
        assert contrast(colour, DARK) >= 3, colour
    for colour in colours:
        assert contrast(colour, LIGHT) >= 4.5, colour


def test_ages_are_one_ramp_from_light_to_dark_that_can_be_written_on() -> None:
    fills = [fill for fill, _ in palette.AGES.values()]

    assert fills == sorted(fills, key=luminance, reverse=True)
    for before, after in pairwise(fills):
        assert contrast(before, after) >= 1.4
    for fill, ink in palette.AGES.values():
        assert contrast(fill, ink.replace("#fff", LIGHT)) >= 4.5
    meaning = {*palette.STATES.values(), *palette.OUTCOMES.values()}
    assert not meaning & set(fills)


def test_shapes_tell_apart_what_colours_do() -> None:
    for pairs in (palette.HEALTH, palette.SEVERITIES):
        shapes = [shape for _, shape in pairs.values()]
        assert len(set(shapes)) == len(shapes)


def test_a_long_name_keeps_both_its_ends() -> None:
    name = "neighbourhood-archive-press.garden.example"
    short = palette.shortened(name)

    assert len(short) == palette.NAME_AT_MOST
    assert short.startswith("neighbourhood")
    assert short.endswith("garden.example")
