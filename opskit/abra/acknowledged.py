"""``opskit.toml`` beside the files of a server's apps: the findings that colleagues let be.

It lies in the server's folder, ``servers/coop.example/opskit.toml``, and so in the repository that
holds that server, whichever folder that is of: all of ``servers/``, or one each. What is of no
server is in ``servers/opskit.toml``, where an entry may also name one::

    [[acknowledged]]
    check = "secret-old"
    app = "wiki.coop.example"
    secret = "api_token"
    subject = "wiki_coop_example_api_token_v1"
    who = "Ada"
    why = "The provider gives the next one in March."
    until = 2027-03-31
    made_on = 2026-11-29

Other tables are left alone. A file with any fault lets nothing be.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec

from opskit.abra.files import as_problem, exists, printable, read_bytes
from opskit.abra.model import Acknowledged, Problem
from opskit.decoding import ready
from opskit.errors import InputError

FILE = "opskit.toml"
LONGEST = timedelta(days=366)
"""Whatever is let be is looked at again within a year."""

_TABLE = "acknowledged"
_FIRST = "# Findings that somebody lets be, up to a day: opskit audit --all shows them.\n\n"
_HEAD = re.compile(rf"^\s*\[\[\s*{_TABLE}\s*\]\]", re.MULTILINE)
_LINE = re.compile(r" \(at line (\d+), column \d+\)")
_REMEDY = "Mend it; until then what it acknowledges is shown."

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Entry(Acknowledged, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One as it is written: nothing else may stand there, and these may not be empty."""

    check: _Text
    who: _Text
    why: _Text


def read_acknowledged(folder: Path, server: str) -> tuple[tuple[Acknowledged, ...], Problem | None]:
    """Return what a folder's file lets be, or why it lets nothing be.

    Parameters
    ----------
    folder
        The server's, or ``servers/``.
    server
        Its name; empty for ``servers/``.
    """
    path = folder / FILE
    if not exists(path):
        return (), None
    try:
        return _parsed(read_bytes(path), path, server), None
    except InputError as error:
        return (), as_problem(error, path)


def with_acknowledged(content: bytes, path: Path, server: str, new: Acknowledged) -> bytes:
    """Return a file's content with an entry, in place of those about the very same.

    All else stays as it is, comments included.

    Raises
    ------
    InputError
        The content has a fault.
    """
    return _rewritten(content, path, server, new.about, new)


def without_acknowledged(content: bytes, path: Path, server: str, about: tuple[str, ...]) -> bytes:
    """Return a file's content without the entries about something; all else stays as it is.

    Raises
    ------
    InputError
        The content has a fault.
    """
    return _rewritten(content, path, server, about, None)


def _rewritten(
    content: bytes, path: Path, server: str, about: tuple[str, ...], new: Acknowledged | None
) -> bytes:
    import tomlkit  # needed to write only

    before = _parsed(content, path, server)
    gone = [at for at, one in enumerate(before) if one.about == about]
    if not gone and new is None:
        return content
    document = tomlkit.parse(content.decode() or _FIRST)
    entries: Any = document.setdefault(_TABLE, tomlkit.aot())
    for number in reversed(gone):
        del entries[number]
    if new is not None:
        entries.append(_table(new, server))
    elif not entries:
        del document[_TABLE]
    after = tomlkit.dumps(document).encode()
    wanted = (*(one for one in before if one.about != about), *([new] if new else []))
    if _parsed(after, path, server) != wanted:
        raise InputError(
            "an entry cannot be changed in here without touching others.",
            path=path,
            remedy=f"Write each as a table [[{_TABLE}]] of its own.",
        )
    return after


def _table(entry: Acknowledged, server: str) -> Any:
    import tomlkit

    table = tomlkit.table()
    for name, value in msgspec.structs.asdict(entry).items():
        if value and not (server and name == "server"):
            table.add(name, value)
    return table


def _parsed(content: bytes, path: Path, server: str) -> tuple[Acknowledged, ...]:
    try:
        text = content.decode()
        found = tomllib.loads(text).get(_TABLE, [])
    except RecursionError:
        raise InputError("it is nested too deeply.", path=path, remedy=_REMEDY) from None
    except ValueError as error:
        at = _LINE.search(str(error))
        what = printable(_LINE.sub("", str(error)))
        line = int(at[1]) if at else None
        raise InputError(
            f"this is no TOML: {what}.", path=path, line=line, remedy=_REMEDY
        ) from None
    if not isinstance(found, list):
        raise InputError(
            f"{_TABLE} is no list of tables.", path=path, remedy=f"Write [[{_TABLE}]]."
        )
    entries = cast("list[object]", found)
    lines = [text.count("\n", 0, one.end()) + 1 for one in _HEAD.finditer(text)]
    if len(lines) != len(entries):  # some are written in another way
        lines = [0] * len(entries)
    return tuple(_entry(one, path, line, server) for one, line in zip(entries, lines, strict=True))


def _entry(found: object, path: Path, line: int, server: str) -> Acknowledged:
    def fault(what: str) -> InputError:
        what = printable(f"an acknowledgement {what}")
        return InputError(what, path=path, line=line or None, remedy=_REMEDY)

    try:
        entry = msgspec.convert(found, ready(_Entry), builtin_types=(date,))
    except msgspec.ValidationError as error:
        raise fault(f"has a fault: {error}.") from None
    if entry.server and server and entry.server != server:
        raise fault(f"names the server {entry.server}, and this is the folder of {server}.")
    if entry.until > entry.made_on + LONGEST:
        raise fault("is for more than a year.")
    here = msgspec.structs.replace(entry, server=server or entry.server)
    return msgspec.convert(here, Acknowledged, from_attributes=True)


def acknowledged_in(
    entries: Sequence[Acknowledged], day: date
) -> Callable[[tuple[str, ...]], Acknowledged | None]:
    """Return what gives a finding's acknowledgement, in force or not, from what it is about.

    Of several, made in two clones perhaps, it is the one that holds the longest, and one in force
    where one is.

    Parameters
    ----------
    entries
        What was declared when a snapshot was taken.
    day
        That day: an audit of a saved snapshot says what it said then, wherever it is read.
    """
    by_end = sorted(entries, key=lambda one: (one.holds(day), one.until))
    return {one.about: one for one in by_end}.get


def span(today: date) -> tuple[date, date]:
    """Return the first and the last day until when something may be let be."""
    return today + timedelta(days=1), today + LONGEST
