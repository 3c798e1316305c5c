"""Named filters of the table of all secrets, kept for the next time and for colleagues.

They lie in opskit's state folder: whoever uses this notebook server has the same ones. A filter
is a way to look, not a decision about a server, so it is not beside the servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from filelock import FileLock, Timeout

from opskit.errors import InputError
from opskit.files.atomic import replace_file
from opskit.files.bounded import read_regular
from opskit.inert import visible
from opskit.settings import state_dir

Short = Annotated[str, msgspec.Meta(max_length=1000)]
_LONGEST_NAME, _MOST = 60, 200
_LARGEST = 4 * 1024**2
_PATIENCE_S = 5.0


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What narrows the table; each part is empty when it does not.

    Parameters
    ----------
    search
        Words of which all occur.
    server, recipe, state
        Exactly these.
    older
        At least so many days old.
    condition
        As ``snap.secrets.select`` takes it.
    """

    search: Short = ""
    server: Short = ""
    recipe: Short = ""
    state: Short = ""
    older: Short = ""
    condition: Short = ""


def read_filters() -> dict[str, Filter]:
    """Return the named filters, by name.

    Raises
    ------
    InputError
        The file cannot be read, or holds something else.
    """
    path = _path()
    try:
        found = msgspec.json.decode(read_regular(path, _LARGEST), type=dict[str, Filter])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(
            f"the saved filters cannot be read: {error}.",
            path=path,
            remedy="Mend the file, or move it away.",
        ) from error
    return dict(sorted(found.items()))


def filters_shown() -> dict[str, dict[str, str]]:
    """Return the named filters as a browser gets them."""
    return {name: msgspec.to_builtins(one) for name, one in read_filters().items()}


def save_filter(name: str, fields: object) -> None:
    """Keep a filter under a name, in place of the one of that name.

    Raises
    ------
    InputError
        It has no name or a long one, is no filter, there are many, or it cannot be written.
    """
    name = visible(name).strip()
    if not name or len(name) > _LONGEST_NAME:
        raise InputError(
            "the filter has no name of a fitting length.",
            remedy=f"Give it one of at most {_LONGEST_NAME} characters.",
        )
    try:
        made = msgspec.convert(fields, Filter)
    except msgspec.ValidationError as error:
        raise InputError(f"that is no filter: {error}.") from error
    _change({name: made})


def delete_filter(name: str) -> None:
    """Forget a filter."""
    _change({name: None})


def _change(changes: Mapping[str, Filter | None]) -> None:
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(f"{path}.lock", timeout=_PATIENCE_S, mode=0o600):
            every: dict[str, Any] = {**read_filters(), **changes}
            kept = {name: one for name, one in sorted(every.items()) if one is not None}
            if len(kept) > _MOST:
                raise InputError(
                    f"there are {_MOST} saved filters already.", remedy="Delete one first."
                )
            replace_file(path, msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    except (OSError, Timeout) as error:
        raise InputError(f"the filter cannot be saved: {error}.", path=path) from error


def _path() -> Path:
    return state_dir() / "filters.json"
