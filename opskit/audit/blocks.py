"""Findings as a person reads them: what is mended together as one block, what is mild counted."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never, get_args

import pandas as pd

from opskit.audit.registry import SEVERITIES, Severity, checks
from opskit.audit.remedies import in_words
from opskit.views.frame import View

By = Literal["server", "app", "check"]
BY: tuple[By, ...] = get_args(By)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Findings that are read and mended together.

    Parameters
    ----------
    severity
        The worst of them.
    keys
        Theirs.
    check, server, app, secrets
        What they are about; `app` is empty, and there are no `secrets`, where there are none.
    what
        What is wrong: a sentence for each of them.
    remedy
        What to do, without its command where `fix` has one.
    fix
        A key for each plan that mends them.
    """

    severity: Severity
    keys: tuple[str, ...]
    check: str
    server: str
    app: str
    secrets: tuple[str, ...]
    what: tuple[str, ...]
    remedy: tuple[str, ...]
    fix: tuple[str, ...]

    @property
    def place(self) -> str:
        """The app, with its server where its name does not tell; else the server."""
        if not self.app:
            return self.server
        told = not self.server or self.app.endswith(self.server)
        return self.app if told else f"{self.app} on {self.server}"

    def group(self, by: By) -> str:
        """Return what it stands under."""
        match by:
            case "server":
                return self.server
            case "app":
                return self.place
            case "check":
                return f"{self.check}: {checks()[self.check].title}"
            case _ as unknown:
                assert_never(unknown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How often a check found something that is for information only."""

    check: str
    title: str
    apps: int
    servers: int


def counts(findings: View) -> dict[Severity, int]:
    """Return how many findings there are of each severity, the worst first."""
    found = Counter(findings["severity"])
    return {severity: found[severity] for severity in SEVERITIES if found[severity]}


def counted(findings: View) -> tuple[View, list[Counted]]:
    """Return findings without those that are for information only, and how many of these are."""
    mild = findings["severity"] == "info"
    found: dict[str, list[Any]] = {}
    for row in findings.records(mild):
        found.setdefault(row.id, []).append(row)
    return findings.keep(~mild), [
        Counted(
            check=check,
            title=checks()[check].title,
            apps=len({(row.server, row.app) for row in rows if _text(row.app)}),
            servers=len({row.server for row in rows}),
        )
        for check, rows in found.items()
    ]


def blocks(findings: View, by: By | None = None) -> list[Block]:
    """Join findings: those that one plan mends, and those alike of one app.

    Parameters
    ----------
    findings
        What ``snap.audit()`` gave, or rows of it.
    by
        What blocks of one kind stand together; by default the worst come first.
    """
    joined: dict[tuple[str, ...], list[Any]] = {}
    for number, row in enumerate(findings.records()):
        # Of a plan for the whole app it does not matter which secrets it is about.
        secret = "" if row.plan and "secret" not in row.plan else _text(row.secret)
        mended = json.dumps(row.plan, sort_keys=True) if row.plan else row.remedy
        check = row.id if by == "check" else ""
        alone = "" if row.plan else str(number)
        place = (row.server, _text(row.app), secret)
        joined.setdefault((*place, mended, check, alone), []).append(row)
    found: dict[tuple[object, ...], Block] = {}
    for number, rows in enumerate(joined.values()):
        block = _block(rows)
        of_an_app = block.app and block.secrets and block.fix
        alike = (block.severity, block.server, block.app, block.what, _checks(rows))
        key = alike if of_an_app else (number,)
        found[key] = _merged(found[key], block) if key in found else block
    if by is None:
        return list(found.values())
    groups = list(dict.fromkeys(one.group(by) for one in found.values()))
    return sorted(found.values(), key=lambda one: groups.index(one.group(by)))


def _checks(rows: Iterable[Any]) -> tuple[str, ...]:
    return tuple(row.id for row in rows)


def _block(rows: list[Any]) -> Block:
    first = rows[0]
    plan: Mapping[str, str] = first.plan
    secrets = tuple(dict.fromkeys(secret for row in rows if (secret := _text(row.secret))))
    return Block(
        severity=first.severity,
        keys=tuple(row.key for row in rows),
        check=first.id,
        server=first.server,
        app=_text(first.app),
        secrets=secrets,
        what=tuple(sentence(row, names_secret=len(secrets) > 1) for row in rows),
        remedy=(in_words(plan) if plan else first.remedy,),
        fix=(first.key,) if plan else (),
    )


def sentence(row: Any, *, names_secret: bool) -> str:
    """Return what a finding says, with the secret that it is about where that is not told."""
    what = f"{row.secret}: {row.what}" if names_secret and _text(row.secret) else row.what
    if not row.acknowledged:
        return what
    return (
        f"{what.removesuffix('.')}; acknowledged by {row.acknowledged_by} until "
        f"{row.acknowledged_until}: "
        f"{row.acknowledged_why}"
    )


def _merged(one: Block, other: Block) -> Block:
    return replace(
        one,
        keys=one.keys + other.keys,
        secrets=one.secrets + other.secrets,
        remedy=tuple(dict.fromkeys(one.remedy + other.remedy)),
        fix=one.fix + other.fix,
    )


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA else str(value)
