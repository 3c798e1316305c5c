"""What deploying a stack's files does to what runs, what would stop it, and what to read before.

All of it is known beforehand: what moves, missing networks and taken ports, release notes, and
lines that the ``.env`` lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from opskit.abra.deployed import Published
from opskit.abra.deployment import Deployment, deployment
from opskit.abra.env import SampleLine
from opskit.abra.files import printable
from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.abra.names import APP_SERVICE
from opskit.abra.recipe import Recipes
from opskit.abra.releases import newer, order
from opskit.errors import InputError
from opskit.facts.join import stack_of
from opskit.kinds.modes import MODES, StackMode
from opskit.plan.options import Options
from opskit.plan.waits import about_jobs
from opskit.steps import Declare
from opskit.steps.dockercli import check_environment
from opskit.steps.images import running_images
from opskit.steps.parts import Part, PartKind
from opskit.steps.stackconfig import read_by_docker
from opskit.swarm import model
from opskit.swarm.observe import Observation
from opskit.swarm.registry import PUBLIC, Logins, is_pinned, is_same, registry_of, without_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeploy:
    """What is known of a deploy before it begins.

    Parameters
    ----------
    restarts
        Whole names of the services that run and get new tasks for their image, secrets, configs,
        command or environment, or as they are told of new versions there, and of jobs, which every
        deploy runs once more.
    note
        What new versions change besides, jobs, and registries that nobody here is logged in to;
        empty when there is nothing to say.
    registries
        Those that the operator is logged in to.
    parts
        Images that move, variables, commands, secrets and configs that change, services that come
        or stay behind.
    data
        Volumes of the services that get another image.
    """

    restarts: tuple[str, ...]
    note: str
    registries: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    data: tuple[str, ...] = ()


def check_deployable(found: Deployment, seen: Observation, mode: StackMode) -> None:
    """Refuse what docker or abra would refuse half way.

    Raises
    ------
    InputError
        A network is not there, a port is taken, or the files use a variable of docker's own.
    """
    if mode == "stack":
        check_environment(found, seen.server)
    _check_networks(found, seen)
    _check_ports(found, seen)


Read = Mapping[str, Mapping[str, str]]
"""The pieces of each service as docker reads the files, where it says them."""


Along = Mapping[str, tuple[str, ...]]
"""The parts of services that new versions of secrets change besides, as with ``${VERSION}``."""


def files_of(
    app: DeclaredApp, root: Path, mode: StackMode, version: str = ""
) -> tuple[Deployment, Read]:
    """Return what deploying an app deploys, and how docker reads it where docker does so."""
    with deployment(root, app.server, app.name, version) as found:
        return found, read_by_docker(found, app.server).pieces() if mode == "stack" else {}


def renewed_files(
    app: DeclaredApp, options: Options, declare: Declare
) -> tuple[Deployment | None, Read, Along]:
    """Return what deploying the stack with new versions deploys, where that is known.

    With how docker reads the files before, where docker deploys, and what it reads otherwise
    in services with the new versions.
    """
    mode = MODES[options.deploy]
    if not mode.deploys or (mode.whole == "abra" and not app.recipe_version):
        return None, {}, {}
    after = {one.key: one.new for one in declare.declarations}
    before = {one.key: one.old for one in declare.declarations}
    with deployment(options.root, app.server, app.name, values=after) as found:
        old = read_by_docker(found.with_values(before), app.server)
        # Without docker's word: of those abra hands its whole environment to, at least.
        along = {APP_SERVICE: ("environment",)}
        if old:
            along = old.differing(read_by_docker(found, app.server))
        return found, old.pieces() if mode.whole == "stack" else {}, along


def redeployed(
    found: Deployment, seen: Observation, mode: StackMode, read: Read, along: Along | None = None
) -> Redeploy:
    """Compare what the files say with what runs; `along` is what new versions change besides."""
    own = {s.spec.name: s for s in seen.services if stack_of(s.spec.labels) == found.stack}
    running = running_images(seen.services, found.stack)
    uses = {name.removeprefix(f"{found.stack}_"): _uses(one) for name, one in own.items()}
    there = {name: one for name, one in found.services.items() if name in running}
    moved = {name for name, one in there.items() if _moves(running[name], one.image)}
    configs = {name for name, one in there.items() if uses[name][1] != one.configs}
    swapped = {name for name, one in there.items() if uses[name][0] != one.secrets}
    parts = [
        Part(kind="image", service=name, before=(without_digest(running[name]),),
             after=(there[name].image,))
        for name in sorted(moved)
    ]  # fmt: skip
    others = {name: _differing(own[f"{found.stack}_{name}"], read.get(name)) for name in there}
    parts += [part for name, names in others.items() for part in _pieces(name, names)]
    # In a rotation the secrets that it renews have rows of their own.
    if along is None:
        parts += [_swapped("secrets", name, uses[name][0], there[name].secrets)
                  for name in sorted(swapped)]  # fmt: skip
    parts += [
        _swapped("configs", name, uses[name][1], there[name].configs) for name in sorted(configs)
    ]
    if running:
        parts += [Part(kind="new", service=one, after=(found.services[one].image,))
                  for one in found.services if one not in running]  # fmt: skip
        parts += [
            Part(kind="stays", service=one) for one in sorted(running.keys() - found.services)
        ]
    notes: list[str] = []
    has, faults = (
        _logins({registry_of(one.image) for one in found.services.values()})
        if mode == "stack"
        else ((), [])
    )
    notes += faults
    notes += _without_login(found, running, has, mode)
    jobs = {name for name in there if own[f"{found.stack}_{name}"].spec.mode.is_job}
    changed = {name for name, pieces in others.items() if pieces}
    told = {name: pieces for name, pieces in (along or {}).items() if name in there}
    # The service app is always told, in its environment.
    notes += [
        f"{name}: {', '.join(pieces)} with the new version"
        for name, pieces in sorted(told.items())
        if name != APP_SERVICE
    ]
    touched = moved | configs | swapped | changed | jobs | told.keys()
    restarts = tuple(f"{found.stack}_{name}" for name in sorted(touched))
    notes += filter(None, [about_jobs(seen, found.stack, restarts)])
    return Redeploy(
        restarts=restarts,
        note="; ".join(notes),
        registries=has,
        parts=tuple(sorted(parts, key=lambda part: part.service)),
        data=tuple(
            sorted({one for name in moved for one in _volumes(own[f"{found.stack}_{name}"])})
        ),
    )


_VARIABLE = "variable "

CHOSEN_BY_ABRA = (
    "no version is pinned: abra takes the one that runs, or the latest, so what it changes besides "
    "is not known"
)

TAGS_ASKED_ANEW = "abra asks registries what tags mean now, so an image may move that keeps its tag"


def unknown_redeploy() -> Redeploy:
    """Return what is known where abra chooses the version."""
    return Redeploy(restarts=(), note=CHOSEN_BY_ABRA, registries=())


def _logins(registries: set[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the registries that the operator is logged in to, and what keeps from knowing it."""
    logins = Logins()
    has: list[str] = []
    faults: list[str] = []
    for registry in sorted(registries):
        try:
            has += [registry] if logins.has(registry) else []
        except InputError as error:
            faults.append(str(error))
    return tuple(has), faults


