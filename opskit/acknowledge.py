"""Letting a finding be up to a day: written beside the servers, where colleagues share it."""

from __future__ import annotations

import getpass
import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from opskit.abra.acknowledged import FILE, with_acknowledged
from opskit.abra.files import is_folder, read_bytes
from opskit.abra.model import Acknowledged
from opskit.arguments import check_flag, check_kind, check_text, given
from opskit.atomic import create_file
from opskit.audit.acknowledged import span
from opskit.errors import InputError, StalePlanError
from opskit.reading import Reading
from opskit.secrets.redact import redact
from opskit.snapshot import Snapshot
from opskit.steps.envfile import commit_env, replace_env

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
        shared = f"committed as {self.commit[:12]}" if self.commit else "not committed"
        return f"{_named(self.entry)} is let be until {self.entry.until}: {self.path}, {shared}"


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
            Who says so; by default the name of this machine's user.
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
            who=_words("who", who or getpass.getuser()),
            why=_words("why", why),
            until=_day(until, today),
            made_on=today,
        )
        path = self._write(entry)
        said = f"Let {_named(entry)} be until {entry.until}"
        return Acknowledgement(
            entry=entry, path=path, commit=commit_env(path, said, add=True) if commit else None
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

    def _write(self, entry: Acknowledged) -> Path:
        folder = self.root / "servers" / entry.server
        server = entry.server
        # The local engine has apps without a folder, and what is of no server has none.
        if not server or "/" in server or server in {".", ".."} or not is_folder(folder):
            folder, server = self.root / "servers", ""
        path = folder / FILE
        for _ in range(_TRIES):
            try:
                _put(path, server, entry)
            except (StalePlanError, FileExistsError):
                # A colleague wrote at this very moment: theirs is kept.
                continue
            except OSError as error:
                raise InputError(f"it cannot be written ({error.strerror}).", path=path) from error
            return path
        raise InputError("others keep writing it.", path=path, remedy="Try again.")


def _put(path: Path, server: str, entry: Acknowledged) -> None:
    if not path.is_symlink() and not path.exists():
        create_file(path, with_acknowledged(b"", path, server, entry), mode=_MODE)
        return
    before = read_bytes(path)
    replace_env(
        path,
        expected_sha256=hashlib.sha256(before).hexdigest(),
        content=with_acknowledged(before, path, server, entry),
    )


def _named(entry: Acknowledged) -> str:
    where = " ".join(part for part in (entry.app or entry.server, entry.secret) if part)
    return f"{entry.check} of {where or 'the fleet'}"


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
