"""What opskit imports from others brings only what is used."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from opskit.lean import without_collecting

CODE = """
import sys
{what}
assert "jsonschema" in sys.modules
assert "rfc3987_syntax" not in sys.modules
from importlib.util import find_spec
find_spec("rfc3987_syntax")
"""


@pytest.mark.parametrize(
    "what",
    [
        "from opskit.pictures.picture import altair; altair()",
        "from opskit.jupyter.execute import _papermill; _papermill()",
    ],
    ids=["pictures", "runbooks"],
)
def test_no_parser_is_made_that_nothing_here_asks(what: str) -> None:
    subprocess.run([sys.executable, "-c", CODE.format(what=what)], check=True)


@pytest.mark.parametrize(
    "what", ["opskit.cli.app", "opskit.cli.app, opskit.reading.reading, opskit.snapshot"]
)
def test_servers_are_asked_before_tables_are_loaded(what: str) -> None:
    code = f"import sys, {what}; assert not {{'pandas', 'pyarrow', 'docker'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_was_read_at_once_is_not_searched_for_garbage_afterwards() -> None:
    before = gc.get_freeze_count()
    with without_collecting():
        made = [[number] for number in range(100_000)]
    assert gc.isenabled()
    old = {id(one) for one in gc.get_objects(generation=2)}
    assert old.issuperset(map(id, made))
    assert gc.get_freeze_count() <= before


def test_what_others_froze_stays_frozen() -> None:
    theirs = [["somebody's"]]
    gc.freeze()
    try:
        with without_collecting():
            pass
        assert not any(one is theirs for one in gc.get_objects())
    finally:
        gc.unfreeze()
