"""How long is waited for a service, by what is said of it."""

from __future__ import annotations

import pytest

from opskit.abra.deployed import pace_of, seconds
from opskit.pace import Pace, longest, seconds_of

SLOW = Pace(tasks=3, healthy=60.0, grace=10.0, delay=170.0)


@pytest.mark.parametrize(
    ("pace", "patience", "expected"),
    [
        (Pace(grace=10.0), 300.0, 300.0),
        (Pace(grace=10.0), 5.0, 10.0),
        # Three batches that need 70 s each, and a pause after each.
        (SLOW, 5.0, 3 * 70 + 3 * 170),
        (SLOW, 900.0, 900 + 3 * 170),
        (Pace(tasks=3, healthy=60.0, grace=10.0, order="start-first"), 5.0, 3 * 60 + 10),
        (Pace(tasks=5, parallelism=2, delay=10.0), 300.0, 330.0),
        # An engine needs its time for each batch, also where no healthcheck or pause says so.
        (Pace(tasks=3), 5.0, 20.0),
        (Pace(tasks=100), 300.0, 990.0),
        (Pace(tasks=5, parallelism=0, delay=10.0), 300.0, 310.0),
        (Pace(tasks=None, delay=10.0), 300.0, 340.0),
        (Pace(tasks=0, healthy=600.0, delay=10.0, monitor=20.0), 300.0, 300.0),
        (Pace(monitor=20.0), 300.0, 320.0),
    ],
)
def test_patience_is_the_least_and_pauses_come_on_top(
    pace: Pace, patience: float, expected: float
) -> None:
    assert longest(patience, [pace], nodes=4) == expected


def test_services_come_up_at_the_same_time_so_the_slowest_counts() -> None:
    assert longest(300.0, [Pace(), SLOW, Pace()], nodes=1) == 810.0
    assert longest(300.0, [], nodes=1) == 300.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1h2m3s", 3723.0), ("1.5h", 5400.0), (".5s", 0.5), ("100ms", 0.1), ("0", 0.0), ("10", 7.0),
     ("-5s", 7.0), ("5 s", 7.0), ("", 7.0)],
)  # fmt: skip
def test_a_duration_is_what_go_takes_for_one(text: str, expected: float) -> None:
    assert seconds(text, 7.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "expected"), [("900", 900.0), ("", 0.0), ("5m", 0.0), ("²", 0.0)]
)
def test_a_label_that_is_no_number_asks_for_nothing(label: str, expected: float) -> None:
    assert seconds_of(label) == expected


def test_variables_of_a_compose_file_are_filled_in() -> None:
    said = {"deploy.replicas": "${MANY:-2}", "deploy.update_config.delay": "${PAUSE}"}
    assert pace_of(said, {"PAUSE": "2m"}).pauses(nodes=1) == 240.0
    assert pace_of(said, {"PAUSE": "2m", "MANY": "4"}).tasks == 4