def _moves(running: str, wanted: str) -> bool:
    is_other = is_pinned(wanted) and wanted.partition("@")[2] != running.partition("@")[2]
    return is_other or not is_same(running, wanted)


def _differing(service: model.Service, read: Mapping[str, str] | None) -> list[str]:
    """Name the pieces of a service that are other ones in the files."""
    if read is None:
        return []
    names = read.keys() | service.pieces.keys()
    return sorted(name for name in names if read.get(name) != service.pieces.get(name))


def _pieces(service: str, names: list[str]) -> Iterator[Part]:
    """Return what other pieces a service gets, its variables apart from the others."""
    variables = [name.removeprefix(_VARIABLE) for name in names if name.startswith(_VARIABLE)]
    told = [name for name in names if not name.startswith(_VARIABLE)]
    if told:
        yield Part(kind="other", service=service, names=tuple(told))
    if variables:
        yield Part(kind="environment", service=service, names=tuple(variables))


def _uses(service: model.Service) -> tuple[frozenset[str], frozenset[str]]:
    container = service.spec.task_template.container_spec or model.ContainerSpec()
    return (
        frozenset(one.secret_name for one in container.secrets or ()),
        frozenset(one.config_name for one in container.configs or ()),
    )


def _swapped(kind: PartKind, service: str, before: frozenset[str], after: frozenset[str]) -> Part:
    gone, come = tuple(sorted(before - after)), tuple(sorted(after - before))
    return Part(kind=kind, service=service, before=gone, after=come)


