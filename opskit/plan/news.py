"""What there is to read before a version is deployed: its notes, and lines the ``.env`` lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from shlex import quote

from opskit.abra.deployment import Deployment
from opskit.abra.env import SampleLine
from opskit.abra.files import printable
from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.abra.recipe import Recipes
from opskit.abra.releases import newer, order

_COMING = "next"
"""How a recipe calls its notes on what is not released yet."""
_LONGEST = 4_000
"""So many characters of a release's notes are shown."""


def news(
    app: DeclaredApp, found: Deployment, running: str, releases: Iterable[str], recipes: Recipes
) -> tuple[str, ...]:
    """Return what to read before an app is deployed, each part with its lines.

    Parameters
    ----------
    app, found
        The app, and what is to be deployed of it.
    running
        The version that runs; empty when nobody knows it.
    releases
        Those of its recipe that are known here.
    recipes
        Where the version that runs is read.
    """
    return (*_notes(found, running, releases), *_lacking(app, found, running, recipes))


def line_for(secret: DeclaredSecret, sample: Mapping[str, SampleLine]) -> str:
    """Return the line of a ``.env`` that gives a secret its first version, with its marks."""
    known = sample.get(secret.env_key)
    return known.text("v1") if known else f"{secret.env_key}=v1"


def _notes(found: Deployment, running: str, releases: Iterable[str]) -> Iterator[str]:
    """Return the release notes from the version that runs to the one that is deployed."""
    target = order(found.version)
    passed = newer(releases, running) or []
    if target is None:
        # Of no release it is known whether it came before: its own files tell.
        written = found.origin.notes([*passed, _COMING])
    else:
        passed = [one for one in passed if (order(one) or target) <= target]
        written = found.origin.notes(passed)
    for version, text in written.items():
        yield f"Release notes of {found.recipe} {version}:\n{_indented(text)}"
    silent = [one for one in passed if one not in written]
    if silent and target is not None:
        yield f"{found.recipe} has no release notes of {', '.join(silent)}."


def _lacking(app: DeclaredApp, found: Deployment, running: str, recipes: Recipes) -> Iterator[str]:
    """Return the lines that the sample has now and had not in the version that runs."""
    before = recipes.find(found.recipe, running)
    if not running or before is None or before.unknown:
        return
    sample = found.origin.sample
    came = [sample[name].text() for name in found.unset if name not in before.sets]
    if came:
        lines = _indented("\n".join(came))
        yield (
            "New in the sample and not in the .env, to be added where it is needed "
            f"(opskit app config {quote(app.name)}):\n{lines}"
        )


def _indented(text: str) -> str:
    more = len(text) - _LONGEST
    shown = f"{text[:_LONGEST]}\n… and {more:,} characters more" if more > 0 else text
    return "\n".join(f"    {printable(line)}".rstrip() for line in shown.splitlines())
