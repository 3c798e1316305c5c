"""Which services get the new versions of secrets, at which files, and what is watched of it.

A service may mount one secret's versions more than once, as a key and the key before it. Which of
them moves is told by what the app declares for its service and file, not by the secret's name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.errors import InputError
from opskit.facts.databases import references
from opskit.facts.join import stack_of
from opskit.plan.selection import Lookup, Target
from opskit.plan.versions import Renewal
from opskit.steps import Swap, SwitchService, Watched
from opskit.steps.pacing import ran
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


def switches_of(renewals: list[Renewal], lookup: Lookup, *, acts: bool) -> list[SwitchService]:
    """Return the steps that give services of one app's stack the new versions.

    Parameters
    ----------
    renewals
        The new versions.
    lookup
        Looks things up in the snapshot.
    acts
        Whether services get them now: those of another stack then stand in the way.

    Raises
    ------
    InputError
        Services of another stack use one of the secrets, too.
    """
    app = renewals[0].target.app
    seen = lookup.server(app.server)
    files: defaultdict[str, defaultdict[tuple[str, str, str], list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    others: dict[str, str] = {}
    theirs: dict[str, None] = {}
    for one in renewals:
        for mounted in moving(one.target, seen):
            service, reference = mounted.service, mounted.reference
            stack = stack_of(service.spec.labels)
            if stack not in ("", app.stack):
                others[service.spec.name] = stack
                theirs[reference.secret_name] = None
                continue
            swap = (reference.secret_id, reference.secret_name, one.new_name)
            files[service.id][swap].append(mounted.file)
    switches = [
        SwitchService(
            service=service.spec.name,
            service_id=service.id,
            spec_digest=service.spec_digest,
            swaps=tuple(
                Swap(from_id=ident, from_name=old, to_name=new, files=tuple(sorted(names)))
                for (ident, old, new), names in sorted(files[service.id].items())
            ),
        )
        for service in seen.services
        if service.id in files
    ]
    if others and acts:
        raise _refusal(app, lookup, others, list(theirs))
    return switches


def _refusal(
    app: DeclaredApp, lookup: Lookup, others: Mapping[str, str], names: Sequence[str]
) -> InputError:
    """Refuse what would leave the files of another stack behind, and say how it is done."""
    stacks = sorted(set(others.values()))
    apps = [lookup.shown(one) for one in lookup.apps(app.server) if one.stack in stacks]
    theirs = f"{' and '.join(apps)} (opskit app config)" if apps else "the files of these"
    deploys = "; ".join(f"opskit app deploy {name}" for name in (lookup.shown(app), *apps))
    return InputError(
        f"{', '.join(names)} on {app.server} is used by {', '.join(sorted(others))} too, of "
        f"{' and '.join(stacks)}: their own files would bring the old version back.",
        remedy="Choose to deploy none (--deploy none), which makes the new version and lets the "
        f"services be. Name it in {theirs} too, then: {deploys}",
    )


def version_before(one: Renewal, switches: Sequence[SwitchService]) -> str:
    """Return the version that is declared, or where that is the one to be made, those in use."""
    declared = one.target.declared
    if declared.version != one.version:
        return declared.version
    used = {
        swap.from_name.removeprefix(declared.prefix)
        for switch in switches
        for swap in switch.swaps
        if swap.to_name == one.new_name
    }
    return ", ".join(sorted(used))


def watched_by(switch: SwitchService, service: model.Service) -> Watched:
    """Return what must be mounted afterwards and what no more; other files may keep theirs."""
    moved = {(swap.from_id, file) for swap in switch.swaps for file in swap.files}
    staying = {
        reference.secret_id
        for reference in references(service)
        if (reference.secret_id, file_of(reference)) not in moved
    }
    return Watched(
        service=switch.service,
        service_id=switch.service_id,
        new=tuple(sorted({swap.to_name for swap in switch.swaps})),
        old_ids=tuple(dict.fromkeys(s.from_id for s in switch.swaps if s.from_id not in staying)),
        ran=ran(service),
    )
