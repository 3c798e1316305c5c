"""Committing an app's ``.env``: just that file, and only where it is under version control."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest

from opskit.errors import MissingToolError, StepError
from opskit.steps import envfile
from opskit.steps.envfile import commit_env
from tests import githooks
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the settings of whoever runs the tests."""
    config = tmp_path / "gitconfig"
    config.write_text(
        "[user]\n name = Alice\n email = alice@coop.example\n"
        '[init]\n defaultBranch = main\n[protocol "file"]\n allow = always\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(tmp_path / "state"))
    return config


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    checkout = tmp_path / "servers"
    (checkout / "coop.example").mkdir(parents=True)
    git(checkout, "init", "--quiet")
    for name in ("blog", "wiki"):
        (checkout / "coop.example" / f"{name}.env").write_text("VERSION=v1\n")
    (checkout / ".gitignore").write_text("*.private.env\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "Begin")
    return checkout


@pytest.fixture
def blog(checkout: Path) -> Path:
    blog = checkout / "coop.example" / "blog.env"
    blog.write_text("VERSION=v2\n")
    return blog


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", folder, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def committed(folder: Path) -> list[str]:
    """Name the files of the last commit."""
    return git(folder, "show", "--format=", "--name-only", "HEAD").splitlines()


def hook(checkout: Path, name: str, script: str) -> None:
    path = checkout / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_file_is_committed_and_the_commit_named(checkout: Path, blog: Path) -> None:
    commit = commit_env(blog, "Rotate db_password")
    assert commit == git(checkout, "rev-parse", "HEAD")
    assert git(checkout, "log", "-1", "--format=%s") == "Rotate db_password"
    assert git(checkout, "status", "--porcelain") == ""


def test_other_changes_stay_staged_or_not_as_they_were(checkout: Path, blog: Path) -> None:
    (checkout / "staged.txt").write_text("mine")
    git(checkout, "add", "staged.txt")
    (checkout / "coop.example" / "wiki.env").write_text("VERSION=mine\n")
    before = git(checkout, "diff", "--cached")
    commit_env(blog, "Rotate")
    assert committed(checkout) == ["coop.example/blog.env"]
    assert git(checkout, "diff", "--cached") == before
    assert git(checkout, "diff", "--name-only") == "coop.example/wiki.env"


def test_nothing_changed_is_nothing_to_commit(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert commit_env(checkout / "coop.example" / "wiki.env", "Rotate") is None
    assert git(checkout, "rev-parse", "HEAD") == head


def test_a_file_in_no_checkout_is_not_committed(tmp_path: Path) -> None:
    path = tmp_path / "blog.env"
    path.touch()
    assert commit_env(path, "Rotate") is None


@pytest.mark.parametrize("name", ["new.env", "new.private.env"], ids=["untracked", "ignored"])
def test_a_file_that_git_does_not_track_stays_so(checkout: Path, name: str) -> None:
    path = checkout / "coop.example" / name
    path.touch()
    assert commit_env(path, "Rotate") is None
    assert committed(checkout) == [".gitignore", "coop.example/blog.env", "coop.example/wiki.env"]


def test_a_tracked_file_is_committed_though_a_pattern_ignores_it(checkout: Path) -> None:
    path = checkout / "coop.example" / "old.private.env"
    path.touch()
    git(checkout, "add", "--force", str(path))
    assert commit_env(path, "Rotate")
    assert committed(checkout) == ["coop.example/old.private.env"]


def test_a_link_is_committed_where_its_target_is(
    checkout: Path, blog: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.env"
    link.symlink_to(blog)
    assert commit_env(link, "Rotate")
    assert committed(checkout) == ["coop.example/blog.env"]


def test_a_name_that_looks_like_a_pattern_means_only_itself(checkout: Path, blog: Path) -> None:
    path = checkout / "coop.example" / "*.env"
    path.write_text("VERSION=v1\n")
    git(checkout, "--literal-pathspecs", "add", str(path))
    assert commit_env(path, "Rotate")
    assert committed(checkout) == ["coop.example/*.env"]


def test_a_submodule_commits_and_its_parent_does_not(
    checkout: Path, blog: Path, tmp_path: Path
) -> None:
    git(checkout, "commit", "--quiet", "--all", "-m", "v2")
    parent = tmp_path / "parent"
    git(tmp_path, "init", "--quiet", "parent")
    git(parent, "submodule", "--quiet", "add", str(checkout), "servers")
    git(parent, "commit", "--quiet", "-m", "Add servers")
    head = git(parent, "rev-parse", "HEAD")
    inner = parent / "servers" / "coop.example" / "blog.env"
    inner.write_text("VERSION=v3\n")
    assert commit_env(inner, "Rotate") == git(parent / "servers", "rev-parse", "HEAD")
    assert git(parent, "rev-parse", "HEAD") == head


def test_a_detached_head_commits(checkout: Path, blog: Path) -> None:
    git(checkout, "checkout", "--quiet", "--detach")
    assert commit_env(blog, "Rotate") == git(checkout, "rev-parse", "HEAD")
    assert git(checkout, "rev-parse", "main") != git(checkout, "rev-parse", "HEAD")


def test_a_staged_file_can_be_the_first_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "fresh")
    path = tmp_path / "fresh" / "blog.env"
    path.touch()
    git(path.parent, "add", "blog.env")
    assert commit_env(path, "Begin") == git(path.parent, "rev-parse", "HEAD")


@pytest.mark.parametrize("kind", get_args(githooks.Hook))
def test_the_checkout_of_the_file_is_used_though_a_git_hook_runs_opskit(
    checkout: Path,
    blog: Path,
    kind: githooks.Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as hooked:
        githooks.enter(kind, tmp_path, hooked)
        assert commit_env(blog, "Rotate")
    assert committed(checkout) == ["coop.example/blog.env"]


# -- refusals -----------------------------------------------------------------------------


def test_a_hook_that_refuses_is_quoted_and_nothing_is_committed(checkout: Path, blog: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    hook(checkout, "pre-commit", "echo no rotation on Fridays >&2; exit 1")
    with pytest.raises(StepError, match=r"could not commit .*blog\.env: no rotation on Fridays"):
        commit_env(blog, "Rotate")
    assert git(checkout, "rev-parse", "HEAD") == head
    assert git(checkout, "diff", "--cached") == ""


def test_who_has_no_name_is_told_so(blog: Path, config: Path) -> None:
    config.write_text("[user]\n useConfigOnly = true\n")
    with pytest.raises(StepError, match="Please tell me who you are"):
        commit_env(blog, "Rotate")


def test_a_merge_in_progress_is_not_disturbed(checkout: Path, blog: Path) -> None:
    git(checkout, "stash", "--quiet")
    git(checkout, "checkout", "--quiet", "-b", "side")
    git(checkout, "commit", "--quiet", "--allow-empty", "-m", "side")
    git(checkout, "checkout", "--quiet", "main")
    git(checkout, "merge", "--quiet", "--no-ff", "--no-commit", "side")
    blog.write_text("VERSION=v2\n")
    with pytest.raises(StepError, match="cannot do a partial commit during a merge"):
        commit_env(blog, "Rotate")


def test_a_checkout_of_someone_else_is_refused_in_git_s_words(checkout: Path, blog: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    os.chown(checkout, 1234, 4321)
    with pytest.raises(StepError, match="dubious ownership"):
        commit_env(blog, "Rotate")


def test_an_index_in_use_for_a_moment_is_waited_for(
    checkout: Path, blog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_lock = checkout / ".git" / "index.lock"
    index_lock.touch()
    waited: list[float] = []

    def release(seconds: float) -> None:
        waited.append(seconds)
        index_lock.unlink()

    # Whoever has the index is done with it while opskit pauses, however slow the machine.
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=release)
    monkeypatch.setattr(envfile, "time", clock)
    assert commit_env(blog, "Rotate")
    assert len(waited) == 1


def test_an_index_that_stays_locked_is_named(
    checkout: Path, blog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envfile, "_INDEX_PATIENCE_S", 0.0)
    (checkout / ".git" / "index.lock").touch()
    with pytest.raises(StepError, match=r"index\.lock"):
        commit_env(blog, "Rotate")


@pytest.mark.slow
def test_a_hook_that_hangs_is_ended_with_all_it_started(
    checkout: Path, blog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Enough for git to come to the hook on a busy machine too.
    monkeypatch.setattr(envfile, "_GIT_DEADLINE_S", 5.0)
    pipe, begun = tmp_path / "pipe", tmp_path / "begun"
    os.mkfifo(pipe)
    # Both hold the pipe's writing end for as long as they live.
    hook(checkout, "pre-commit", f"exec 3<>{pipe}; sleep 600 & touch {begun}; sleep 600")
    with pytest.raises(StepError, match=r"git commit of .* did not end within 5 s"):
        commit_env(blog, "Rotate")
    assert begun.exists()
    assert has_no_writer(pipe)


def has_no_writer(pipe: Path) -> bool:
    """Whether no writer is left soon: a kill is taken up when the kernel runs its target."""
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return eventually(lambda: is_at_its_end(reading), f"{pipe} to have no writer")
    finally:
        os.close(reading)


def is_at_its_end(reading: int) -> bool:
    try:
        return os.read(reading, 1) == b""
    except BlockingIOError:
        return False


def test_a_checkout_without_git_installed_says_what_to_do(
    blog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="git is not installed"):
        commit_env(blog, "Rotate")


def test_apps_of_one_checkout_commit_at_the_same_time(checkout: Path) -> None:
    paths = [checkout / f"app{number}.env" for number in range(6)]
    for path in paths:
        path.write_text("VERSION=v1\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "More apps")
    commits: list[str | None] = []

    def rotate(path: Path) -> None:
        # Longer than before: git may take a file for unchanged that is written while it looks,
        # in the same second and to the same size.
        path.write_text("VERSION=v10\n")
        commits.append(commit_env(path, f"Rotate {path.name}"))

    threads = [threading.Thread(target=rotate, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({commit for commit in commits if commit}) == 6
    assert git(checkout, "status", "--porcelain") == ""
