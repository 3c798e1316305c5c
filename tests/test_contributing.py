"""The recipes of CONTRIBUTING.md do what they say when somebody pastes them as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import LIMIT

ROOT = Path(__file__).parents[1]


def recipe(title: str) -> list[str]:
    """Give the code below a title, cut where a comment says to go on in another place."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return re.split(r"^ *# in .*:\n", code, flags=re.MULTILINE)


def paste(module: Path, table: str, entry: str, *, above: str = "") -> None:
    """Put an entry into a table of a module, and what it needs above that."""
    code = module.read_text()
    (begin,) = re.findall(rf"^{table}\b.*= [{{[]$", code, re.MULTILINE)
    module.write_text(code.replace(begin, f"{above}\n\n{begin}\n{entry}"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for part in ("opskit", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_with_what_the_recipes_add_the_tables_are_whole_and_every_skin_offers_it(
    copy: Path,
) -> None:
    opskit = copy / "opskit"
    function, entry = recipe("Add a generator")
    paste(opskit / "secrets" / "generate.py", "GENERATORS", entry, above=function)
    (entry,) = recipe("Add a hook for another database")
    paste(opskit / "kinds" / "hooks.py", "HOOKS", entry)
    (opskit / "steps" / "scripts" / "couchdb.sh").touch()
    _, entry, function = recipe("Add a form")
    paste(opskit / "widgets" / "kinds.py", "FORMS", entry)
    paste(opskit / "forms.py", "__all__", '    "purge",')
    with (opskit / "forms.py").open("a") as module:
        module.write(f"\n\n{function}")

    tables = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "tests/test_tables.py"],
        cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert tables.returncode == 0, tables.stdout
    for name in ("dice", "couchdb", "purge"):
        assert f"[{name}] PASSED" in tables.stdout