def _volumes(service: model.Service) -> Iterator[str]:
    """Name the volumes that a service mounts."""
    container = service.spec.task_template.container_spec or model.ContainerSpec()
    for mount in container.mounts or ():
        if mount.type == "volume" and mount.source:
            yield mount.source


def _without_login(
    found: Deployment, running: dict[str, str], has: tuple[str, ...], mode: StackMode
) -> Iterator[str]:
    """Name the registries that nodes ask without credentials for what they have not run yet."""
    asked: dict[str, list[str]] = {}
    for name, one in found.services.items():
        registry = registry_of(one.image)
        known = name in running and registry_of(running[name]) == registry
        if one.image and not known and registry not in (PUBLIC, *has):
            asked.setdefault(registry, []).append(name)
    for registry, names in sorted(asked.items()):
        listed = ", ".join(sorted(names))
        if mode == "abra":
            yield (
                f"abra hands on no credentials for {registry}, so {listed} is pulled without "
                "(if it is private: deploy it with docker)"
            )
        else:
            yield (
                f"no credentials here for {registry}, so {listed} is pulled without "
                f"(if it is private: docker login {quote(registry)})"
            )


def _check_networks(found: Deployment, seen: Observation) -> None:
    scopes = {network.name: network.scope for network in seen.networks}
    for name in found.networks:
        if scopes.get(name) == "swarm":
            continue
        fault = "is one of a single node" if name in scopes else "does not exist"
        raise InputError(
            f"the network {name}, which {found.stack} is to join, {fault} on {seen.server}.",
            path=Path(found.shown),
            remedy="Deploy the app that makes it first, or: docker --context "
            f"{quote(seen.server)} network create --driver overlay --attachable {quote(name)}",
        )


def _check_ports(found: Deployment, seen: Observation) -> None:
    own = {f"{found.stack}_{name}" for name in found.services}
    taken = [
        (service.spec.name, port)
        for service in seen.services
        if service.spec.name not in own and service.spec.endpoint_spec
        for port in service.spec.endpoint_spec.ports or ()
        if port.published_port
    ]
    alone = len(seen.nodes) == 1
    for name, one in found.services.items():
        for port in one.ports:
            for other, used in taken:
                if _collide(port, used, alone=alone):
                    raise InputError(
                        f"port {port.port}/{port.protocol} of {name} is taken on {seen.server} by "
                        f"the service {other}.",
                        path=Path(found.shown),
                        remedy="Publish another port (a variable of the .env may set it), or take "
                        f"{other} down first.",
                    )


def _collide(port: Published, used: model.PortConfig, *, alone: bool) -> bool:
    if (port.port, port.protocol) != (used.published_port, used.protocol or "tcp"):
        return False
    # On several nodes, two services that publish on the node of each task may keep apart.
    return alone or "ingress" in (port.mode, used.publish_mode or "ingress")


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
