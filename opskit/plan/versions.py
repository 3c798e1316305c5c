"""New versions of secrets: their names, the variables that declare them, what is changed together.

Secrets of one variable get one version; one that names the version of something else, too, gets no
new one alone. Two apps of one stack, or that share a secret, would each change what is the other's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from opskit.abra.edit import has_line, set_value
from opskit.abra.env import parse_env
from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.errors import InputError
from opskit.facts.join import digests_among
from opskit.kinds.hooks import HookSpec
from opskit.plan.obstacles import Bulk, ObstacleError, Row
from opskit.plan.selection import Lookup, Target
from opskit.secrets.generate import FLOOR_BITS, Policy
from opskit.steps import Declaration, Declare
from opskit.steps.env import digest, read_unchanged
from opskit.steps.envfile import check_replaceable
from opskit.swarm import model
from opskit.swarm.model import NAME_LIMIT

_NUMBER = re.compile(r"(.*?)([0-9]+)$")
_LETTER = re.compile(r"(.*[0-9])([a-y])$")


def next_version(version: str) -> str:
    """Return the version after this one: ``v9`` → ``v10``, ``2024a`` → ``2024b``, ``x`` → ``x2``.

    Leading zeros are kept (``007`` → ``008``), as they would be in a file.
    """
    if match := _NUMBER.fullmatch(version):
        stem, number = match.groups()
        return f"{stem}{int(number) + 1:0{len(number)}d}"
    if match := _LETTER.fullmatch(version):
        stem, letter = match.groups()
        return stem + chr(ord(letter) + 1)
    return f"{version}2" if version else "v1"


def next_free_version(prefixes: Sequence[str], version: str, taken: Collection[str]) -> str:
    """Return the first version after `version` whose swarm name is free.

    Parameters
    ----------
    prefixes
        The swarm name up to the version, ``<stack>_<secret>_``; of all secrets that get it.
    version
        The one in force.
    taken
        All secret names of that swarm.

    Raises
    ------
    InputError
        The name would be longer than Swarm allows.
    """
    candidate = next_version(version)
    while any(prefix + candidate in taken for prefix in prefixes):
        candidate = next_version(candidate)
    for prefix in prefixes:
        check_name(prefix + candidate)
    return candidate


def check_name(name: str) -> None:
    """Refuse a name Swarm would refuse for its length.

    Raises
    ------
    InputError
        It is too long; says by how much.
    """
    if len(name) > NAME_LIMIT:
        raise ObstacleError(
            f"the secret name {name} would have {len(name)} characters, and Swarm allows "
            f"{NAME_LIMIT}.",
            why=f"its name would have more than the {NAME_LIMIT} characters that Swarm allows",
            remedy="Give the app a shorter STACK_NAME, or insert a value at a shorter version: "
            "opskit secret insert APP SECRET VERSION",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A secret that gets a new version.

    `policy` is ``None`` when the operator gives the value; `hook` when only the file changes.
    """

    target: Target
    version: str
    policy: Policy | None
    hook: HookSpec | None = None

    @property
    def new_name(self) -> str:
        """The new version's swarm name."""
        return self.target.declared.prefix + self.version


def row_of(target: Target) -> Row:
    """Return how a selection names a secret."""
    return target.app.server, target.app.name, target.declared.name


def by_variable(targets: Iterable[Target]) -> list[list[Target]]:
    """Group secrets by the variable that gives them their version."""
    found: defaultdict[tuple[str, str, str, str], list[Target]] = defaultdict(list)
    for target in targets:
        found[_variable(target)].append(target)
    return list(found.values())


def in_step(renewals: Iterable[Renewal]) -> list[list[Renewal]]:
    """Group new versions by the variable that names them."""
    found: defaultdict[tuple[str, str, str, str], list[Renewal]] = defaultdict(list)
    for one in renewals:
        found[_variable(one.target)].append(one)
    return list(found.values())


def disputes(
    grouped: Mapping[tuple[str, str], list[Renewal]],
) -> Iterator[tuple[int, InputError]]:
    """Return the ids of renewals of two apps of one stack, whose files would not both change.

    So too of two apps that would make one secret.
    """
    owners: defaultdict[tuple[str, str], list[Renewal]] = defaultdict(list)
    for (server, stack), renewals in grouped.items():
        names = list(dict.fromkeys(_named(one.target.app, server) for one in renewals))
        if len(names) > 1:
            error = InputError(
                f"{' and '.join(names)} are one stack, {stack}, on {server}.",
                remedy="Give all but one of them another STACK_NAME.",
            )
            yield from ((id(one), error) for one in renewals)
        for one in renewals:
            owners[server, one.new_name].append(one)
    for (server, name), renewals in owners.items():
        apps = list(dict.fromkeys(_named(one.target.app, server) for one in renewals))
        if len(apps) > 1:
            error = InputError(
                f"{' and '.join(apps)} would each make {name} on {server}, which they share.",
                remedy=f"Select it for {apps[0]} only, and let the others name the same version.",
            )
            yield from ((id(one), error) for one in renewals)


def undisputed(
    renewals: list[Renewal], disputed: Mapping[int, InputError], bulk: Bulk
) -> list[Renewal]:
    """Return those of a stack that no other app of the selection would change too."""
    left: list[Renewal] = []
    for together in in_step(renewals):
        error = next((disputed[id(one)] for one in together if id(one) in disputed), None)
        if error is None:
            left += together
            continue
        for one in together:
            bulk.add(row_of(one.target), error)
    return left


