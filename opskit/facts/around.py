"""What is declared for other servers and may be meant for the swarm of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from opskit.abra.model import DeclaredApp


class Perhaps:
    """Apps that may be meant for a swarm or not, looked up by what their secrets' names begin with.

    Parameters
    ----------
    apps
        The apps.
    """

    def __init__(self, apps: Iterable[DeclaredApp] = ()) -> None:
        self._of = tuple(apps)
        self._stacks: dict[str, DeclaredApp] = {}
        self._prefixes: dict[str, DeclaredApp] = {}
        self.in_part: DeclaredApp | None = None
        """One that may declare what nobody knows of."""
        for app in self._of:
            self._stacks.setdefault(app.stack, app)
            for secret in app.secrets:
                self._prefixes.setdefault(secret.prefix, app)
            if self.in_part is None and is_in_part(app):
                self.in_part = app

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Perhaps) and self._of == other._of

    def unlike(self, other: Perhaps) -> Perhaps | None:
        """Return the apps, if any, that are in one of the two only, or not the same in both."""
        ours, theirs = self._by_name(), other._by_name()
        pairs = ((ours.get(key, ()), theirs.get(key, ())) for key in {**ours, **theirs})
        found = [app for one, its in pairs if not are_alike(one, its) for app in one + its]
        return Perhaps(found) if found else None

    def _by_name(self) -> dict[tuple[str, str], tuple[DeclaredApp, ...]]:
        return {(app.server, app.name): (app,) for app in self._of}

    def declares_any(self, names: Iterable[str]) -> bool:
        """Return whether one of the apps may declare one of these swarm names."""
        return self.in_part is not None or any(self.declarer(one, certain=False) for one in names)

    def declarer(self, name: str, *, certain: bool) -> DeclaredApp | None:
        """Return an app that may declare a swarm name; one of its stack only if not `certain`."""
        if not self._of:
            return None
        cuts = [at for at, character in enumerate(name) if character == "_"]
        starts = [name, *(name[: at + 1] for at in cuts)]
        found = next((self._prefixes[one] for one in starts if one in self._prefixes), None)
        if found is None and not certain:
            stacks = (name[:at] for at in cuts)
            found = next((self._stacks[one] for one in stacks if one in self._stacks), None)
        return found


def are_alike(some: tuple[DeclaredApp, ...] | None, others: tuple[DeclaredApp, ...] | None) -> bool:
    """Return whether files declare the same, but for the hashes that no saved snapshot has."""
    return some == others or _unhashed(some) == _unhashed(others)


def _unhashed(apps: tuple[DeclaredApp, ...] | None) -> list[DeclaredApp] | None:
    if apps is None:
        return None
    return [msgspec.structs.replace(app, env_sha256="") for app in apps]


def is_in_part(app: DeclaredApp) -> bool:
    """Return whether an app may declare more than is known: of any stack, under any name."""
    return app.guessed or any(problem.path == app.env_file for problem in app.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is declared elsewhere and may be meant for one server's swarm.

    Parameters
    ----------
    together
        Apps of other servers that lead to the same swarm.
    perhaps
        Apps of servers of which nobody knows to which swarm they lead.
    unread
        Why an app may be declared that nobody knows of; empty when none can.
    first
        Whether what nobody declares is told of here, and not of another server of this swarm.
    """

    together: tuple[DeclaredApp, ...] = ()
    perhaps: Perhaps = field(default_factory=Perhaps)
    unread: str = ""
    first: bool = True

    def is_alike(self, other: Around) -> bool:
        """Return whether another one says the same, but for who is `perhaps` meant."""
        return (self.unread, self.first) == (other.unread, other.first) and are_alike(
            self.together, other.together
        )


ALONE = Around()
"""What is declared for one server is all there is."""
