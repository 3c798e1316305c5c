"""Runs and steps to write into a journal."""

from __future__ import annotations

from opskit.journal.records import Phase
from opskit.journal.runs import Journal

RUN = "20260101-120000-aaaaaa"


def begin(journal: Journal, run: str = RUN, plan: bytes = b"{}") -> None:
    journal.begin(
        run=run,
        kind="rotate",
        plan_digest="d1",
        plan=plan,
        actor="alice",
        host="desk",
        pid=1,
        identity="Alice <alice@coop.example>",
        tool_version="0.1.0",
    )


def intent(journal: Journal, step: int = 0, phase: Phase = "do", run: str = RUN) -> None:
    journal.intent(
        run,
        0,
        step,
        phase,
        action="create",
        server="coop.example",
        app="blog.coop.example",
        stack="blog_coop_example",
        subject="db_password v2",
        detail={"length": 32},
    )


def done(journal: Journal, step: int = 0, phase: Phase = "do", run: str = RUN) -> None:
    journal.outcome(run, 0, step, phase, status="done", detail={"id": "abc"})
