"""Which revision of a recipe is checked out, compared with git."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.abra.revision import revision

Git = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recipe"


@pytest.fixture
def git(folder: Path, tmp_path: Path) -> Git:
    """Run git in a fresh repository with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "Nobody" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "nobody@example.com" for who in ("AUTHOR", "COMMITTER")},
    }

    def run(*arguments: str, cwd: Path = folder) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=environment, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    run("init", "-q", "-b", "main")
    (folder / "compose.yml").write_text("services: {}\n")
    (folder / "abra.sh").symlink_to("compose.yml")
    run("add", ".")
    run("commit", "-q", "-m", "First")
    return run


def short(git: Git) -> str:
    return git("rev-parse", "HEAD")[:8]


def test_a_folder_without_git_has_no_revision(tmp_path: Path) -> None:
    assert revision(tmp_path) == ""


@pytest.mark.parametrize("state", ["loose", "packed", "detached"])
def test_the_commit_is_found_wherever_git_keeps_it(git: Git, folder: Path, state: str) -> None:
    if state == "packed":
        git("pack-refs", "--all")
        git("gc", "-q")
    if state == "detached":
        git("checkout", "-q", "--detach")

    assert revision(folder) == short(git)


def test_an_unborn_branch_has_no_revision(tmp_path: Path, git: Git) -> None:
    git("init", "-q", "-b", "main", str(tmp_path / "new"))

    assert revision(tmp_path / "new") == ""


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("packed", ["nothing", "references", "objects", "both"])
def test_a_tag_on_this_commit_is_named(
    git: Git, folder: Path, annotated: bool, packed: str
) -> None:
    git("tag", *(["-a", "-m", "x"] if annotated else []), "1.2.0+3.4")
    git("tag", "zz-elsewhere", git("commit-tree", "HEAD^{tree}", "-m", "other"))
    if packed in {"references", "both"}:
        git("pack-refs", "--all")
    if packed in {"objects", "both"}:
        git("repack", "-a", "-d", "-q")

    assert revision(folder) == f"1.2.0+3.4 ({short(git)})"


def test_a_surrounding_git_hook_does_not_confuse_it(
    git: Git, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("tag", "-a", "-m", "x", "1.0.0")
    git("repack", "-a", "-d", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    assert revision(folder) == f"1.0.0 ({short(git)})"


def test_a_git_that_gave_no_answer_is_asked_again(
    git: Git, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("tag", "-a", "-m", "x", "1.0.0")
    git("repack", "-a", "-d", "-q")
    commit = short(git)
    with monkeypatch.context() as without_git:
        without_git.setenv("PATH", str(tmp_path))
        assert revision(folder) == commit

    assert revision(folder) == f"1.0.0 ({commit})"


def test_a_tag_on_another_commit_is_not(git: Git, folder: Path) -> None:
    git("tag", "-a", "-m", "x", "1.0.0")
    git("commit", "-q", "--allow-empty", "-m", "Second")

    assert revision(folder) == short(git)


def test_a_worktree_shares_the_references(git: Git, folder: Path, tmp_path: Path) -> None:
    git("tag", "1.0.0")
    git("worktree", "add", "-q", str(tmp_path / "tree"))

    assert revision(tmp_path / "tree") == f"1.0.0 ({short(git)})"


def edited(folder: Path) -> None:
    (folder / "compose.yml").write_text("services: []\n")


def removed(folder: Path) -> None:
    (folder / "compose.yml").unlink()


def pointed_elsewhere(folder: Path) -> None:
    (folder / "abra.sh").unlink()
    (folder / "abra.sh").symlink_to("nowhere")


def no_link_any_more(folder: Path) -> None:
    (folder / "abra.sh").unlink()
    (folder / "abra.sh").write_text("compose.yml")


@pytest.mark.parametrize("change", [edited, removed, pointed_elsewhere, no_link_any_more])
def test_a_changed_checkout_carries_abras_mark(
    git: Git, folder: Path, change: Callable[[Path], None]
) -> None:
    change(folder)

    assert revision(folder) == f"{short(git)}+U"


def test_a_touched_file_is_no_change(git: Git, folder: Path) -> None:
    os.utime(folder / "compose.yml", (1, 1))

    assert revision(folder) == short(git)


def test_an_untracked_or_ignored_change_is_none(git: Git, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    git("update-index", "--assume-unchanged", "compose.yml")
    edited(folder)

    assert revision(folder) == short(git)


@pytest.mark.parametrize("version", ["3", "4"])
def test_other_forms_of_the_index_do_no_harm(git: Git, folder: Path, version: str) -> None:
    git("update-index", "--index-version", version)

    assert revision(folder) == short(git)


@pytest.mark.parametrize("damage", [b"", b"DIRC", b"DIRC\0\0\0\2\0\0\0\x09short"])
def test_a_damaged_index_does_no_harm(git: Git, folder: Path, damage: bytes) -> None:
    (folder / ".git" / "index").write_bytes(damage)

    assert revision(folder) == short(git)
