"""What has its name from a variable that gives a secret its version, besides that version.

With another version all of it would be another one: a network, a volume, another image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from opskit.abra.compose import Compose
from opskit.abra.files import printable
from opskit.abra.interpolate import variables_in
from opskit.abra.names import take_apart

_OF_THE_APP: Mapping[str, str] = {
    "STACK_NAME": "the stack", "TYPE": "the recipe", "RECIPE": "the recipe",
    "COMPOSE_FILE": "the list of compose files",
}  # fmt: skip


def named_with(
    keys: Collection[str], compose: Compose, stack: str, variables: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return what else these variables name, in words, by variable.

    A secret of which one only gives the version is not among it: it can be renewed along.

    Examples
    --------
    With ``${V}`` the version of a secret and ``net_${V}`` the name of a network it is
    ``{"V": ("the network net",)}``.
    """
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name, what in _names(compose, keys, stack, variables) if keys else ():
        found[name][what] = None
    return {name: tuple(map(printable, each)) for name, each in found.items() if name in keys}


def _names(
    compose: Compose, keys: Collection[str], stack: str, variables: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    yield from _OF_THE_APP.items()
    sections = (
        ("secret", compose.secrets), ("config", compose.configs), ("network", compose.networks),
        ("volume", compose.volumes),
    )  # fmt: skip
    for kind, entries in sections:
        for key, entry in entries.items():
            named = variables_in(entry.name)
            is_told = kind == "secret" and entry.external and set(named) & set(keys)
            if is_told and take_apart(key, entry, stack, variables).variable == named[-1]:
                # There it gives the version, wherever else it stands.
                named.pop()
            for name in (*named, *variables_in(entry.file), *variables_in(entry.external_by)):
                yield name, f"the {kind} {key}"
    for service, parts in compose.services.items():
        for source in (*parts.secrets, *parts.configs, *parts.networks, *parts.env_files):
            for name in variables_in(source):
                yield name, f"what {service} uses"
        for name in variables_in(parts.image):
            yield name, f"the image of {service}"
