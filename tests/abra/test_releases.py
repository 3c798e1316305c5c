"""Versions of recipes and their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.abra.layout import read_tree
from opskit.abra.releases import in_order, newer, order
from tests.abra.releases import Releases

NUMBER = st.integers(0, 30)
RELEASE = st.builds("{}.{}.{}+{}.{}-fpm".format, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER)


def test_the_recipes_version_counts_first_then_the_apps_as_numbers() -> None:
    versions = ["1.10.0+2.0", "1.2.0+10.0", "1.2.0+9.9", "main", "0a1b2c3d", "0.9.0+v1.2-fpm"]
    assert in_order(versions) == ("0.9.0+v1.2-fpm", "1.2.0+9.9", "1.2.0+10.0", "1.10.0+2.0")
    assert newer(versions, "1.2.0+9.9") == ["1.2.0+10.0", "1.10.0+2.0"]
    assert newer(versions, "1.10.0+2.0") == []
    assert newer(versions, "0a1b2c3d+U") is None


@given(st.lists(RELEASE), RELEASE)
def test_newer_is_what_comes_after_in_order(versions: list[str], than: str) -> None:
    ordered = in_order([*versions, than])
    later = newer(versions, than)
    assert later is not None
    assert [v for v in ordered[ordered.index(than) + 1 :] if order(v) != order(than)] == later


@pytest.mark.parametrize("packed", [False, True])
def test_tags_are_found_wherever_git_keeps_them(tmp_path: Path, packed: bool) -> None:
    (tmp_path / "servers" / "coop.example").mkdir(parents=True)
    (tmp_path / "servers" / "coop.example" / "shop.example.env").write_text("TYPE=shop\n")
    recipe = Releases(tmp_path / "recipes" / "shop")
    for version in ("1.9.0+1", "1.10.0+1", "nightly"):
        recipe.release(version, {"compose.yml": f"# {version}"}, message="annotated")
    if packed:
        recipe.git("pack-refs", "--all")
    assert read_tree(tmp_path).releases == {"shop": ("1.9.0+1", "1.10.0+1")}
