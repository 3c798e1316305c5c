"""The marks of a secret: what the comment behind its version asks of its value.

``SECRET_KEY_VERSION=v1  # length=64 charset=hex`` and ``# generate=false`` are such marks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CHARSETS = ("default", "hex", "safespecial", "special")
"""The charsets abra knows; several are joined by commas."""

LONGEST = 511_999
"""Swarm stores no more bytes in a secret."""

MARKS = frozenset({"generate", "length", "charset"})
"""The words that count; those of other keys are prose."""

_LENGTH = re.compile(r"[1-9][0-9]{0,5}")
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A mark that cannot be read: which, what is wrong with it, and what to write instead."""

    mark: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is asked of a value.

    Parameters
    ----------
    generate
        Whether a value may be made up. What cannot be read means no.
    length
        Of how many characters; ``None`` when nothing is said that can be read.
    charset
        Of which; empty when nothing is said.
    faults
        What cannot be read. It is not quoted, as it may be a value in the wrong place.
    """

    generate: bool = True
    length: int | None = None
    charset: str = ""
    faults: tuple[Fault, ...] = ()


def joined(own: Mapping[str, str], sample: Mapping[str, str]) -> dict[str, str]:
    """Return the marks that hold for an app: its own line's, else those of the recipe's sample.

    That a value comes from elsewhere holds until the app's own line says otherwise: one that says
    how long it is says nothing of where it comes from.
    """
    marks = {key: word for key, word in own.items() if key in MARKS}
    if not marks:
        return dict(sample)
    if "generate" in sample:
        marks.setdefault("generate", sample["generate"])
    return marks


def read_marks(words: Mapping[str, str]) -> Marks:
    """Read the ``key=value`` words of a comment; words of other keys are no marks."""
    faults: list[Fault] = []
    generate = words.get("generate", "true")
    if generate not in _TRUE | _FALSE:
        what = "is neither true nor false, so no value is generated."
        faults.append(
            Fault(mark="generate", what=what, remedy="Write generate=true or generate=false.")
        )
    length = words.get("length")
    is_length = length is None or (_LENGTH.fullmatch(length) and int(length) <= LONGEST)
    if not is_length:
        what = f"is no number of characters from 1 to {LONGEST:,}, so none is taken."
        faults.append(Fault(mark="length", what=what, remedy="Write length=32."))
    names = [name.strip() for name in words["charset"].split(",")] if "charset" in words else []
    if not set(names) <= set(CHARSETS):
        what = "names one that is not known, for which letters and digits are taken."
        known = ", ".join(CHARSETS)
        faults.append(Fault(mark="charset", what=what, remedy=f"Write one or several of {known}."))
    known_names = [name if name in CHARSETS else CHARSETS[0] for name in names]
    return Marks(
        generate=generate in _TRUE,
        length=int(length) if length and is_length else None,
        charset=",".join(dict.fromkeys(known_names)),
        faults=tuple(faults),
    )
