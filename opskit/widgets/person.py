"""Who clicked, as their browser says: a claim, since one kernel serves everybody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from opskit.inert import visible
from opskit.journal.records import name_and_id

_LONGEST = 80
_COLOR = re.compile(r"#[0-9a-fA-F]{3,8}|var\(--jp-[a-z0-9-]+\)|rgba?\([0-9., %]+\)|[a-z]{3,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as the Jupyter server knows them and their browser passed it on.

    Parameters
    ----------
    username
        The server's name for them; tells people apart.
    name, initials, color
        How JupyterLab shows them.
    """

    username: str
    name: str
    initials: str = ""
    color: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.username})" if self.name != self.username else self.name

    def to_json(self) -> dict[str, str]:
        """Return what a form shows of them."""
        return {
            "username": self.username,
            "name": self.name,
            "initials": self.initials,
            "color": self.color,
        }


NOBODY = Person(username="unknown", name="someone", initials="?")


def read_person(said: Any) -> Person:
    """Read a browser's claim; whatever is odd in it becomes harmless.

    Parameters
    ----------
    said
        The identity that ``/api/me`` gave the browser.
    """
    if not isinstance(said, dict):
        return NOBODY
    claim = cast("dict[str, Any]", said)
    username = _text(claim.get("username"))
    if not username:
        return NOBODY
    name = _text(claim.get("name")) or username
    color = _text(claim.get("color"))
    return Person(
        username=username,
        name=name,
        initials=_text(claim.get("initials"))[:3] or name[:1].upper(),
        color=color if _COLOR.fullmatch(color) else "",
    )


def person_named(identity: str) -> Person:
    """Return the person from what `Person` says as text, as journals keep it."""
    name, username = name_and_id(identity)
    return Person(username=username, name=name, initials=name[:1].upper())


def _text(value: Any) -> str:
    return " ".join(visible(value, "").split())[:_LONGEST] if isinstance(value, str) else ""
