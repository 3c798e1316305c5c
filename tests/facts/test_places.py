"""What the tasks of a service say of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from opskit.facts.places import has_failed, has_failed_by_itself, is_there_to_end
from opskit.swarm.model import (
    Replicated,
    RestartPolicy,
    Service,
    ServiceMode,
    ServiceSpec,
    Task,
    TaskStatus,
    TaskTemplate,
)


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


@pytest.mark.parametrize(
    ("history", "ends"),
    [
        # Each task in its turn: its place, whether its spec is that of now, how it ended.
        ([(1, True, "complete")], True),
        ([(1, False, "complete"), (1, True, "complete")], True),
        ([(1, False, "shutdown"), (1, True, "complete")], False),
        # Undone before the task of the change had ended.
        ([(1, True, "complete"), (1, False, "shutdown"), (1, True, "complete")], True),
        ([(1, True, "shutdown"), (1, False, "shutdown"), (1, True, "complete")], False),
        # What ended in one place says nothing of what ran in another until it was replaced.
        (
            [(1, False, "shutdown"), (1, True, "complete"), (2, False, "shutdown"),
             (2, True, "running")],
            False,
        ),
        # A node was drained: of one spec, nothing was replaced by another.
        ([(1, True, "shutdown"), (1, True, "complete")], True),
    ],
)  # fmt: skip
def test_what_ran_until_it_was_replaced_is_not_there_to_end(
    history: list[tuple[int, bool, str]], ends: bool
) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    on_failure = TaskTemplate(restart_policy=RestartPolicy(condition="on-failure"))
    service = Service(
        id="s",
        created_at=begun,
        spec=ServiceSpec(
            name="migrate",
            task_template=on_failure,
            mode=ServiceMode(replicated=Replicated(replicas=1)),
        ),
    )
    tasks = [
        Task(
            id=str(turn),
            slot=slot,
            created_at=begun + timedelta(seconds=turn),
            status=TaskStatus(state=state),
        )
        for turn, (slot, _, state) in enumerate(history)
    ]
    current = [task for task, (_, is_now, _) in zip(tasks, history, strict=True) if is_now]

    assert is_there_to_end(service, tasks, current) == ends
