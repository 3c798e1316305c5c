"""The ``filters`` of list requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from opskit.demo.engine.refusal import Refusal

Filters = Mapping[str, Sequence[str]]
Test = Callable[[str], bool]


def parsed(text: str, allowed: Sequence[str] | None) -> Filters:
    """Read the filters of a request, in either of the API's two spellings.

    Parameters
    ----------
    text
        The query's ``filters``; empty for none.
    allowed
        The names this list knows, any other is refused; ``None`` where none is.
    """
    try:
        found = msgspec.json.decode(text or "{}", type=dict[str, dict[str, bool] | list[str]])
    except msgspec.MsgspecError as error:
        raise Refusal(500, f"invalid filters: {error}") from None
    for name in found:
        if allowed is not None and name not in allowed:
            raise Refusal(400, f"Invalid filter '{name}'")
    return {name: list(values) for name, values in found.items()}


def matches(filters: Filters, tests: Mapping[str, Test]) -> bool:
    """Return whether something passes all filters, of each of which one value is enough."""
    return all(
        any(tests[name](value) for value in values)
        for name, values in filters.items()
        if name in tests and name != "label"
    ) and all(tests["label"](value) for value in filters.get("label", ()))


def identity(ident: str, name: str, labels: Mapping[str, str] | None) -> dict[str, Test]:
    """Return the tests that most lists share: id, name and labels."""
    return {
        "id": ident.startswith,
        "name": lambda value: name.lower().startswith(value.lower()),
        "names": lambda value: name.lower() == value.lower(),
        "label": lambda value: _has_label(labels or {}, value),
    }


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    name, sign, value = wanted.partition("=")
    return name in labels and (not sign or labels[name] == value)


def equals(text: str) -> Test:
    """Test for exactly this text."""
    return lambda value: value == text


def contains(text: str) -> Test:
    """Test for a part of this text."""
    return lambda value: value in text
