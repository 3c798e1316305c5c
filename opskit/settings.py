"""Where opskit keeps its state, and the defaults an operator may set in one small file.

``~/.config/opskit/config.toml`` (all keys are optional)::

    deadline = 15              # seconds for each server, whatever hangs
    reply_limit = 64           # MiB that a server may answer with at once; more is refused
    ssh_keep = 10              # minutes that ssh connections stay for the next command; 0: none
    watch_period = 300         # seconds between full reads of a server that is watched
    max_parallel = 8           # stacks worked on at once
    keep = 1                   # superseded versions that a prune leaves
    deploy = "services"        # or "stack", "abra", "none"
    pass_template = "hosts/{server}/{app}/{secret}"
    recipe_url = "https://git.coopcloud.tech/coop-cloud/{recipe}.git"

    [hooks]                    # recipe = the hook that tells its database the new password
    wordpress = "mariadb"
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from opskit.arguments import LONGEST_S
from opskit.decoding import ready
from opskit.errors import InputError
from opskit.files.bounded import read_regular
from opskit.kinds.modes import DeployMode

Seconds = Annotated[float, msgspec.Meta(gt=0, le=LONGEST_S)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's defaults.

    Parameters
    ----------
    deadline
        Seconds for each server, whatever hangs.
    reply_limit
        MiB that a server may answer with at once; more is refused.
    ssh_keep
        Minutes that an ssh connection stays for the next command or kernel; with 0 it ends with
        the process that made it. `opskit disconnect` ends those that stayed.
    watch_period
        Seconds between full reads of a server that is watched, whatever its events tell.
    max_parallel
        Stacks worked on at once.
    keep
        Superseded versions of a secret that a prune leaves.
    deploy
        How services get a new version.
    pass_template
        Where the password store keeps a secret; by default where abra does.
    recipe_url
        Where recipes that are not on disk are cloned from.
    hooks
        The credential hook of each recipe that needs one.
    """

    deadline: Seconds = 15.0
    reply_limit: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    ssh_keep: Annotated[int, msgspec.Meta(ge=0, le=1440)] = 10
    watch_period: Annotated[float, msgspec.Meta(ge=1, le=LONGEST_S)] = 300.0
    max_parallel: Annotated[int, msgspec.Meta(ge=1)] = 8
    keep: Annotated[int, msgspec.Meta(ge=0)] = 1
    deploy: DeployMode = "services"
    pass_template: str = "hosts/{server}/{app}/{secret}"  # noqa: S105 (a path, not a password)
    recipe_url: str = "https://git.coopcloud.tech/coop-cloud/{recipe}.git"
    hooks: dict[str, str] = msgspec.field(default_factory=dict[str, str])


def settings_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file of the operator's settings."""
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "opskit" / "config.toml"


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the operator's settings; without a file, the defaults.

    Raises
    ------
    InputError
        The file cannot be read, is not TOML, or has a key or value opskit does not know.
    """
    path = settings_path(environ)
    try:
        if fault := _untrusted(path.stat()):
            raise InputError(
                f"{fault}, so what it says may be another's wish.",
                path=path,
                remedy=f"Look what it says, then: chown {os.geteuid()} and chmod go-w.",
            )
        content = read_regular(path, 1024**2)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", path=path) from error
    try:
        return msgspec.toml.decode(content, type=ready(Settings))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(
            f"{error}.", path=path, remedy=f"Known keys: {', '.join(Settings.__struct_fields__)}."
        ) from error


def _untrusted(status: os.stat_result) -> str:
    """Return why a file of settings is not to be followed; Debian's ssh has this rule, too."""
    if status.st_uid not in {0, os.geteuid()}:
        return "it belongs to somebody else"
    shared = status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid, status.st_uid)
    if shared or status.st_mode & stat.S_IWOTH:
        return "others may write to it"
    return ""


def _is_private(gid: int, uid: int) -> bool:
    """Return whether a group is a user's own and nobody else is in it.

    Where users have such groups, as on Debian, editors make files that these may write to.
    """
    try:
        owner, members = pwd.getpwuid(uid), grp.getgrgid(gid).gr_mem
    except KeyError:
        return False
    of_it = {*members, *(one.pw_name for one in pwd.getpwall() if one.pw_gid == gid)}
    # A directory of users may list none of them.
    return of_it <= {owner.pw_name} and owner.pw_gid == gid


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the journal and of locks.

    ``OPSKIT_STATE_DIR``, else ``opskit`` in ``XDG_STATE_HOME``, else in ``~/.local/state``.
    """
    if configured := environ.get("OPSKIT_STATE_DIR"):
        return Path(configured).expanduser().absolute()
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "opskit"


def journal_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the journal's file."""
    return state_dir(environ) / "journal.sqlite"


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    configured = Path(environ.get(variable, ""))
    # The XDG specification says to ignore relative paths.
    return configured if configured.is_absolute() else Path.home() / default
