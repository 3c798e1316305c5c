"""What a deploy changes of each service, named beforehand: as data, and in a few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

PartKind = Literal["image", "secrets", "configs", "environment", "other", "new", "stays", ".env"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that becomes another, or comes, or stays behind.

    Parameters
    ----------
    kind
        Which: ``other`` is a piece of a service, such as its command; ``new`` and ``stays`` are
        whole services; ``.env`` is a line of that file.
    service
        Of which service, named without its stack; empty for a line of the ``.env``.
    names
        Variables and pieces of which only the names are shown, as their values may be secret.
    before, after
        What is there, and what will be; only what goes and comes of several.
    """

    kind: PartKind
    service: str = ""
    names: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


_NAMED = 5
"""So many variables are named in a sentence."""


def parts_in_words(parts: Iterable[Part]) -> str:
    """Return what a deploy changes in one line; lines of the ``.env`` have a sentence elsewhere."""
    parts = tuple(parts)
    told = [f"{one.service}: {', '.join(one.before)} → {', '.join(one.after)}"
            for one in parts if one.kind == "image"]  # fmt: skip
    others: dict[str, list[str]] = {}
    for one in parts:
        if one.kind == "other":
            others.setdefault(one.service, []).extend(one.names)
        elif one.kind == "environment":
            more = len(one.names) - _NAMED
            listed = ", ".join(one.names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            others.setdefault(one.service, []).append(f"environment ({listed})")
    told += [f"{service}: other {', '.join(names)}" for service, names in others.items()]
    for kind in ("secrets", "configs"):
        gone = sorted({name for one in parts if one.kind == kind for name in one.before})
        come = sorted({name for one in parts if one.kind == kind for name in one.after})
        both = set(gone) & set(come)
        said = [f"-{name}" for name in gone if name not in both]
        said += [f"+{name}" for name in come if name not in both]
        told += [f"{kind}: {', '.join(said)}"] if said else []
    told += [f"new: {one.service}" for one in parts if one.kind == "new"]
    told += [f"{one.service} stays though the files have it no more"
             for one in parts if one.kind == "stays"]  # fmt: skip
    return "; ".join(told)
