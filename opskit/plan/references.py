"""Which mounted files a new version of a secret goes to: those that are declared to be its own.

A service may mount one secret's versions more than once, as a key and the key before it. Which of
them moves is told by what the app declares for its service and file, not by the secret's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.databases import references
from opskit.join import stack_of
from opskit.plan.selection import Target
from opskit.swarm import model
from opskit.swarm.observe import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """A file of a service that holds a version of a secret."""

    service: model.Service
    reference: model.SecretReference

    @property
    def file(self) -> str:
        """Its name, below ``/run/secrets`` unless it is a path."""
        return file_of(self.reference)


def file_of(reference: model.SecretReference) -> str:
    """Return the name of a mounted secret's file."""
    return reference.file.name if reference.file else reference.secret_name


def moving(target: Target, seen: Observation) -> Iterator[Mounted]:
    """Return the files that follow a secret to its next version.

    Of the app's own services these are the files that it declares for the secret, whichever of
    its versions they hold now. A file nobody declares follows when it holds the version in force,
    or, where a service has none of the declared ones, an older version; but not where that may be
    another key's. Of other stacks it is whatever holds a version of the secret.

    Parameters
    ----------
    target
        The secret.
    seen
        What the server said.
    """
    app, declared = target.app, target.declared
    versions = {row.stored.id for row in target.versions if row.stored is not None}
    in_force = target.in_force.stored.id if target.in_force.stored else ""
    claims = _claims(app)
    alone = all(one is declared or one.prefix != declared.prefix for one in app.secrets)
    sole = all(one is declared or one.swarm_name != declared.swarm_name for one in app.secrets)
    for service in seen.services:
        mounted = [Mounted(service=service, reference=one) for one in references(service)]
        if stack_of(service.spec.labels) not in ("", app.stack):
            yield from (one for one in mounted if one.reference.secret_id in versions)
            continue
        ours = [
            one
            for one in mounted
            if claims.get((service.spec.name, one.file)) is declared
            and (one.reference.secret_id in versions or _is_version(one, app, declared))
        ]
        yield from ours
        for one in mounted:
            if (service.spec.name, one.file) not in claims:
                is_current = one.reference.secret_id == in_force and sole
                is_older = one.reference.secret_id in versions and alone and not ours
                if is_current or is_older:
                    yield one


def _claims(app: DeclaredApp) -> Mapping[tuple[str, str], DeclaredSecret]:
    return {
        (f"{app.stack}_{service}", file): secret
        for secret in app.secrets
        for service, file in secret.mounts
    }


def _is_version(one: Mounted, app: DeclaredApp, declared: DeclaredSecret) -> bool:
    """Return whether a file holds a version of the secret, be it one that another key declares."""
    name = one.reference.secret_name
    longest = max(
        (secret.prefix for secret in app.secrets if name.startswith(secret.prefix)),
        key=len,
        default="",
    )
    return bool(longest) and longest == declared.prefix
