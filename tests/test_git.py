"""Running git, in whatever environment opskit itself was started."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from opskit.git import Ended, operators_environment


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_of_what_git_calls_a_repository_s_own_only_the_configuration_is_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ["git", "rev-parse", "--local-env-vars"]
    names = subprocess.check_output(command, text=True).split()
    for name in names:
        monkeypatch.setenv(name, "of a hook")

    kept = operators_environment().keys() & set(names)
    assert kept == {"GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"}


@pytest.mark.parametrize(
    ("complaint", "reason"),
    [
        (
            "Cloning into 'x'...\nERROR: Repository not found.\nfatal: Could not read from remote "
            "repository.\n\nPlease make sure you have the correct access rights",
            "ERROR: Repository not found.",
        ),
        ("hint: look\nfatal: not a git repository\nhint: elsewhere", "fatal: not a git repository"),
        ("fatal: Could not read from remote repository.", "fatal: Could not read from remote "
         "repository."),
        ("", "it ended with status 128"),
    ],
)  # fmt: skip
def test_the_line_in_which_git_says_what_is_wrong_is_the_reason(
    complaint: str, reason: str
) -> None:
    assert Ended(status=128, output=b"", complaint=complaint).reason == reason
