"""Findings about files: one for each fault of each file, wherever its lines and folder are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import opskit
from opskit.abra.layout import read_tree
from opskit.demo.fleet import DemoFleet
from opskit.facts.facts import Facts
from opskit.views.frame import View

IDENTITY = ("id", "server", "app", "secret", "subject")
"""What a finding is known again by: its key, and what is acknowledged."""

CONFLICT = "<<<<<<< HEAD\nA=1\n=======\nA=2\n>>>>>>> theirs\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two servers with an app each, and a recipe."""
    root = tmp_path / "abra"
    for server in ("one.example", "two.example"):
        (root / "servers" / server).mkdir(parents=True)
        write(root, server, "TYPE=shop\n")
    (root / "recipes" / "shop").mkdir(parents=True)
    (root / "recipes" / "shop" / "compose.yml").write_text("services:\n  app:\n    image: x\n")
    (root / "recipes" / "shop" / ".env.sample").write_text("TYPE=shop\nMOTTO=\n#NAME=\n")
    return root


def write(root: Path, server: str, text: str) -> None:
    (root / "servers" / server / f"shop.{server}.env").write_text(text)


def audit(root: Path) -> View:
    """Return what is found where no server was asked."""
    declared = read_tree(root)
    facts = Facts(taken_at=datetime.now(UTC), declared=declared, observed=())
    return opskit.Snapshot(facts).audit(acknowledged=True)


def test_no_two_findings_of_the_demo_fleet_are_about_the_very_same(
    use: Callable[[DemoFleet], Path], demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    findings = opskit.Fleet.from_abra().snapshot().audit(acknowledged=True)

    assert not findings.duplicated([*IDENTITY]).any()


def test_equal_faults_of_a_file_are_one_finding_that_names_its_lines(root: Path) -> None:
    write(root, "one.example", "TYPE=shop\nONE\nTWO\nA='open\nTHREE\n")
    found = audit(root).query("id == 'file-unreadable'")
    lines = [row.what.partition(": ")[0] for row in found.records()]

    assert sorted(lines) == [
        "servers/one.example/shop.one.example.env, lines 2, 3 and 5",
        "servers/one.example/shop.one.example.env:4",
    ]
    assert not found.duplicated([*IDENTITY]).any()


def test_equal_faults_of_files_of_one_name_are_findings_of_their_own(root: Path) -> None:
    for server in ("one.example", "two.example"):
        (root / "servers" / server / "same.env").symlink_to("nowhere")
    found = audit(root).query("server == '' or app == 'same'")

    assert len(found) == 2
    assert found["key"].is_unique
    assert not found.duplicated([*IDENTITY]).any()


@pytest.mark.parametrize("fault", ["ONE\nTWO\n", CONFLICT])
def test_a_finding_is_the_same_when_lines_move_and_in_another_folder(
    root: Path, tmp_path: Path, fault: str
) -> None:
    write(root, "one.example", f"TYPE=shop\n{fault}")
    before = audit(root)
    write(root, "one.example", f"# more\n\nTYPE=shop\n{fault}")
    shutil.move(root, tmp_path / "elsewhere")
    after = audit(tmp_path / "elsewhere")

    assert list(after["key"]) == list(before["key"])
    assert set(after["what"]) != set(before["what"])


def unreadable(root: Path, text: str) -> dict[str, str]:
    """Return the subjects of what is found in a file of this text, each with its key."""
    write(root, "one.example", f"TYPE=shop\n{text}")
    found = audit(root).query("id == 'file-unreadable'")
    return dict(zip(found["subject"], found["key"], strict=True))


def test_the_next_line_of_a_kind_is_another_finding_than_the_one_that_may_be_let_be(
    root: Path,
) -> None:
    first = unreadable(root, "MOTTO='open\n")
    both = unreadable(root, "# more\nNAME='open\n\nMOTTO='open\n")

    assert [one.rpartition(": ")[2] for one in first] == ["MOTTO"]
    assert first.items() <= both.items()
    assert [one.rpartition(": ")[2] for one in set(both) - set(first)] == ["NAME"]


def test_of_lines_without_a_variable_one_more_is_another_finding_and_none_is_quoted(
    root: Path,
) -> None:
    one, two = unreadable(root, "hunter2\n"), unreadable(root, "hunter2\nhunter3\n")
    piece = unreadable(root, "hunter4='\n")

    assert len(one) == len(two) == len(piece) == 1
    assert not set(one.values()) & set(two.values())
    assert "hunter" not in repr((one, two, piece))


@pytest.mark.parametrize(
    "line", ['JBSWY3DPEHPK3PXP="', "JBSWY3DPEHPK3PXP='open", "JBSWY3DPEHPK3PXP=${A", 'NAMELESS="']
)
def test_only_what_the_recipe_knows_is_a_variable_and_not_a_piece_of_a_value(
    root: Path, line: str
) -> None:
    found = unreadable(root, f"{line}\n")
    declared = read_tree(root)

    assert len(found) == 1
    assert line[:8] not in repr(found)
    assert line[:8] not in repr(declared)
    assert len(unreadable(root, f"MOTTO='open\n{line}\n")) == 2


@pytest.mark.parametrize("key", ["TYPE", "COMPOSE_FILE", "STACK_NAME", "DOMAIN"])
def test_a_name_that_took_lines_below_it_along_is_none_and_shows_nothing_of_them(
    root: Path, key: str
) -> None:
    found = unreadable(root, f'{key}="shop\nPASSWORD=hunter2\nMOTTO="\n')
    (subject,) = found

    assert subject.endswith(f"stands on one.: {key}")
    assert "hunter2" not in repr(read_tree(root))
    assert "hunter2" not in audit(root).to_csv()


def test_a_second_conflict_in_a_file_is_another_finding(root: Path) -> None:
    write(root, "one.example", f"TYPE=shop\n{CONFLICT}")
    (one,) = audit(root).query("id == 'file-conflict'").records()
    write(root, "one.example", f"TYPE=shop\n{CONFLICT}B=1\n{CONFLICT}")
    (two,) = audit(root).query("id == 'file-conflict'").records()

    assert one.key != two.key
