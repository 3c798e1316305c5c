"""Files of the version an app pins, without a working tree of it.

What a commit holds never changes, so each answer of git's is kept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from opskit.abra.git import HASH, file_of, find_commit
from opskit.abra.revision import tagged
from opskit.errors import InputError, MissingToolError

_TAG = re.compile(r"[^/.~^:?*\[\\\s-][^~^:?*\[\\\s]*")


def pinned_commit(folder: Path, version: str) -> str:
    """Give the commit of a version, as `find_commit` does, but asking git as little as possible.

    Empty also when git cannot be asked.
    """
    if not _TAG.fullmatch(version) or ".." in version:
        return ""
    pointed, commit = tagged(folder, version)
    if commit or not (pointed or HASH.fullmatch(version)):
        return commit
    try:
        return _asked(folder, version, pointed)
    except (InputError, MissingToolError):
        return ""


@lru_cache(maxsize=1024)
def _asked(folder: Path, version: str, pointed: str) -> str:
    commit = find_commit(folder, version)
    if not commit:
        # Raised rather than returned: it may be fetched later, and failures are not kept.
        raise InputError(f"there is no version {version} at {pointed or 'no tag'}.", path=folder)
    return commit


@lru_cache(maxsize=4096)
def committed(folder: Path, commit: str, name: str) -> bytes | None:
    """Give a file of a commit; ``None`` when the commit has none of that name."""
    return file_of(folder, commit, name)
