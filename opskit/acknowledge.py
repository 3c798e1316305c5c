"""Letting a finding be up to a day: written beside the servers, where colleagues share it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from opskit.abra.acknowledged import FILE, span, with_acknowledged, without_acknowledged
from opskit.abra.files import is_folder, read_bytes
from opskit.abra.model import Acknowledged
from opskit.arguments import check_flag, check_kind, check_text, given
from opskit.errors import InputError, StalePlanError
from opskit.files.atomic import create_file
from opskit.journal.claimed import person_or_user
from opskit.reading.reading import Reading
from opskit.secrets.redact import redact
from opskit.snapshot import Snapshot
from opskit.steps.envfile import check_replaceable, commit_env, replace_env

_LONGEST_WORDS = 500
_MODE = 0o660
"""As abra's own files there: colleagues may share the folder itself."""
_TRIES = 5


@runtime_checkable
class Found(Protocol):
    """A row of ``snap.audit()``: what a finding is about."""

    key: str
    id: str
    server: str
    app: object
    secret: object
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What was written, where, and the commit's hash if it was committed."""

    entry: Acknowledged
    path: Path
    commit: str | None

    def __str__(self) -> str:
        named = _named(self.entry.about)
        return f"{named} is let be until {self.entry.until}: {_kept(self.path, self.commit)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What is a finding again, and where it was written, each with its commit if there is one."""

    about: tuple[str, ...]
    commits: Mapping[Path, str | None]

    def __str__(self) -> str:
        where = "; ".join(_kept(path, commit) for path, commit in self.commits.items())
        return f"{_named(self.about)} is a finding again: {where}"


class Acknowledging(Reading):
    """The part of a `Fleet` that lets findings be."""

    def acknowledge(
        self,
        finding: str | Found,
        *,
        why: str,
        until: date | str,
        who: str = "",
        commit: bool = False,
        snapshot: Snapshot | None = None,
    ) -> Acknowledgement:
        """Let a finding be up to a day and with it, for all who share the server's folder.

        It is written into ``opskit.toml`` in the server's folder, in place of an earlier one of
        the same finding; what else is there stays. From the next snapshot on, audits leave the
        finding out and count it; after the day it is a finding again.

        Parameters
        ----------
        finding
            Its key, or its row of ``snap.audit()``.
        why
            The reason, for colleagues; no secret belongs there.
        until
            The last day, such as ``2027-03-31``: from tomorrow on, within a year.
        who
            Who says so; by default who runs the cell, where a Jupyter server says so, else the name
            of this machine's user.
        commit
            Commit the file when its folder is a git checkout.
        snapshot
            Where to look a key up; else every server is read now.

        Raises
        ------
        InputError
            There is no such finding, the day will not do, or the file has a fault.

        Examples
        --------
        >>> from datetime import date, timedelta
        >>> row = next(fleet.snapshot().audit().records())
        >>> soon = date.today() + timedelta(days=30)
        >>> done = fleet.acknowledge(row, why="The mast is down until then.", until=soon, who="Ada")
        >>> fleet.snapshot().audit(acknowledged=True).query("acknowledged")["server"].tolist()
        ['radio.example']
        """
        check_text("why", why, "Say why, for colleagues.")
        check_text("who", who, "Name the person.", empty=True)
        check_flag("commit", commit)
        row = self._row(finding, snapshot)
        today = datetime.now(UTC).date()
        entry = Acknowledged(
            check=row.id,
            server=row.server,
            app=_text(row.app),
            secret=_text(row.secret),
            subject=row.subject,
            who=_words("who", person_or_user(who)),
            why=_words("why", why),
            until=_day(until, today),
            made_on=today,
        )
        # The local engine has apps without a folder, and what is of no server has none.
        path, server = self._files(entry.server)[0]
        _rewrite(path, lambda before: with_acknowledged(before, path, server, entry))
        said = f"Let {_named(entry.about)} be until {entry.until}"
        return Acknowledgement(
            entry=entry, path=path, commit=commit_env(path, said, add=True) if commit else None
        )

    def withdraw(
        self, finding: str | Found, *, commit: bool = False, snapshot: Snapshot | None = None
    ) -> Withdrawal:
        """Withdraw what lets a finding be, whoever said so: it is a finding again, for all.

        Parameters
        ----------
        finding
            Its key, or its row of ``snap.audit(acknowledged=True)``.
        commit
            Commit the file when its folder is a git checkout.
        snapshot
            Where to look a key up; else every server is read now.

        Raises
        ------
        InputError
            There is no such finding, nobody acknowledged it, or a file has a fault; none is
            written then.

        Examples
        --------
        >>> from datetime import date, timedelta
        >>> row = next(fleet.snapshot().audit().records())
        >>> soon = date.today() + timedelta(days=30)
        >>> done = fleet.acknowledge(row, why="The mast is down until then.", until=soon)
        >>> print(fleet.withdraw(row))
        server-unreachable of radio.example is a finding again: ...opskit.toml, not committed
        """
        check_flag("commit", commit)
        row = self._row(finding, snapshot)
        about = (row.id, row.server, _text(row.app), _text(row.secret), row.subject)
        changes = {
            path: partial(without_acknowledged, path=path, server=server, about=about)
            for path, server in self._files(row.server)
            if _exists(path)
        }
        # All are worked out before any is written: a fault of one leaves the others too.
        due = {path: change for path, change in changes.items() if _is_due(path, change)}
        changed = [path for path, change in due.items() if _rewrite(path, change)]
        if not changed:
            raise InputError(
                f"nobody acknowledged {_named(about)}.", remedy="See: opskit audit --all"
            )
        said = f"Let {_named(about)} be a finding again"
        return Withdrawal(
            about=about,
            commits={
                path: commit_env(path, said, add=True) if commit else None for path in changed
            },
        )

    def _row(self, finding: object, snapshot: Snapshot | None) -> Found:
        if not isinstance(finding, str):
            if not isinstance(finding, Found):
                raise InputError(
                    f"finding is {given(finding)}.",
                    remedy="Give its key, or its row of snap.audit().",
                )
            return finding
        if snapshot is not None:
            check_kind("snapshot", snapshot, Snapshot, "Give what fleet.snapshot() gave.")
        found = (snapshot or self.snapshot()).audit(acknowledged=True)
        for row in found.records(found["key"] == finding):
            return cast("Found", row)
        raise InputError(
            f"no finding has the key {finding!r}.",
            remedy="It may have gone: see opskit audit.",
        )

    def _files(self, server: str) -> list[tuple[Path, str]]:
        """Return the files that may let something of a server be, each with whose it is."""
        servers = self.root / "servers"
        shared = [(servers / FILE, "")]
        if not server or "/" in server or server in {".", ".."} or not is_folder(servers / server):
            return shared
        return [(servers / server / FILE, server), *shared]


