"""Copying the shipped notebooks beside people's work on them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from opskit.errors import InputError
from opskit.jupyter.shipped import copy_notebooks, shipped_folder
from tests.jupyter.notebook import cell, write


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    folder = tmp_path / "shipped"
    folder.mkdir()
    ship(folder, "demo = True", "1 + 1")
    return folder


def ship(folder: Path, *sources: str) -> None:
    write(folder / "01-look.ipynb", *(cell("code", source) for source in sources))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def bring(shipped: Path, mine: Path) -> str:
    (copy,) = copy_notebooks(shipped, mine)
    return copy.status


def test_opskit_finds_its_own() -> None:
    assert (shipped_folder() / "00-start-here.ipynb").exists()


def test_the_first_time_everything_is_copied_for_this_user_alone(
    shipped: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "a" / "mine"

    assert bring(shipped, mine) == "new"

    assert (mine / "01-look.ipynb").read_bytes() == (shipped / "01-look.ipynb").read_bytes()
    for path, mode in ((mine, 0o700), (mine / ".opskit", 0o700), (mine / "01-look.ipynb", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert bring(shipped, mine) == "same"


def test_an_unedited_copy_is_brought_up_to_date(shipped: Path, tmp_path: Path) -> None:
    bring(shipped, tmp_path / "mine")
    ship(shipped, "demo = True", "1 + 2")

    assert bring(shipped, tmp_path / "mine") == "updated"

    assert "1 + 2" in (tmp_path / "mine" / "01-look.ipynb").read_text()
    assert bring(shipped, tmp_path / "mine") == "same"


def test_running_is_not_editing_and_outputs_are_set_aside(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "01-look.ipynb"
    bring(shipped, mine.parent)
    output = {"output_type": "stream", "name": "stdout", "text": "the only record"}
    notebook = json.loads(mine.read_text())
    notebook["cells"][1]["outputs"] = [output]
    mine.write_text(json.dumps(notebook))
    assert bring(shipped, mine.parent) == "same"
    ship(shipped, "demo = True", "1 + 2")

    assert bring(shipped, mine.parent) == "updated"

    (before,) = (mine.parent / ".opskit" / "before").iterdir()
    assert "the only record" in before.read_text()


def test_an_edited_copy_is_left_without_much_ado(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "01-look.ipynb"
    bring(shipped, mine.parent)
    edit(mine, "demo = True", "demo = False")

    assert bring(shipped, mine.parent) == "edited"
    assert "demo = False" in mine.read_text()


def test_an_edited_copy_stays_when_there_is_a_newer_one_and_the_difference_is_told(
    shipped: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine" / "01-look.ipynb"
    bring(shipped, mine.parent)
    edit(mine, "demo = True", "demo = False")
    before = mine.read_bytes()
    ship(shipped, "demo = True", "1 + 2")

    for _ in range(2):
        (copy,) = copy_notebooks(shipped, mine.parent)
        assert copy.status == "newer"
    assert copy.diff == (
        "--- yours", "+++ opskit's", "-demo = False", "-1 + 1", "+demo = True", "+1 + 2",
    )  # fmt: skip
    assert mine.read_bytes() == before

    mine.rename(mine.with_name("my-01-look.ipynb"))
    assert bring(shipped, mine.parent) == "new"


def test_a_file_of_theirs_under_the_same_name_is_left(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "01-look.ipynb").write_text("mine, and no notebook")

    assert bring(shipped, mine) == "edited"
    assert (mine / "01-look.ipynb").read_text() == "mine, and no notebook"


def test_without_its_memory_nothing_is_overwritten(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    bring(shipped, mine)
    (mine / ".opskit" / "shipped.json").write_text("[]")
    ship(shipped, "demo = True", "1 + 2")

    assert bring(shipped, mine) == "newer"


def test_a_folder_that_cannot_be_is_an_error_of_one_sentence(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        bring(shipped, tmp_path / "file")
