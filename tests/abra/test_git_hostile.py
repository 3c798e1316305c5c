"""A recipe's own `.git/config` names commands wherever git takes one; none of them is run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.abra.deployment import deployment
from opskit.abra.layout import read_tree
from opskit.abra.newapp import new_app
from opskit.abra.repository import open_repository
from opskit.errors import InputError
from tests.abra.releases import ENVIRONMENT, Releases
from tests.waiting import LIMIT

OLD, NEW = "1.0.0+3.1", "2.0.0+4.0"
HOOKS = (
    "post-checkout", "post-index-change", "post-merge", "post-rewrite", "pre-auto-gc",
    "pre-commit", "reference-transaction", "fsmonitor-watchman", "query-watchman",
    "post-applypatch", "pre-push", "prepare-commit-msg",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    servers = tmp_path / "servers" / "coop.example"
    servers.mkdir(parents=True)
    (servers / "shop.example.env").write_text(f"TYPE=shop:{OLD}\n")
    (servers / "live.example.env").write_text("TYPE=shop\n")
    return tmp_path


@pytest.fixture
def recipe(root: Path) -> Releases:
    """A recipe with filters for every file; the times of its files are unknown to git."""
    made = Releases(root / "recipes" / "shop")
    attributes = "* filter=evil diff=evil\n*.sh filter=other.one\n.env.sample filter=\n"
    for version in (OLD, NEW):
        made.release(
            version,
            {
                "compose.yml": f"services: {{app: {{image: 'shop:{version[0]}'}}}}\n",
                "abra.sh": f"export WEB_VERSION=v{version[0]}\n",
                ".env.sample": "TYPE=shop\nDOMAIN=shop.example.com\n",
                ".gitattributes": attributes,
            },
            message="annotated",
        )
    return made


@pytest.fixture
def canary(root: Path) -> Path:
    return root / "canary"


@pytest.fixture
def script(root: Path, canary: Path) -> Path:
    """A program that says what it was run as, and passes on what it reads."""
    path = root / "evil"
    path.write_text(f'#!/bin/sh\necho "$0 $*" >> {canary}\nexec cat\n')
    path.chmod(0o755)
    return path


def use_everything(root: Path, recipe: Releases) -> None:
    """Do all that opskit does with a recipe."""
    for path in recipe.folder.iterdir():
        if path.is_file():
            os.utime(path, (1, 1))
    found = open_repository(recipe.folder)
    assert found is not None
    assert found.checkout is not None
    commit = found.commit_of(OLD)
    assert found.commit_of(commit[:8]) == commit
    assert not found.is_ignored("compose.yml")
    read_tree(root)
    for app in ("shop.example", "live.example"):
        with deployment(root, "coop.example", app) as made:
            assert Path(made.compose_files[0]).read_text().startswith("services: {app")
    new_app(root, "coop.example", "new.example", "shop", None)
    new_app(root, "coop.example", "new.example", "shop", commit[:10])


def plain_status(recipe: Releases) -> None:
    for path in recipe.folder.iterdir():
        if path.is_file():
            os.utime(path, (1, 1))
    subprocess.run(
        ["git", "status"], cwd=recipe.folder, env=ENVIRONMENT, capture_output=True, timeout=LIMIT
    )


def commands(recipe: Releases, script: Path) -> None:
    for key in (
        "core.fsmonitor", "core.sshCommand", "core.gitProxy", "core.pager", "core.editor",
        "core.askPass", "core.alternateRefsCommand", "pager.status", "pager.show-ref",
        "pager.config", "sequence.editor", "diff.external", "diff.evil.command",
        "diff.evil.textconv", "interactive.diffFilter", "gpg.program", "gpg.ssh.program",
        "credential.helper", "remote.origin.uploadpack", "uploadpack.packObjectsHook",
        "merge.evil.driver", "browser.evil.cmd", "trailer.evil.command",
    ):  # fmt: skip
        recipe.git("config", key, str(script))
    for alias in ("status", "show-ref", "cat-file", "ls-tree", "ls-files", "rev-parse"):
        recipe.git("config", f"alias.{alias}", f"!{script}")
    recipe.git("config", "log.showSignature", "true")
    recipe.git("config", "status.submoduleSummary", "true")


def filters(recipe: Releases, script: Path) -> None:
    for name in ("evil", "other.one", ""):
        for kind in ("clean", "smudge", "process"):
            recipe.git("config", f"filter.{name}.{kind}", str(script))
        recipe.git("config", f"filter.{name}.required", "true")


def clean_filter(recipe: Releases, script: Path) -> None:
    recipe.git("config", "filter.evil.clean", str(script))


def included_filter(recipe: Releases, script: Path) -> None:
    (recipe.folder / ".git" / "more").write_text(f'[FILTER "evil"]\n\tclean = {script}\n')
    recipe.git("config", "includeIf.gitdir:/.path", "more")
    recipe.git("config", "include.path", "more")


def filter_of_the_worktree(recipe: Releases, script: Path) -> None:
    recipe.git("config", "extensions.worktreeConfig", "true")
    recipe.git("config", "--worktree", "filter.evil.clean", str(script))


def filter_of_a_shared_folder(recipe: Releases, script: Path) -> None:
    shared = recipe.folder.parent.parent / "shared"
    (recipe.folder / ".git").rename(shared)
    git = recipe.folder / ".git"
    git.mkdir()
    for name in ("HEAD", "index"):
        (git / name).write_bytes((shared / name).read_bytes())
    (git / "commondir").write_text(f"{shared}\n")
    recipe.git("config", "filter.evil.clean", str(script))


def file_system_monitor(recipe: Releases, script: Path) -> None:
    recipe.git("config", "core.fsmonitor", str(script))


def hooks(recipe: Releases, script: Path) -> None:
    folder = recipe.folder / ".git" / "hooks"
    folder.mkdir(exist_ok=True)
    for name in HOOKS:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(script)


def hooks_elsewhere(recipe: Releases, script: Path) -> None:
    hooks(recipe, script)
    (recipe.folder / ".git" / "hooks").rename(recipe.folder / ".git" / "other")
    recipe.git("config", "core.hooksPath", ".git/other")


Arrange = Callable[[Releases, Path], None]


@pytest.mark.parametrize(
    "arrange",
    [
        commands, filters, clean_filter, included_filter, filter_of_the_worktree,
        filter_of_a_shared_folder, file_system_monitor, hooks, hooks_elsewhere,
    ],
)  # fmt: skip
def test_nothing_is_run(
    root: Path, recipe: Releases, script: Path, canary: Path, arrange: Arrange
) -> None:
    arrange(recipe, script)
    use_everything(root, recipe)
    assert not canary.exists() or canary.read_text() == ""

    plain_status(recipe)
    assert canary.exists(), "the trap was none"


def test_a_filter_whose_name_git_cannot_be_told_is_refused(
    root: Path, recipe: Releases, script: Path, canary: Path
) -> None:
    recipe.git("config", "filter.a=b.clean", str(script))
    with pytest.raises(InputError, match=r"a filter with = in its name"):
        open_repository(recipe.folder)
    assert read_tree(root).problems
    assert not canary.exists()


@pytest.mark.parametrize("address", ["ext::{script}", "ssh://example.invalid/x", "evil::x"])
def test_an_object_that_a_partial_clone_lacks_is_not_fetched(
    root: Path, recipe: Releases, script: Path, canary: Path, address: str
) -> None:
    # As a way to fetch it is to end: git would wait for what it answers.
    script.write_text(script.read_text().replace("exec cat", "exit 1"))
    recipe.git("config", "core.repositoryFormatVersion", "1")
    recipe.git("config", "extensions.partialClone", "origin")
    recipe.git("config", "remote.origin.promisor", "true")
    recipe.git("config", "remote.origin.url", address.format(script=script))
    recipe.git("config", "protocol.allow", "always")
    recipe.git("config", "core.sshCommand", str(script))
    missing = recipe.git("rev-parse", f"{OLD}:compose.yml")
    (recipe.folder / ".git" / "objects" / missing[:2] / missing[2:]).unlink()

    (live, shop) = read_tree(root).servers[0].apps
    assert live.problems == ()
    (problem,) = shop.problems
    assert problem.what.startswith("this clone lacks compose.yml of commit ")
    with pytest.raises(InputError), deployment(root, "coop.example", "shop.example"):
        pass
    assert not canary.exists()

    if not address.startswith("evil"):
        command = ["git", "cat-file", "blob", missing]
        subprocess.run(
            command, cwd=recipe.folder, env=ENVIRONMENT, capture_output=True, timeout=LIMIT
        )
        assert canary.exists(), "the trap was none"


def test_a_submodule_is_not_looked_into(
    root: Path, recipe: Releases, script: Path, canary: Path
) -> None:
    recipe.git("-c", "protocol.file.allow=always", "submodule", "add", str(recipe.folder), "sub")
    recipe.git("commit", "-q", "-a", "-m", "Add it")
    inner = Releases(recipe.folder / "sub")
    clean_filter(inner, script)
    file_system_monitor(inner, script)
    plain_status(inner)
    assert canary.exists(), "the trap was none"
    canary.unlink()
    recipe.git("config", "submodule.sub.ignore", "none")
    recipe.git("config", "diff.ignoreSubmodules", "none")
    use_everything(root, recipe)
    assert not canary.exists()


def test_another_working_tree_is_not_looked_at(
    root: Path, recipe: Releases, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    recipe.git("config", "core.worktree", str(elsewhere))
    found = open_repository(recipe.folder)
    assert found is not None
    assert found.checkout is not None
    assert not found.checkout.changed


def test_a_folder_that_is_itself_a_repository_is_refused(
    root: Path, recipe: Releases, script: Path, canary: Path
) -> None:
    """What a recipe can bring with it, as git refuses to track a folder called .git."""
    bare = root / "recipes" / "bare"
    recipe.git("clone", "-q", "--bare", str(recipe.folder), str(bare))
    file_system_monitor(Releases(bare), script)
    (bare / ".git").mkdir()
    with pytest.raises(InputError, match="cannot use bare repository"):
        open_repository(bare)
    assert not canary.exists()
