"""What variables make of compose files: which entries are external, and what docker refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain

from opskit.abra.compose import TRUE, Compose, Entry
from opskit.abra.interpolate import interpolate

_FALSE = frozenset({"false", "no", "off", "n"})


def settled(compose: Compose, variables: Mapping[str, str]) -> Compose:
    """Return compose files whose every ``external: ${VARIABLE}`` is worked out.

    What docker would refuse counts as external: nothing is made for it, and `refused` tells.
    """
    return replace(
        compose,
        secrets=_worked_out(compose.secrets, variables),
        configs=_worked_out(compose.configs, variables),
        networks=_worked_out(compose.networks, variables),
        volumes=_worked_out(compose.volumes, variables),
    )


def refused(compose: Compose, variables: Mapping[str, str]) -> list[str]:
    """Return why docker refuses these files for these values, each reason once.

    A variable that must be set is not, or an ``external`` comes to neither yes nor no.
    """
    required = (interpolate(text, variables).faults for text in compose.required)
    return list(dict.fromkeys([*chain.from_iterable(required), *_unsettled(compose, variables)]))


def _unsettled(compose: Compose, variables: Mapping[str, str]) -> Iterator[str]:
    sections = (
        ("secrets", compose.secrets), ("configs", compose.configs),
        ("networks", compose.networks), ("volumes", compose.volumes),
    )  # fmt: skip
    for section, entries in sections:
        for key, entry in entries.items():
            if entry.external_by and _said(entry, variables) not in TRUE | _FALSE:
                yield f"{section}.{key}.external comes to neither true nor false."


def _worked_out(entries: Mapping[str, Entry], variables: Mapping[str, str]) -> Mapping[str, Entry]:
    return {
        key: replace(entry, external=_said(entry, variables) not in _FALSE)
        if entry.external_by
        else entry
        for key, entry in entries.items()
    }


def _said(entry: Entry, variables: Mapping[str, str]) -> str:
    return interpolate(entry.external_by, variables).text.lower()
