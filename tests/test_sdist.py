"""The source distribution, as pyproject.toml describes it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path, PurePath

ROOT = Path(__file__).parents[1]


def test_what_the_readme_links_to_is_in_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / "README.md").read_text())
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
        assert any(PurePath(link).is_relative_to(one) for one in included), link
