"""Running git, in whatever environment opskit itself was started."""

from __future__ import annotations

import pytest

from opskit.git import Ended


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
