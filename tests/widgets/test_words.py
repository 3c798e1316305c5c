"""What a form that nobody can click any more says it was, and came to."""

from __future__ import annotations

import pytest

from opskit.run.run import Run
from opskit.widgets.words import outcome_in_words


@pytest.mark.parametrize(
    ("status", "errors", "said"),
    [
        ("done", (), "Run r1: done. By Ada, "),
        ("rolled-back", (), "Run r1: rolled back. By Ada, "),
        ("rolled-back", ("coop notes: it does not start",), "Run r1: failed, and rolled back. By "),
        ("partly-rolled-back", ("coop notes: no",), "Run r1: partly rolled back. By Ada, "),
    ],
)
def test_a_run_undone_because_of_a_fault_does_not_look_as_if_somebody_asked_for_it(
    status: str, errors: tuple[str, ...], said: str
) -> None:
    run = Run(id="r1", status=status, stacks={}, errors=errors)
    assert outcome_in_words(run, "Ada").startswith(said)
