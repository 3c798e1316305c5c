"""The demo fleet's apps: six servers, twenty-two apps of eight recipes, every state of a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

UNREACHABLE, WORKER = "radio.example", "library.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What makes one secret of an app interesting; by default v1 is declared, stored and used.

    Parameters
    ----------
    declared
        The version its ``.env`` names.
    stored
        Version → age in days, of what the swarm holds; by default the declared one, as old as
        its app.
    used
        The version the services use; empty for the declared one.
    """

    declared: str = "v1"
    stored: Mapping[str, float] | None = None
    used: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleApp:
    """One app of the demo fleet.

    Parameters
    ----------
    server, name, recipe
        Where it is, its name and domain, what it is.
    pinned
        The version its ``.env`` pins.
    running
        The version last deployed, if not the one of the recipe on disk.
    overlays
        Compose files enabled beyond ``compose.yml``.
    lines
        Lines at the end of its ``.env``.
    deployed
        Whether its stack runs.
    chaos
        Whether it was deployed from a recipe that somebody had changed by hand.
    age
        In days, of its secrets.
    secrets
        Those with a story, by name.
    """

    server: str
    name: str
    recipe: str
    pinned: str = ""
    running: str = ""
    overlays: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    deployed: bool = True
    chaos: bool = False
    age: float = 60.0
    secrets: Mapping[str, Versions] = field(default_factory=dict[str, Versions])


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeclaredSecret:
    """A secret that no app declares."""

    server: str
    name: str
    age: float
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