def _is_due(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """Return whether a file would change, and refuse one that must not."""
    before = read_bytes(path)
    if change(before) == before:
        return False
    check_replaceable(path)
    return True


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """Change a file, or make it, and return whether anything changed."""
    for _ in range(_TRIES):
        try:
            return _put(path, change)
        except (StalePlanError, FileExistsError):
            # A colleague wrote at this very moment: theirs is kept.
            continue
        except OSError as error:
            raise InputError(f"it cannot be written ({error.strerror}).", path=path) from error
    raise InputError("others keep writing it.", path=path, remedy="Try again.")


def _put(path: Path, change: Callable[[bytes], bytes]) -> bool:
    if not _exists(path):
        create_file(path, change(b""), mode=_MODE)
        return True
    before = read_bytes(path)
    after = change(before)
    if after == before:
        return False
    replace_env(path, expected_sha256=hashlib.sha256(before).hexdigest(), content=after)
    return True


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _kept(path: Path, commit: str | None) -> str:
    return f"{path}, {f'committed as {commit[:12]}' if commit else 'not committed'}"


def _named(about: tuple[str, ...]) -> str:
    check, server, app, secret, _ = about
    where = " ".join(part for part in (app or server, secret) if part)
    return f"{check} of {where or 'the fleet'}"


def _words(name: str, text: str) -> str:
    line = " ".join(text.split())
    if not line or len(line) > _LONGEST_WORDS:
        raise InputError(f"{name} has {len(line)} characters; 1 to {_LONGEST_WORDS} are taken.")
    return redact(line)


def _day(until: object, today: date) -> date:
    first, last = span(today)
    remedy = f"Give a day from {first} to {last}."
    if isinstance(until, datetime):
        until = until.date()
    if isinstance(until, str):
        try:
            until = date.fromisoformat(until)
        except ValueError:
            raise InputError(f"until is {until!r}, which is no day.", remedy=remedy) from None
    if not isinstance(until, date):
        raise InputError(f"until is {given(until)}.", remedy=remedy)
    if not first <= until <= last:
        what = "is over" if until < first else "is more than a year away"
        raise InputError(f"until is {until}, which {what}.", remedy=remedy)
    return until


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
