"""The examples in docstrings run, on the sample fleet: those of all that is public, and more."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import opskit
from opskit.demo.fleet import DemoFleet
from opskit.swarm.transport import TRANSPORT
from opskit.widgets.form import Form
from tests.waiting import eventually

PACKAGE = Path(opskit.__file__).parent
AT_MOST = 8
"""So many lines are read; more are not."""


def found() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder()
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text():
            module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            yield from (one for one in finder.find(import_module(module)) if one.examples)


EXAMPLES = {one.name: one for one in found()}


def changes_something(example: doctest.DocTest) -> bool:
    words = (".apply(", "Runbook(", ".acknowledge(")
    return any(word in one.source for one in example.examples for word in words)


@pytest.fixture
def point(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[doctest.DocTest], opskit.Fleet]]:
    """Make a fleet for an example: the shared one, or one of its own to change."""
    own: list[DemoFleet] = []

    def make(example: doctest.DocTest) -> opskit.Fleet:
        if changes_something(example):
            own.append(DemoFleet())
            own[0].start()
        demo = own[0] if own else request.getfixturevalue("demo_fleet")
        for name, value in demo.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        return opskit.Fleet.from_abra()

    yield make
    TRANSPORT.close()
    for demo in own:
        demo.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_shows_what_it_says(
    name: str, point: Callable[[doctest.DocTest], opskit.Fleet]
) -> None:
    example = EXAMPLES[name]
    example.globs = {"opskit": opskit, "fleet": point(example)}
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=said.append, clear_globs=False)
    for form in (one for one in example.globs.values() if isinstance(one, Form)):
        # It reads the fleet in a thread of its own, which is to be over before the fleet is.
        eventually(lambda form=form: form.state["phase"] != "loading", "the form to have read")
    assert not said, "".join(said)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short(name: str) -> None:
    lines = [
        line
        for one in EXAMPLES[name].examples
        for line in (one.source + one.want).splitlines()
        if line.strip()
    ]
    assert len(lines) <= AT_MOST


def test_what_operators_begin_with_has_an_example() -> None:
    things = (
        "opskit.fleet.Fleet", "opskit.snapshot.Snapshot", "opskit.run.run.Plan",
        "opskit.run.run.Run", "opskit.runbook.book.Runbook", "opskit.forms",
    )  # fmt: skip
    assert set(things) <= EXAMPLES.keys()


def test_whatever_plans_something_has_an_example() -> None:
    shown = "".join(one.source for example in EXAMPLES.values() for one in example.examples)
    plans = [name for name in dir(opskit.Fleet) if name.startswith("plan_")]
    assert len(plans) > 10
    assert [name for name in plans if f"fleet.{name}(" not in shown] == []
