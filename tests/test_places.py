"""What the tasks of a service say of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from opskit.places import has_failed, has_failed_by_itself
from opskit.swarm.model import Task, TaskStatus


@pytest.mark.parametrize(
    ("state", "err", "fails", "by_itself"),
    [
        ("failed", "task: non-zero exit (1)", True, True),
        ("failed", "task: non-zero exit (137): unhealthy container", True, True),
        ("rejected", "No such image: shop:2", True, True),
        ("failed", "No such container: shop_app.1.x7z", True, False),
        ("running", "", False, False),
        ("complete", "", False, False),
    ],
)
def test_an_engine_that_lost_a_container_says_nothing_of_what_it_ran(
    state: str, err: str, fails: bool, by_itself: bool
) -> None:
    task = Task(
        id="t", created_at=datetime(2026, 1, 1, tzinfo=UTC), status=TaskStatus(state=state, err=err)
    )

    assert (has_failed(task), has_failed_by_itself(task)) == (fails, by_itself)
