"""Processes that tests start in milliseconds: forked from one that has imported what they need."""

from __future__ import annotations

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.run.killing", "tests.fleets", "opskit.run.recovery", "opskit.fleet"]
)
