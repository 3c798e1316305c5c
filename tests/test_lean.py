"""What opskit imports from others brings only what is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    "what", ["opskit.cli.app", "opskit.cli.app, opskit.reading, opskit.snapshot"]
)
def test_servers_are_asked_before_tables_are_loaded(what: str) -> None:
    code = f"import sys, {what}; assert not {{'pandas', 'pyarrow', 'docker'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