APPS: tuple[SampleApp, ...] = (
    # -- coop.example: the oldest server -------------------------------------------------------
    SampleApp(
        server="coop.example",
        name="traefik.coop.example",
        recipe="traefik",
        pinned="2.5.0+v2.11.12",
        overlays=("compose.ovh.yml",),
        age=412,
    ),
    SampleApp(
        server="coop.example",
        name="cloud.coop.example",
        recipe="nextcloud",
        pinned="5.0.1+29.0.7-fpm",
        overlays=("overlays/compose.collabora.yml",),
        age=204,
        secrets={
            "admin_password": Versions(declared="v3", stored={"v1": 520, "v2": 301, "v3": 33})
        },
    ),
    SampleApp(
        server="coop.example",
        name="id.coop.example",
        recipe="keycloak",
        overlays=("compose.smtp.yml",),
        age=97,
    ),
    SampleApp(
        server="coop.example",
        name="git.coop.example",
        recipe="gitea",
        overlays=("compose.smtp.yml",),
        age=388,
        # Declared and made, and the deploy forgotten.
        secrets={"jwt_secret": Versions(declared="v2", stored={"v1": 388, "v2": 2}, used="v1")},
    ),
    SampleApp(
        server="coop.example",
        name="notes.coop.example",
        recipe="hedgedoc",
        overlays=("compose.oidc.yml",),
        age=18,
    ),
    # -- mutual.example ------------------------------------------------------------------------
    SampleApp(
        server="mutual.example",
        name="blog.mutual.example",
        recipe="wordpress",
        pinned="1.4.0+6.6.2",
        overlays=("compose.mail.yml",),
        age=251,
        secrets={"db_password": Versions(declared="v10", stored={"v9": 251, "v10": 12})},
    ),
    SampleApp(
        server="mutual.example",
        name="cloud.mutual.example",
        recipe="nextcloud",
        pinned="4.2.0+28.0.9-fpm",
        running="4.2.0+28.0.9-fpm",
        overlays=("overlays/compose.collabora.yml",),
        age=143,
    ),
    SampleApp(
        server="mutual.example",
        name="matrix.mutual.example",
        recipe="matrix-synapse",
        overlays=("compose.keycloak.yml",),
        age=166,
        secrets={
            "macaroon": Versions(declared="v2", stored={"v1": 166, "v2": 51}),
            # The overlay was enabled and its secret not inserted yet.
            "keycloak_client_secret": Versions(stored={}),
        },
    ),
    SampleApp(
        server="mutual.example",
        name="mail.mutual.example",
        recipe="mailu",
        age=77,
        secrets={"redis_password": Versions(declared="2024a")},
    ),
    # -- garden.example ------------------------------------------------------------------------
    SampleApp(
        server="garden.example",
        name="traefik.garden.example",
        recipe="traefik",
        overlays=("compose.ovh.yml",),
        age=29,
    ),
    SampleApp(
        server="garden.example",
        # Its longest secret has 62 of 64 characters.
        name="neighbourhood-archive-press.garden.example",
        recipe="wordpress",
        overlays=("compose.mail.yml",),
        chaos=True,
        age=45,
    ),
    SampleApp(
        server="garden.example",
        name="notes.garden.example",
        recipe="hedgedoc",
        deployed=False,
        age=9,
        secrets={"session": Versions(stored={})},
    ),
    # -- workshop.example: where names go wrong --------------------------------------------------
    SampleApp(
        server="workshop.example",
        name="shop.workshop.example",
        recipe="wordpress",
        lines=("STACK_NAME=shop",),
        age=340,
    ),
    SampleApp(
        server="workshop.example",
        name="shop-dev.workshop.example",
        recipe="wordpress",
        running="1.3.2+6.5.5",
        lines=("STACK_NAME=shop_dev",),
        age=21,
        secrets={"db_password": Versions(declared="v2", stored={"v1": 21}, used="v1")},
    ),
    SampleApp(
        server="workshop.example",
        name="meet.workshop.example",
        recipe="rallly",
        age=63,
    ),
    SampleApp(
        server="workshop.example",
        name="git.workshop.example",
        recipe="gitea",
        lines=('GITEA_MOTTO="a quote that never ends',),
        age=120,
    ),
    # Two apps on one stack name.
    SampleApp(
        server="workshop.example",
        name="pads.workshop.example",
        recipe="hedgedoc",
        lines=("STACK_NAME=pads",),
        age=58,
    ),
    SampleApp(
        server="workshop.example",
        name="padsold.workshop.example",
        recipe="hedgedoc",
        lines=("STACK_NAME=pads",),
        deployed=False,
    ),
    # -- servers that cannot be read -------------------------------------------------------------
    SampleApp(server=WORKER, name="cloud.library.example", recipe="nextcloud"),
    SampleApp(server=WORKER, name="notes.library.example", recipe="hedgedoc"),
    SampleApp(server=UNREACHABLE, name="blog.radio.example", recipe="wordpress"),
    SampleApp(server=UNREACHABLE, name="stream.radio.example", recipe="traefik"),
)

UNDECLARED: tuple[UndeclaredSecret, ...] = (
    UndeclaredSecret(server="coop.example", name="pads_coop_example_session_v1", age=640),
    UndeclaredSecret(server="mutual.example", name="matrix_mutual_example_turn_v1", age=166),
    UndeclaredSecret(
        server="garden.example",
        name="backup-borg-passphrase",
        age=488,
        labels={"owner": "backups@garden.example", "expires": "2027-06-30"},
    ),
)
"""Secrets in the swarms that no app declares."""

CHECKOUTS: Mapping[str, str] = {
    "gitea": "2.9.0+1.22.3-rootless",
    "nextcloud": "5.0.1+29.0.7-fpm",
    "traefik": "2.5.0+v2.11.12",
    "wordpress": "1.4.0+6.6.2",
}
"""Recipes that are a git checkout, and the tag that is checked out."""

EDITED = "wordpress"
"""The recipe that somebody has changed by hand."""

NOT_FETCHED = "rallly"
"""The recipe that runs and is not on the operator's disk."""

SERVERS = tuple(dict.fromkeys(app.server for app in APPS))
"""All servers, in the order of `APPS`."""
