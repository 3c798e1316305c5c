"""The short key of a finding: the same while it stands, and of no other one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import opskit
from opskit.audit.registry import KEY_LENGTH as LENGTH
from opskit.audit.registry import keys_of
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.facts.facts import Facts

Use = Callable[[DemoFleet | DockerdFleet], Path]


def of(secret: str = "", subject: str = "") -> tuple[str, ...]:
    return ("secret-old", "coop.example", "wiki.coop.example", secret, subject)


def test_a_key_is_short_and_says_nothing_of_its_place_among_others() -> None:
    alone, first = keys_of([of("token")]), keys_of([of("password"), of("token")])

    assert len(alone[0]) == LENGTH
    assert first[1] == alone[0] != first[0]


def test_findings_about_the_very_same_have_keys_of_their_own() -> None:
    assert len(set(keys_of([of("token")] * 3))) == 3


def test_keys_that_would_be_the_same_are_longer_and_others_are_not() -> None:
    many = [of(str(number)) for number in range(9000)]
    keys = dict(zip(many, keys_of(many), strict=True))
    longer = {key for key in keys.values() if len(key) > LENGTH}

    assert len(set(keys.values())) == len(many)
    assert 0 < len(longer) < 100
    assert all(sum(key[:LENGTH] == one[:LENGTH] for one in longer) > 1 for key in longer)
    assert keys_of(many[::-1]) == list(keys.values())[::-1]


def test_every_finding_of_the_demo_fleet_has_one_that_a_day_later_is_the_same(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    snap = opskit.Fleet.from_abra().snapshot()
    later = opskit.Snapshot(
        Facts(
            taken_at=snap.facts.taken_at + timedelta(days=1),
            declared=snap.facts.declared,
            observed=snap.facts.observed,
        )
    )
    today, tomorrow = snap.audit(), later.audit()

    assert today["key"].is_unique
    assert set(today["key"]) <= set(tomorrow["key"])
    assert set(today["what"]) != set(tomorrow["what"])
