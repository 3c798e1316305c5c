"""What became of a deploy that abra made: whether it is what the files say, and what it said.

abra is told the app and nothing else. Which version and images it takes is seen afterwards only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from opskit.abra.deployment import Deployment
from opskit.abra.names import APP_SERVICE, label
from opskit.abra.releases import order
from opskit.errors import StepError
from opskit.facts.databases import references
from opskit.facts.join import stack_of
from opskit.secrets.redact import redact
from opskit.steps.images import running_images
from opskit.swarm import model
from opskit.swarm.registry import is_same, without_digest

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WARNS = re.compile(
    r"(?:time=\S+ )?(?:level=)?warn(?:ing)?\b[]\[0-9: ]*(?:msg=)?(?P<text>.*)", re.IGNORECASE
)


def check_deployed(
    found: Deployment, services: Iterable[model.Service], before: Mapping[str, str]
) -> str:
    """Refuse another version or other secrets than the files say, and name images that moved.

    Parameters
    ----------
    found
        What the files said when it began.
    services
        Those of its server, as they are now.
    before
        The images that ran, by service.

    Raises
    ------
    StepError
        It is something else; says what.
    """
    own = [one for one in services if stack_of(one.spec.labels) == found.stack]
    named = {one.spec.name.removeprefix(f"{found.stack}_"): one for one in own}
    notes = _version_notes(found, named.get(APP_SERVICE))
    for name, wanted in found.services.items():
        mounted = _mounted(named.get(name))
        if mounted != wanted.secrets:
            raise StepError(
                f"abra gave {name} of {found.stack} the secrets {_listed(mounted)}, and the files "
                f"say {_listed(wanted.secrets)}."
            )
    now = running_images(own, found.stack)
    notes += [
        f"{name}: {without_digest(image)} is another image than before, as its tag moved"
        for name, image in sorted(now.items())
        if name in before and image != before[name] and is_same(image, before[name])
    ]
    return "; ".join(notes)


def _version_notes(found: Deployment, app: model.Service | None) -> list[str]:
    labels = (app.spec.labels if app else None) or {}
    deployed = labels.get(label(found.stack, "version"), "")
    if not deployed:
        return [
            f"whether abra deployed {found.version} is not known: nothing there names a version"
        ]
    if not is_same_version(found.version, deployed):
        raise StepError(
            f"abra deployed {deployed} of {found.recipe}, and the .env pins {found.version}."
        )
    return []


def is_same_version(wanted: str, deployed: str) -> bool:
    """Return whether a label names this version; abra shortens commits there."""
    return wanted.startswith(deployed) if order(wanted) is None else wanted == deployed


def warnings_of(output: str) -> str:
    """Return what abra warned of though it ended well; nothing when it did not."""
    lines = (_ESCAPES.sub("", line).strip() for line in output.splitlines())
    found = (match["text"].strip(' "') for line in lines if (match := _WARNS.match(line)))
    told = list(dict.fromkeys(text for text in found if text))
    return f"abra: {redact('; '.join(told))}" if told else ""


def _mounted(service: model.Service | None) -> frozenset[str]:
    return (
        frozenset(one.secret_name for one in references(service)) if service else frozenset[str]()
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
