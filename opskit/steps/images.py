"""Which images a deploy leaves as they run, and whether it hands on the operator's credentials.

``docker stack deploy`` asks the registry for the digest of every tag. Where it gets no answer it
takes the pinned digest away and restarts the service; and with ``--with-registry-auth`` it
replaces the credentials that a service has even by none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from shlex import quote

from opskit.abra.deployment import Deployment
from opskit.errors import InputError, OpskitError
from opskit.facts.join import stack_of
from opskit.steps.base import StepContext
from opskit.swarm import model
from opskit.swarm.registry import Logins, is_pinned, is_same, registry_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What was decided.

    Parameters
    ----------
    kept
        Services and the images, with digests, that they go on running.
    hand_on
        Whether ``--with-registry-auth`` is said.
    note
        What of it somebody would not expect.
    """

    kept: Mapping[str, str]
    hand_on: bool
    note: str = ""


def running_images(services: Iterable[model.Service], stack: str) -> dict[str, str]:
    """Return the images of a stack's services, by their names without the stack."""
    found: dict[str, str] = {}
    for service in services:
        container = service.spec.task_template.container_spec
        if container is not None and stack_of(service.spec.labels) == stack:
            found[service.spec.name.removeprefix(f"{stack}_")] = container.image
    return found


def decide(ctx: StepContext, found: Deployment, *, keep: bool) -> Images:
    """Decide it from what runs and what registries answer.

    Parameters
    ----------
    ctx
        The step's.
    found
        What is to be deployed.
    keep
        Keep every image that the files name as before; otherwise only those whose registry does
        not say what their tag means now.
    """
    logins = Logins()
    wanted = {name: one.image for name, one in found.services.items()}
    known = any(_has(logins, image) for image in wanted.values())
    running = running_images(ctx.patiently(ctx.engine.services), found.stack)
    pinned = {name: running[name] for name in wanted if is_pinned(running.get(name, ""))}
    same = {
        name: image
        for name, image in pinned.items()
        if is_same(image, wanted[name]) and not is_pinned(wanted[name])
    }
    asked = pinned if known else {} if keep else same
    mute = {name for name in asked if not _answers(ctx, wanted[name], logins)}
    kept = same if keep else {name: image for name, image in same.items() if name in mute}
    notes: list[str] = []
    if kept and not keep:
        notes.append(
            f"{', '.join(sorted(kept))}: the image stays as it runs, as its registry does not say "
            f"what the tag means now{_how_to_log_in(kept.values(), logins)}"
        )
    if known and mute:
        notes.append(
            "the services keep the registry credentials they have, as yours would take those of "
            f"{', '.join(sorted(mute))} away"
        )
    return Images(kept=kept, hand_on=known and not mute, note="; ".join(notes))


def _answers(ctx: StepContext, image: str, logins: Logins) -> bool:
    try:
        ctx.engine.digest_at_registry(image, logins.header(registry_of(image)))
    except OpskitError:
        return False
    return True


def _has(logins: Logins, image: str) -> bool:
    """Return whether there are credentials; a helper that fails has none, also for docker."""
    try:
        return logins.has(registry_of(image))
    except InputError:
        return False


def _how_to_log_in(images: Iterable[str], logins: Logins) -> str:
    absent = sorted({registry_of(image) for image in images if not _has(logins, image)})
    return f" ({'; '.join(f'docker login {quote(one)}' for one in absent)})" if absent else ""