def _variable(target: Target) -> tuple[str, str, str, str]:
    """Return what is alike for secrets that get their version from one variable."""
    key = target.declared.env_key
    return target.app.server, target.app.name, key, "" if key else target.declared.name


def _named(app: DeclaredApp, server: str) -> str:
    return app.name if app.server == server else f"{app.server}/{app.name}"


def check_variable(targets: Sequence[Target], *, given: bool = False) -> None:
    """Refuse new versions of some secrets of a variable that names others, or anything else, too.

    Parameters
    ----------
    targets
        Secrets of one app that get their version from one variable, or one that has none.
    given
        Whether somebody has their values, as when one is inserted.

    Raises
    ------
    InputError
        Names the others, and how all of them get their new version.
    """
    app, declared = targets[0].app, targets[0].declared
    key, names = declared.env_key, [target.declared.name for target in targets]
    sharing, apart = app.renewed_with(declared), app.named_with.get(key, ())
    others = [one.name for one in sharing if one.name not in names]
    if not others and not apart:
        return
    if apart:
        what = f"names {', '.join([*others, *apart])} too"
        loss = f"with a new one for {' and '.join(names)}, a deploy would take others for these"
        remedy = f"{_OWN.capitalize()}."
    else:
        what = f"gives the version of {' and '.join(others)} too"
        loss = f"with a new one for {' and '.join(names)} alone, these would be missing"
        way = _all_at_once(targets[0].shown, key, sharing, names if given else ())
        remedy = f"{way}; or {_OWN}."
    raise InputError(
        f"{key} of {app.name} {what}: {loss}.",
        path=Path(app.env_file),
        line=declared.env_line or None,
        remedy=remedy,
    )


_OWN = "give each a variable of its own in the recipe"


def _all_at_once(
    app: str, key: str, sharing: Sequence[DeclaredSecret], given: Collection[str]
) -> str:
    """Return how secrets of one variable get their next version, some by `given` values."""
    made = [quote(one.name) for one in sharing if one.generate and one.name not in given]
    if len(made) == len(sharing):
        return f"All at once: opskit secret rotate {app} {' '.join(made)}"
    ways = [f"opskit secret generate {app} {' '.join(made)}"] if made else []
    ways += [
        f"opskit secret insert {app} {quote(one.name)}"
        for one in sharing
        if not one.generate or one.name in given
    ]
    return (
        f"Name the next version of all, {key}, with opskit app config {app}; "
        f"then {'; '.join(ways)}; then opskit app deploy {app}"
    )


def _check_no_other_changes(
    path: Path, edited: Collection[str], before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    """Refuse an edit of some variables by which others get another value.

    Raises
    ------
    InputError
        Names the others.
    """
    others = sorted(
        key
        for key in before.keys() | after.keys()
        if key not in edited and before.get(key) != after.get(key)
    )
    if others:
        raise InputError(
            f"{' and '.join(others)} would change with {' and '.join(edited)}.",
            path=path,
            remedy="Write their values out, so that each stands for itself.",
        )


def declaring(app: DeclaredApp, renewals: list[Renewal]) -> Declare:
    """Return the step that names new versions in an app's ``.env``.

    Raises
    ------
    InputError
        A line cannot be changed, or the change would be one of other variables too.
    """
    path = Path(app.env_file)
    content = read_unchanged(path, app.env_sha256)
    check_replaceable(path)
    before = parse_env(content, path).values
    declarations: list[Declaration] = []
    # Secrets that share a variable share its line.
    for one in {one.target.declared.env_key: one for one in renewals}.values():
        declared = one.target.declared
        old = declared.version if declared.env_line else None
        if old is None and has_line(content, declared.env_key):
            old = ""
        content = set_value(content, declared.env_key, one.version, path)
        declarations.append(Declaration(key=declared.env_key, old=old, new=one.version))
    keys = [one.key for one in declarations]
    _check_no_other_changes(path, keys, before, parse_env(content, path).values)
    return Declare(
        path=app.env_file,
        before=app.env_sha256,
        after=digest(content),
        declarations=tuple(declarations),
    )


def left_behind(one: Renewal, lookup: Lookup) -> str:
    """Name the other apps whose ``.env`` goes on naming the version that is replaced."""
    app, declared = one.target.app, one.target.declared
    names = [
        _named(other, app.server)
        for other in lookup.apps(app.server)
        if (other.server, other.name) != (app.server, app.name)
        and any(
            secret.swarm_name == declared.swarm_name
            or (other.stack == app.stack and secret.name == declared.name)
            for secret in other.secrets
        )
    ]
    if not names:
        return ""
    does = "declares it too and keeps" if len(names) == 1 else "declare it too and keep"
    return f"{' and '.join(names)} {does} {declared.version}"


def about_value(one: Renewal) -> list[str]:
    """Return what is out of the ordinary about how a value is made and what it is stored with."""
    policy, declared = one.policy, one.target.declared
    spec = one.target.origin.spec if one.target.origin else model.Spec()
    left = digests_among(spec.labels)
    notes: list[str] = []
    if policy and policy.is_weak():
        notes.append(f"weaker than {FLOOR_BITS:.0f} bits")
    if policy and policy.command and (declared.length or declared.charset):
        notes.append(f"{policy.command[0]} decides length and characters")
    if spec.templating:
        notes.append("a template")
    if left:
        notes.append(f"without the label {', '.join(left)}, a digest of the old value")
    return notes
