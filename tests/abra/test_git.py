"""What is checked out in a recipe, in every state a repository can be in; git is the oracle."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.abra import git as runner
from opskit.abra.repository import Checkout, Repository, open_repository
from opskit.errors import InputError, MissingToolError

Git = Callable[..., str]
State = Callable[[Git, Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recipe"


@pytest.fixture
def git(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Run git in a fresh repository with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder.mkdir()
    # The operator's settings, for opskit and for the oracle.
    monkeypatch.setenv("HOME", str(tmp_path))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
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


def read(folder: Path) -> Repository:
    found = open_repository(folder)
    assert found is not None
    return found


def revision(folder: Path) -> str:
    return str(read(folder).checkout)


def short(git: Git) -> str:
    return git("rev-parse", "HEAD")[:8]


# -- every state, against git -----------------------------------------------------------------


def untouched(git: Git, folder: Path) -> None:
    pass


def edited(git: Git, folder: Path) -> None:
    (folder / "compose.yml").write_text("services: []\n")


def edited_to_the_same_size_and_time(git: Git, folder: Path) -> None:
    times = (folder / "compose.yml").stat()
    (folder / "compose.yml").write_text("services: []\n")
    os.utime(folder / "compose.yml", ns=(times.st_atime_ns, times.st_mtime_ns))


def staged(git: Git, folder: Path) -> None:
    edited(git, folder)
    git("add", "compose.yml")


def staged_and_put_back(git: Git, folder: Path) -> None:
    staged(git, folder)
    (folder / "compose.yml").write_text("services: {}\n")


def staged_as_new(git: Git, folder: Path) -> None:
    (folder / "compose.mail.yml").write_text("services: {}\n")
    git("add", "compose.mail.yml")


def staged_as_removed(git: Git, folder: Path) -> None:
    git("rm", "-q", "--cached", "compose.yml")


def removed(git: Git, folder: Path) -> None:
    (folder / "compose.yml").unlink()


def touched(git: Git, folder: Path) -> None:
    os.utime(folder / "compose.yml", (1, 1))


def made_executable(git: Git, folder: Path) -> None:
    (folder / "compose.yml").chmod(0o755)


def pointed_elsewhere(git: Git, folder: Path) -> None:
    (folder / "abra.sh").unlink()
    (folder / "abra.sh").symlink_to("nowhere")


def no_link_any_more(git: Git, folder: Path) -> None:
    (folder / "abra.sh").unlink()
    (folder / "abra.sh").write_text("compose.yml")


def untracked(git: Git, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def assumed_unchanged(git: Git, folder: Path) -> None:
    git("update-index", "--assume-unchanged", "compose.yml")
    edited(git, folder)


def skipped(git: Git, folder: Path) -> None:
    git("update-index", "--skip-worktree", "compose.yml")
    removed(git, folder)


def index_version_3(git: Git, folder: Path) -> None:
    git("update-index", "--index-version", "3")
    staged(git, folder)


def index_version_4(git: Git, folder: Path) -> None:
    git("update-index", "--index-version", "4")
    edited(git, folder)


def index_version_4_untouched(git: Git, folder: Path) -> None:
    git("update-index", "--index-version", "4")


def split_index(git: Git, folder: Path) -> None:
    git("update-index", "--split-index")
    edited(git, folder)


def split_index_untouched(git: Git, folder: Path) -> None:
    git("update-index", "--split-index")


def line_ends_by_attribute(git: Git, folder: Path) -> None:
    (folder / ".gitattributes").write_text("*.yml text eol=crlf\n")
    (folder / "compose.yml").unlink()
    git("add", ".")
    git("commit", "-q", "-m", "Line ends")
    git("checkout", "-q", "HEAD~1", "--", "compose.yml")
    git("commit", "-q", "-m", "Back")
    assert b"\r\n" in (folder / "compose.yml").read_bytes()


def line_ends_by_attribute_touched(git: Git, folder: Path) -> None:
    line_ends_by_attribute(git, folder)
    touched(git, folder)


def line_ends_by_the_operators_setting(git: Git, folder: Path) -> None:
    git("config", "--global", "core.autocrlf", "true")
    (folder / "compose.yml").unlink()
    git("checkout", "-q", "--", "compose.yml")
    assert (folder / "compose.yml").read_bytes() == b"services: {}\r\n"
    touched(git, folder)


def submodule(git: Git, folder: Path) -> None:
    other = folder.parent / "other"
    git("clone", "-q", str(folder), str(other), cwd=folder.parent)
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    git("commit", "-q", "-m", "Add it")


def submodule_edited(git: Git, folder: Path) -> None:
    submodule(git, folder)
    edited(git, folder / "sub")


def submodule_moved(git: Git, folder: Path) -> None:
    submodule(git, folder)
    git("commit", "-q", "--allow-empty", "-m", "More", cwd=folder / "sub")


def merging(git: Git, folder: Path) -> None:
    git("checkout", "-q", "-b", "side")
    edited(git, folder)
    git("commit", "-q", "-a", "-m", "Ours")
    git("checkout", "-q", "main")
    (folder / "compose.yml").write_text("services: 1\n")
    git("commit", "-q", "-a", "-m", "Theirs")
    with pytest.raises(subprocess.CalledProcessError):
        git("merge", "-q", "side")


def detached(git: Git, folder: Path) -> None:
    git("checkout", "-q", "--detach")


def packed(git: Git, folder: Path) -> None:
    git("pack-refs", "--all")
    git("gc", "-q")


def sparse(git: Git, folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "a.md").write_text("a")
    git("add", ".")
    git("commit", "-q", "-m", "Documents")
    git("sparse-checkout", "set", "conf")


def on_a_branch_with_an_odd_name(git: Git, folder: Path) -> None:
    git("checkout", "-q", "-b", "a\N{LINE SEPARATOR}b")


STATES = [
    untouched, edited, edited_to_the_same_size_and_time, staged, staged_and_put_back,
    staged_as_new, staged_as_removed, removed, touched, made_executable, pointed_elsewhere,
    no_link_any_more, untracked, assumed_unchanged, skipped, index_version_3, index_version_4,
    index_version_4_untouched, split_index, split_index_untouched, line_ends_by_attribute,
    line_ends_by_attribute_touched, line_ends_by_the_operators_setting, submodule,
    submodule_edited, submodule_moved, merging, detached, packed, sparse,
    on_a_branch_with_an_odd_name,
]  # fmt: skip
CHANGED = {
    edited, edited_to_the_same_size_and_time, staged, staged_and_put_back, staged_as_new,
    staged_as_removed, removed, made_executable, pointed_elsewhere, no_link_any_more,
    index_version_3, index_version_4, split_index, submodule_moved, merging,
}  # fmt: skip


def as_git_says(git: Git) -> Checkout:
    changes = git("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    try:
        tag = git("describe", "--exact-match", "--tags")
    except subprocess.CalledProcessError:
        tag = ""
    return Checkout(tag=tag, commit=git("rev-parse", "HEAD"), changed=bool(changes))


@pytest.mark.parametrize("bring", STATES, ids=lambda state: state.__name__)
def test_what_is_checked_out_is_what_git_says(git: Git, folder: Path, bring: State) -> None:
    bring(git, folder)
    git("tag", "1.2.0+3.4")

    index = (folder / ".git" / "index").read_bytes()
    found = read(folder).checkout

    assert (folder / ".git" / "index").read_bytes() == index
    assert found == as_git_says(git)
    assert found.changed == (bring in CHANGED)


@pytest.mark.parametrize("kind", [["--object-format=sha256"], ["--ref-format=reftable"]])
def test_newer_kinds_of_repositories_are_read_where_git_can(
    git: Git, folder: Path, kind: list[str]
) -> None:
    shutil.rmtree(folder / ".git")
    try:
        git("init", "-q", "-b", "main", *kind)
    except subprocess.CalledProcessError:
        pytest.skip(f"this git has no {kind[0]}")
    git("add", ".")
    git("commit", "-q", "-m", "First")
    git("tag", "-a", "-m", "x", "1.0.0")

    assert read(folder).checkout == as_git_says(git)
    commit = read(folder).commit_of("1.0.0")
    assert commit == git("rev-parse", "HEAD")
    assert read(folder).files(commit, ["compose.yml"]) == {"compose.yml": b"services: {}\n"}


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
    assert read(folder).checkout == as_git_says(git)


def test_of_several_tags_on_this_commit_the_highest_release_is_named(
    git: Git, folder: Path
) -> None:
    for tag in ("9.0.0+1", "10.0.0+1", "zz-stable"):
        git("tag", tag)
    assert revision(folder) == f"10.0.0+1 ({short(git)})"


def test_a_tag_of_a_tag_stands_for_its_commit(git: Git, folder: Path) -> None:
    git("tag", "-a", "-m", "x", "inner")
    git("tag", "-a", "-m", "x", "outer", "inner")

    assert read(folder).tags == {
        "inner": git("rev-parse", "HEAD"),
        "outer": git("rev-parse", "HEAD"),
    }


def test_a_tag_on_another_commit_is_not_named(git: Git, folder: Path) -> None:
    git("tag", "-a", "-m", "x", "1.0.0")
    git("commit", "-q", "--allow-empty", "-m", "Second")

    assert revision(folder) == short(git)


def test_a_worktree_shares_the_tags_and_has_its_own_changes(
    git: Git, folder: Path, tmp_path: Path
) -> None:
    git("tag", "1.0.0")
    git("worktree", "add", "-q", str(tmp_path / "tree"))
    (tmp_path / "tree" / "compose.yml").write_text("mine\n")

    assert revision(tmp_path / "tree") == f"1.0.0 ({short(git)}+U)"
    assert revision(folder) == f"1.0.0 ({short(git)})"


def test_a_branch_without_commits_has_nothing_checked_out(tmp_path: Path, git: Git) -> None:
    git("init", "-q", "-b", "main", str(tmp_path / "new"))

    assert read(tmp_path / "new").checkout is None


@pytest.mark.parametrize("content", [None, "folder", "file"])
def test_a_folder_without_a_repository_has_none_though_one_surrounds_it(
    git: Git, folder: Path, content: str | None
) -> None:
    inner = folder / "inner"
    inner.mkdir()
    if content == "folder":
        (inner / ".git").mkdir()
    if content == "file":
        (inner / ".git").write_text("gitdir: ../nowhere\n")

    assert open_repository(inner) is None


def test_a_surrounding_git_hook_does_not_confuse_it(
    git: Git, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    assert revision(folder) == short(git)


# -- versions ---------------------------------------------------------------------------------


def test_a_version_is_a_tag_or_the_beginning_of_a_commit_and_never_a_branch(
    git: Git, folder: Path
) -> None:
    first = git("rev-parse", "HEAD")
    git("tag", "-a", "-m", "x", "1.0.0")
    git("commit", "-q", "--allow-empty", "-m", "Second")
    git("branch", "deadbeef")
    git("tag", "cafe", first)
    found = read(folder)

    assert found.commit_of("1.0.0") == found.commit_of(first[:8]) == first
    assert found.commit_of("cafe") == first
    for other in ("main", "HEAD", "deadbeef", "0" * 40, "2.0.0", "", "--all"):
        assert found.commit_of(other) == ""


def test_files_of_a_commit_are_as_committed_and_links_are_followed_within_it(
    git: Git, folder: Path, tmp_path: Path
) -> None:
    (folder / ".gitattributes").write_text("*.yml text eol=crlf\n")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "a b.yml").write_text("x")
    git("add", ".")
    git("commit", "-q", "-m", "Second")
    commit = git("rev-parse", "HEAD")
    git("update-index", "--assume-unchanged", "compose.yml")
    edited(git, folder)

    (folder / "sub").mkdir()
    (folder / "sub" / "deep.yml").symlink_to("../again")
    (folder / "again").symlink_to("abra.sh")
    (folder / "loop").symlink_to("loop")
    (folder / "way").symlink_to("sub")
    git("add", ".")
    git("commit", "-q", "-m", "Links")
    commit = git("rev-parse", "HEAD")

    asked = [
        "sub/deep.yml", "way/deep.yml", "loop", "sub", "way",
        "compose.yml", "./compose.yml", "abra.sh", "a b.yml", "outside", "none", "../compose.yml",
        "/etc/passwd", ".", "compose.yml\nabra.sh", "compose.yml\0", "",
    ]  # fmt: skip
    expected = dict.fromkeys(
        ["compose.yml", "./compose.yml", "abra.sh", "sub/deep.yml", "way/deep.yml"],
        b"services: {}\n",
    )
    assert read(folder).files(commit, asked) == {**expected, "a b.yml": b"x"}


def test_a_replaced_commit_is_read_as_its_name_says(git: Git, folder: Path) -> None:
    first = git("rev-parse", "HEAD")
    edited(git, folder)
    git("commit", "-q", "-a", "-m", "Second")
    git("replace", first, "HEAD")

    assert read(folder).files(first, ["compose.yml"]) == {"compose.yml": b"services: {}\n"}


def test_a_file_that_is_too_large_is_refused_before_it_is_read(git: Git, folder: Path) -> None:
    (folder / "large.yml").write_bytes(bytes(5 * 1024 * 1024))
    git("add", ".")
    git("commit", "-q", "-m", "Large")

    with pytest.raises(InputError, match=r"large\.yml: the file is larger than 1 MiB"):
        read(folder).files(git("rev-parse", "HEAD"), ["compose.yml", "large.yml"])


# -- what git cannot or must not say ----------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"DIRC", b"DIRC\0\0\0\2\0\0\0\x09short"])
def test_a_damaged_index_is_named_and_never_taken_for_unchanged(
    git: Git, folder: Path, damage: bytes
) -> None:
    (folder / ".git" / "index").write_bytes(damage)

    with pytest.raises(InputError, match=r"git cannot read this checkout: fatal: .*index"):
        open_repository(folder)


def test_without_git_the_text_says_to_install_it(
    git: Git, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without_git:
        without_git.setenv("PATH", str(tmp_path))
        with pytest.raises(MissingToolError, match="Install it"):
            open_repository(folder)

    assert revision(folder) == short(git)


def test_a_git_that_does_not_answer_is_ended(
    git: Git, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "bin" / "git"
    hanging.parent.mkdir()
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", str(hanging.parent), prepend=os.pathsep)
    monkeypatch.setattr(runner, "SECONDS", 0.2)

    with pytest.raises(InputError, match=r"git did not answer in 0\.2 s"):
        open_repository(folder)
